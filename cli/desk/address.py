"""Where the server is and who asks: `server_address` and `read_token`, before anything is sent."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from beholder.errors import InvalidInput
from beholder.tokens import is_loopback
from cli.output import say

_MOST_BYTES = 1_000  # of a token's file


def server_address(url: str, *, has_token: bool) -> str:
    """The address without its last slash. Raises InvalidInput where none, or no token, may go."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InvalidInput(
            "--server (BEHOLDER_SERVER) is an address such as https://beholder.example.org; got "
            f"{_without_user(url)!r}."
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "--server (BEHOLDER_SERVER) holds a user or a password: leave them out, and give the "
            "token as a file with --token-file."
        )
    if has_token and parts.scheme == "http" and not is_loopback(host):
        raise InvalidInput(
            f"{url} is not encrypted, so that anyone on the way could read the token: use https, "
            "or a tunnel to a port of this machine (`ssh -L 8321:127.0.0.1:8321 HOST`)."
        )
    return url.rstrip("/")


def read_token(path: Path) -> str:
    """The token in a file; says so where others may read it.

    Raises InvalidInput, without a word of what is in it.
    """
    hint = "check --token-file (BEHOLDER_TOKEN_FILE)."
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise InvalidInput(
            f"the token file {path} can't be read ({error.strerror}): {hint}"
        ) from None
    words = data.decode("ascii", "replace").split()
    if len(words) != 1 or len(data) > _MOST_BYTES or not words[0].isprintable():
        raise InvalidInput(
            f"the token file {path} is to hold one token and nothing else, as `beholder token "
            f"NAME` prints it: {hint}"
        )
    if not words[0].isascii():
        raise InvalidInput(f"the token in {path} has letters that no token has: {hint}")
    if mode & 0o044:
        say(f"Others may read the token file {path}: `chmod 600 {path}`.")
    return words[0]


def _without_user(url: str) -> str:
    return url.rpartition("@")[2][:100]
