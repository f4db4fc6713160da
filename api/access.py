"""What each request needs: `required_scope`."""

from beholder.tokens import Caller, Scope

__all__ = ["COOKIE", "Caller", "required_scope"]

COOKIE = "beholder_token"

# (methods, beginning of the path, scope); the first that fits counts. None: anyone.
_RULES: tuple[tuple[frozenset[str] | None, str, Scope | None], ...] = (
    (None, "/healthz", None),
    (None, "/readyz", None),
    (None, "/static/", None),
    (None, "/sign-in", None),
    (None, "/sign-out", None),
    (None, "/session", None),
    (frozenset({"GET", "HEAD"}), "/", "read"),
    (frozenset({"DELETE"}), "/v1/jobs", "admin"),
    (None, "/v1/workers", "admin"),
    (None, "/", "submit"),
)


def required_scope(method: str, path: str) -> Scope | None:
    """What a request needs; None if anyone may ask it."""
    for methods, beginning, scope in _RULES:
        if path.startswith(beginning) and (methods is None or method in methods):
            return scope
    return "admin"
