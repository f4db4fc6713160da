"""The `beholder` command. `main` gathers the commands; each file holds one noun's.

Modules here import only light things at the top: `beholder --help` has to be quick. What reads the
database or the queue is imported inside the command that needs it.
"""
