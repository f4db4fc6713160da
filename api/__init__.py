"""The HTTP API and the page: jobs submitted, watched, looked at and fetched.

Read app.py, then guard.py and problems.py, then routes/.
"""
