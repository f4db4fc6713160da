"""The Celery worker: `app` delivers chunk ids, `tasks` takes them, `runner` joins science and jobs.

Run it with `python -m worker` or `beholder worker`.
"""
