"""Connections to a server: `pool_for(url)`, through a proxy where the environment names one."""

from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, make_headers, parse_url

from beholder.errors import InvalidInput
from beholder.tokens import is_loopback


def pool_for(url: str, *, connections: int) -> urllib3.PoolManager:
    """What goes to this machine goes through no proxy: it may hold a token, and is not encrypted.

    Raises InvalidInput for a proxy that can't be used, without the password in its address.
    """
    parts = urlsplit(url)
    named = getproxies().get(parts.scheme)
    options: dict[str, Any] = {"maxsize": connections}
    if not named or is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**options)
    proxy = _proxy(named, f"{parts.scheme.upper()}_PROXY")
    if proxy.auth is not None:
        options["proxy_headers"] = make_headers(
            proxy_basic_auth=unquote(proxy.auth), proxy_basic_auth_encoding="utf-8"
        )
    return urllib3.ProxyManager(proxy._replace(auth=None).url, **options)


def _proxy(named: str, variable: str) -> Url:
    try:
        proxy = parse_url(named if "://" in named else f"http://{named}")
    except LocationParseError:
        proxy = Url()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        kind = f"begins with {proxy.scheme}://" if proxy.host else "is none"
        raise InvalidInput(
            f"{variable} is to be a proxy's address such as http://proxy.example.org:3128; what it "
            f"holds {kind}."
        )
    return proxy
