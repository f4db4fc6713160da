"""Which addresses a webhook may have. `check_url` looks at one as written, `is_public` at what its
name leads to.
"""

import ipaddress
import re
import socket
from urllib.parse import SplitResult, urlsplit

from beholder.errors import InvalidInput

NOT_PUBLIC = (
    "the webhook's host {host} is no public address: set BEHOLDER_WEBHOOK_PRIVATE=true on the "
    "server to allow it."
)
_WRONG = "webhook: write an http:// or https:// address without a password."
_NOT_ASCII = (
    "webhook: write the address in ASCII: a name as xn--..., other letters as %-escapes such as "
    "%C3%A9."
)
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# What leads on to IPv4 addresses (NAT64, 6to4, the old compatible form), and old site-local ones.
_LEADING_ON = tuple(
    ipaddress.IPv6Network(one)
    for one in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")
)


def check_url(url: str, *, private: bool) -> SplitResult:
    """Its parts. Raises InvalidInput for what can't be a webhook; looks no name up."""
    if not url.isascii():
        raise InvalidInput(_NOT_ASCII)
    try:
        parsed = urlsplit(url)
        fits = parsed.scheme in ("http", "https") and parsed.port != 0
    except ValueError:  # half a bracket, or a port that is no number
        raise InvalidInput(_WRONG) from None
    if not fits or "@" in parsed.netloc or not url.isprintable() or " " in url:
        raise InvalidInput(_WRONG)
    _check_host((parsed.hostname or "").removesuffix("."), private=private)
    return parsed


def is_public(address: str) -> bool:
    """Whether an address belongs to anyone's network, and to no network of this server's."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return is_public(str(found.ipv4_mapped))
        if any(found in network for network in _LEADING_ON):
            return False
    return found.is_global and not found.is_multicast and not _is_ours(found)


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this machine itself has it: then a socket can be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _check_host(host: str, *, private: bool) -> None:
    literal = _literal(host)
    if literal is None and not _NAME.fullmatch(host):
        raise InvalidInput(f"webhook: {host[:80]!r} is no host's name.")
    local = host == "localhost" or host.endswith(".localhost")
    if not private and (local or (literal is not None and not is_public(literal))):
        raise InvalidInput(NOT_PUBLIC.format(host=host))


def _literal(host: str) -> str | None:
    """The address that a host is, also in the forms that C reads: 2130706433, 0x7f.1, 0."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
