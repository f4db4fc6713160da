"""URLs and their secrets: `without_secrets` takes them out, `with_password` puts one in."""

from urllib.parse import quote, urlsplit


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


def with_password(url: str, password: str) -> str:
    """A URL with this password, whatever characters it has. Raises ValueError where it has one."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    if not separator or ":" in user:
        raise ValueError("it has a password, or no host")
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}{slash}{path}"
