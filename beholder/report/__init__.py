"""The report of a sound study: one HTML file, or its figures as PDF or PNG. Needs matplotlib.

`page` makes the HTML of an `Evidence` and what `material` found to show beside it; `files` makes
PDF and PNG. `figures` lists what is drawn, each by a module of its own (dose, trade, slopes, bars,
matrix), all in the colours of `palette` and the words of `words`.
"""
