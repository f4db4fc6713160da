"""The Celery worker: `app` carries bells, `tasks` hears them, `run` joins science and jobs.

Run it with `python -m worker` or `beholder worker`.
"""
