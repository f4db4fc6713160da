"""Jobs in a database: submitted, claimed by workers, finished, swept, cancelled, retried, queried.

Read models.py, then one item's way: submit.py, claims.py, finish.py; sweep.py and control.py for
what goes wrong; queries.py and channel_queries.py for what comes out.
"""
