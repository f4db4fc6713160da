"""What a request needs (`required_scope`), and who may listen without tokens (`check_bind`)."""

import ipaddress

from beholder.errors import InvalidInput
from beholder.settings import Settings
from beholder.tokens import Caller, Scope, Tokens

__all__ = ["COOKIE", "Caller", "check_bind", "is_loopback", "required_scope"]

COOKIE = "beholder_token"

# (methods, beginning of the path, scope); the first that fits counts. None: anyone.
_RULES: tuple[tuple[frozenset[str] | None, str, Scope | None], ...] = (
    (None, "/healthz", None),
    (None, "/readyz", None),
    (None, "/static/", None),
    (None, "/sign-in", None),
    (None, "/session", None),
    (frozenset({"GET", "HEAD"}), "/", "read"),
    (frozenset({"DELETE"}), "/v1/jobs", "admin"),
    (None, "/", "submit"),
)


def required_scope(method: str, path: str) -> Scope | None:
    """What a request needs; None if anyone may ask it."""
    for methods, beginning, scope in _RULES:
        if path.startswith(beginning) and (methods is None or method in methods):
            return scope
    return "admin"


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
