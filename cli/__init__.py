"""The `beholder` command. `main` gathers the commands; each file holds one noun's.

Modules here import only light things at the top: `beholder --help` has to be quick. What reads the
database or the queue is imported inside the command that needs it.
"""

import gc

# A command ends before it leaves much garbage, and its imports make some 200,000 objects that
# stay: looking among them for garbage every 700 would take an eighth of its time.
gc.set_threshold(50_000)
