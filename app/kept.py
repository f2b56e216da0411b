"""What a browser may keep: files whose address carries their version. Streamlit does not say for how long."""

from urllib.parse import parse_qs

YEAR = b"public, max-age=31536000, immutable"


class Kept:
    """ASGI middleware: a component's file with ?v= is kept for a year, and with it what the browser compiled of it.

    plotly.js is 4.8 MB, which would be compiled anew at every page load. It is the last of the doors: what another one
    answers at such an address is not the file.
    """

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send) -> None:
        versioned = scope["type"] == "http" and "/component/" in scope["path"] and _has_version(scope)
        await self._app(scope, receive, _for_a_year(send) if versioned else send)


def _has_version(scope) -> bool:
    return "v" in parse_qs(scope["query_string"].decode("latin-1"))


def _for_a_year(send):
    async def kept(message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            others = [(name, value) for name, value in message["headers"] if name.lower() != b"cache-control"]
            message = {**message, "headers": [*others, (b"cache-control", YEAR)]}
        await send(message)

    return kept
