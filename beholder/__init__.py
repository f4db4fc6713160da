"""Beholder: batch jobs that look into an image classifier.

Importing this package loads nothing heavy. Start with `beholder.layers` (the table of VGG19's
layers) and `beholder.specs` (what a job asks for); `beholder.science` computes, `beholder.jobs`
remembers.
"""

__version__ = "0.1.0"
