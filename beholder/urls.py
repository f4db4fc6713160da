"""URLs and their secrets: `without_secrets` takes them out, `with_password` puts one in.

`insist_on_redis` refuses what can be no broker's.
"""

from urllib.parse import quote, urlsplit

from beholder.errors import InvalidInput

_REDIS_SCHEMES = ("redis", "rediss", "redis+socket")


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


def insist_on_redis(url: str) -> None:
    """Raise InvalidInput where a broker's URL can't be one of Redis; nothing is connected to."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in _REDIS_SCHEMES and parts.port != 0
    except ValueError:  # half a bracket, a port that is no number
        fits = False
    if not fits:
        raise InvalidInput(
            "BEHOLDER_REDIS_URL is no Redis URL: write redis://:PASSWORD@HOST:6379/0, with "
            "%-escapes for other characters than letters and digits in the password."
        )
