"""The words of sound studies, and what their chunks call the files that they hand on.

Nothing is imported, so that the command line's help is quick.
"""

from typing import Literal

Role = Literal["target", "sibling", "control"]
Split = Literal["choose", "tune", "test", "duplicate"]
Method = Literal[
    "count", "effect", "auroc", "gradient", "contrastive", "iterative", "single", "random"
]
Mode = Literal["zero", "mean", "resample", "scale"]
Kind = Literal["chosen", "random", "matched", "keep", "matrix", "alone"]

TALLY = "tally.npz"  # of a measured chunk of the article's recipe
ANSWERS = "answers.npz"  # of a sound study's
PLAN = "plan.json"
READINGS = "readings.npz"
EVIDENCE = "evidence.json"
LOGITS = "logits.npz"  # the raw ones, which the evidence names with their shapes
CONCLUSION = "conclusion.json"  # of it what is said wherever the study shows
