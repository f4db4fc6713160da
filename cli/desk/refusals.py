"""What a server refuses, and what fails on the way to it, as errors of this process."""

import json
import ssl
from collections.abc import Mapping

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from beholder import __version__
from beholder.errors import (
    BeholderError,
    Conflict,
    InvalidInput,
    NotFound,
    NotInstalled,
    PictureError,
    ServiceUnavailable,
    StorageFull,
)
from beholder.protocol import API_HEADER, API_LEVEL

FOR_A_WHILE = frozenset({408, 429, 502, 503, 504})  # statuses after which to ask again
_MAX_PROBLEM = 64 << 10  # bytes that are read of an error
_KINDS: Mapping[int, type[BeholderError]] = {
    404: NotFound,
    408: ServiceUnavailable,
    409: Conflict,
    501: NotInstalled,
    503: ServiceUnavailable,
    507: StorageFull,
}

Answer = urllib3.BaseHTTPResponse


class Broken(ServiceUnavailable):
    """An answer broke off; what came before is good."""


class TooLarge(InvalidInput):
    """More than the server takes."""


def insist_on_beholder(url: str, answer: Answer, *, answered: bool) -> None:
    """Raise unless a Beholder server of this level has answered. answered: one has before."""
    level = answer.headers.get(API_HEADER)
    if level == str(API_LEVEL):
        return
    where = answer.headers.get("Location")
    if level is None and answer.status in (301, 302, 307, 308) and where:
        raise InvalidInput(
            f"{url} sends elsewhere, to {where.partition('?')[0][:200]}: give --server "
            "(BEHOLDER_SERVER) the address that is meant."
        )
    before = f"what stands before the server at {url} says {answer.status}"
    failed = answer.status in FOR_A_WHILE or (answered and answer.status >= 500)
    if level is None and failed:
        raise ServiceUnavailable(f"{before}: is the server running? Try again later.")
    if level is None and answer.status == 413:
        raise InvalidInput(
            f"{before}: let it pass bodies of any size, since the server has limits of its own "
            "(nginx: client_max_body_size 0)."
        )
    if level is None and answer.status >= 400 and answered:
        raise InvalidInput(f"{before}: have it pass all requests on.")
    if level is None or not level.isdecimal():
        raise InvalidInput(
            f"{url} is no Beholder server, or an older one than this command "
            f"({__version__}) can ask: check --server (BEHOLDER_SERVER), or update the server."
        )
    older = int(level) < API_LEVEL
    raise InvalidInput(
        f"{url} is {'older' if older else 'newer'} than this command (its API is of level "
        f"{level}, this of {API_LEVEL}): update {'the server' if older else 'Beholder here'}."
    )


def refusal(url: str, answer: Answer, *, has_token: bool) -> BeholderError:
    """What a problem says, as an error of this process."""
    problem = _problem(answer)
    detail = problem.get("detail") or f"{url} answered {answer.status}."
    if answer.status == 401:
        return InvalidInput(_token_wanted(url, has_token=has_token))
    if answer.status == 404 and "/openapi.json" in detail:
        return InvalidInput(
            f"{url} does not know that question: it is older than this command "
            f"({__version__}). Update the server."
        )
    if answer.status == 421:
        return InvalidInput(f"{url} is not told its own name. On the server: {detail}")
    if answer.status == 413:
        return TooLarge(detail)
    if "picture" in problem.get("title", "").lower():
        return PictureError(detail)
    if answer.status >= 500:
        return _KINDS.get(answer.status, ServiceUnavailable)(detail)
    return _KINDS.get(answer.status, InvalidInput)(detail)


def _problem(answer: Answer) -> dict[str, str]:
    try:
        found = json.loads(answer.read(_MAX_PROBLEM))
    except ValueError:
        return {}
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _token_wanted(url: str, *, has_token: bool) -> str:
    if has_token:
        return (
            f"{url} does not know this token: check --token-file (BEHOLDER_TOKEN_FILE), and "
            "BEHOLDER_API_TOKENS on the server."
        )
    return (
        f"{url} asks for a token: name a file that holds one with --token-file "
        "(BEHOLDER_TOKEN_FILE); `beholder token NAME` on the server makes one."
    )


def unreachable(url: str, error: HTTPError, *, answered: bool) -> ServiceUnavailable:
    """No connection, or one that broke before its answer. answered: whether one came before."""
    reason = reason_of(error)
    if _is_plain(error):
        return ServiceUnavailable(
            f"{url} is answered without TLS: is http:// meant, or another port?"
        )
    if is_unsafe(error):
        return ServiceUnavailable(
            f"{url}: no safe connection ({reason}). If its certificate is your own authority's, "
            "name that one's file in SSL_CERT_FILE."
        )
    if isinstance(error, ProxyError):
        return ServiceUnavailable(
            f"{url}: the proxy does not answer ({reason}): check HTTPS_PROXY."
        )
    if answered:
        return ServiceUnavailable(f"{url} answers no more ({reason}): try again when it is back.")
    return ServiceUnavailable(
        f"{url} does not answer ({reason}): check --server (BEHOLDER_SERVER), and that `beholder "
        "up` runs there."
    )


def is_unsafe(error: HTTPError) -> bool:
    """Whether TLS fails for good; what else it says may be a line that broke."""
    if not isinstance(error, SSLError):
        return False
    inner = error.args[-1]
    broken = isinstance(inner, ssl.SSLError) and not isinstance(inner, ssl.CertificateError)
    return not broken or _is_plain(error)


def _is_plain(error: HTTPError) -> bool:
    inner = error.args[-1] if isinstance(error, SSLError) else None
    return isinstance(inner, ssl.SSLError) and inner.reason == "WRONG_VERSION_NUMBER"


def reason_of(error: HTTPError) -> str:
    """In a few words, without urllib3's object names."""
    if isinstance(error, NameResolutionError):
        return "no host of that name"
    inner = error.__cause__ or next(reversed(error.args), None)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message.lower()
    if isinstance(inner, ssl.SSLError):
        cut = isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError) or not inner.reason
        return "cut off" if cut else inner.reason.replace("_", " ").lower()
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    if refused := str(inner).partition("Tunnel connection failed: ")[2]:
        return f"it says {refused[:80]}"
    late = isinstance(error, ConnectTimeoutError | ReadTimeoutError)
    return "no answer in time" if late else "cut off"
