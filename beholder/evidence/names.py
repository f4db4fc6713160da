"""What a sound study's chunks call the files that they hand on, in their result folders."""

ANSWERS = "answers.npz"  # of a measured chunk
PLAN = "plan.json"
READINGS = "readings.npz"
EVIDENCE = "evidence.json"
