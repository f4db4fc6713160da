"""URLs as they may be shown: `without_secrets`."""

from urllib.parse import urlsplit


def without_secrets(url: str) -> str:
    """A URL without user, password and query, for errors and tables; a plain path as it is."""
    scheme, separator, rest = url.partition("://")
    # Not by urlsplit alone: a password that was not escaped may hold a slash.
    shown = rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}://{shown}" if separator else url


def has_password(url: str) -> bool:
    """Whether a URL holds a password before its host's name."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return "@" in url
