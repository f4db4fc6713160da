"""An atlas: the dreams of a layer's channels on one page that zooms, in one file (page.py)."""
