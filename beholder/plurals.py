"""Counts with their nouns, for what people read."""


def plural(count: int, noun: str) -> str:
    """ "1 item", "1,000 items"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
