"""Tokens for the API: `make_token` makes one, `Tokens` knows those of BEHOLDER_API_TOKENS.

The setting holds names, scopes and hashes, never a token itself. `check_bind` says who may listen
without any.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from beholder.errors import InvalidInput
from beholder.settings import Settings

Scope = Literal["read", "submit", "admin"]  # each may do what those before it may
SCOPES: tuple[Scope, ...] = get_args(Scope)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_PREFIX = "bhd_"


@dataclass(frozen=True)
class Caller:
    """Who asks: a token's name and scope. On loopback without tokens, everyone is the owner."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Whether that is within the caller's scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


OWNER = Caller("", "admin")  # whoever sits at the machine
STRANGER = Caller("", "read")  # without a token that is known, where anyone may ask


@dataclass(frozen=True)
class _Entry:
    name: str
    scope: Scope
    sha256: str


class Tokens:
    """The tokens of a setting. False where there are none."""

    def __init__(self, setting: str) -> None:
        self._entries = tuple(_entries(setting))

    def __bool__(self) -> bool:
        return bool(self._entries)

    def caller(self, token: str) -> Caller | None:
        """Whose token it is. Takes the same time whichever it is not."""
        given = _hash(token)
        found = None
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, given):
                found = Caller(entry.name, entry.scope)
        return found


def make_token(name: str, scope: str) -> tuple[str, str]:
    """A new token, and its entry for BEHOLDER_API_TOKENS. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"no token can be {name[:64]!r}'s: a name is of up to 64 letters, digits, dots, "
            "dashes and underscores."
        )
    if scope not in SCOPES:
        raise InvalidInput(
            f"--scope {scope[:64]!r}: write {', '.join(SCOPES[:-1])} or {SCOPES[-1]}."
        )
    token = _PREFIX + secrets.token_urlsafe(32)
    return token, f"{name}:{scope}:{_hash(token)}"


def check_bind(settings: Settings) -> None:
    """Raise InvalidInput where others could reach the API and nothing would stop them."""
    tokens = Tokens(settings.api_tokens.get_secret_value())
    if not tokens and not is_loopback(settings.api_host):
        raise InvalidInput(
            f"listening on {settings.api_host} lets other machines in: set BEHOLDER_API_TOKENS "
            "(`beholder token NAME` makes one), or listen on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _entries(setting: str) -> Iterator[_Entry]:
    texts = filter(None, (part.strip() for part in setting.split(",")))
    for number, text in enumerate(texts, start=1):
        name, _, rest = text.partition(":")
        scope, _, sha256 = rest.partition(":")
        if not (_NAME.fullmatch(name) and scope in SCOPES and _HASH.fullmatch(sha256)):
            raise InvalidInput(  # without a word of it: it may be a token
                f"BEHOLDER_API_TOKENS: entry {number} is not NAME:SCOPE:HASH with scope "
                f"{', '.join(SCOPES)}: `beholder token NAME` prints one."
            )
        yield _Entry(name, next(one for one in SCOPES if one == scope), sha256)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
