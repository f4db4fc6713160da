"""Lengths of time as people say them, for the command line and the page alike."""


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min, 2 h 10 min, 4 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.0f} days"
