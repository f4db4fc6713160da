"""What a sound study decides, measures and concludes: `plan`, `readings`, `document`.

The network's part is in `beholder.science`, the statistics are in `analysis`, the page that people
read is made by `beholder.report`.
"""
