"""The door of the server: who may talk to it, and what its answers forbid a browser.

A web page from anywhere can make a browser send requests to this machine. Such a request carries the foreign page's
Origin or, where its name was made to point here (DNS rebinding), a foreign Host. Both are refused before Streamlit sees
them: for a foreign Origin it would even ask a host on the internet for its own address.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
]


class Guard:
    """ASGI middleware: HTTP and websocket requests from elsewhere get 403.

    `hosts`: names by which the lab may be called besides loopback and the address at which a request arrived, e.g.
    that of a reverse proxy.
    """

    def __init__(self, app, hosts: Iterable[str] = ()):
        self._app = app
        self._hosts = frozenset(name.lower().strip("[]") for name in hosts)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif reason := self.refusal(scope):
            await _refuse(scope, receive, send, reason)
        else:
            await self._app(scope, receive, _with_headers(send))

    def refusal(self, scope) -> str:
        """Why the request is not for this lab; empty if it is.

        A request without Origin is no page's: browsers send it with every websocket and every form.
        """
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or len(origins) > 1:
            return "one Host and at most one Origin"
        name = _name(f"//{hosts[0]}")
        arrived_at = (scope.get("server") or ("", None))[0]  # a number is no name that could be made to point here
        if not name or name not in LOOPBACK | self._hosts | {arrived_at}:
            return "the lab is not called by this name: start it with --allow-host NAME"
        if not origins:
            return ""
        own = urlsplit(origins[0]).netloc.lower() == hosts[0].lower()
        behind_proxy = _name(origins[0]) in self._hosts  # it may rewrite Host
        return "" if own or behind_proxy else "a page from elsewhere"


def _values(scope, header: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for name, value in scope["headers"] if name.lower() == header]


def _name(address: str) -> str | None:
    """The host in an address, without its port; None where there is none."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # ValueError: no number
    except ValueError:
        return None
    odd = parts.username is not None or parts.path or parts.query or parts.fragment
    return None if odd else parts.hostname


async def _refuse(scope, receive, send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"403: {reason}\n".encode()})


def _with_headers(send):
    async def guarded(message) -> None:
        if message["type"] == "http.response.start":
            given = [(name, value) for name, value in message.get("headers", []) if name.lower() not in dict(HEADERS)]
            message = {**message, "headers": [*given, *HEADERS]}
        await send(message)

    return guarded
