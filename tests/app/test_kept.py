"""What a browser may keep: a component's file whose address carries its version, and nothing else."""

import pytest

from app.kept import YEAR, Kept
from tests.app import loops

LIBRARY = "/component/app.components.plotly_chart.plotly/plotly.min.js"


def said_of(path: str, query: str = "", status: int = 200, kind: str = "http") -> list[bytes]:
    """What the answer says of how long it may be kept, where Streamlit says "public"."""
    heard = []

    async def app(scope, receive, send):
        headers = [(b"content-type", b"text/javascript"), (b"Cache-Control", b"public")]
        await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": b"let plotly"})

    async def send(message):
        heard.append(message)

    scope = {"type": kind, "path": path, "query_string": query.encode()}
    loops.run(Kept(app)(scope, None, send))
    assert heard[1] == {"type": f"{kind}.response.body", "body": b"let plotly"}
    assert heard[0]["headers"][0] == (b"content-type", b"text/javascript")
    return [value for name, value in heard[0]["headers"] if name.lower() == b"cache-control"]


@pytest.mark.parametrize("path", [LIBRARY, f"/lab{LIBRARY}"])
def test_a_file_with_its_version_is_kept(path):
    assert said_of(path, "v=6.9.0") == [YEAR]


@pytest.mark.parametrize(
    ("path", "query", "status", "kind"),
    [
        (LIBRARY, "", 200, "http"),
        (LIBRARY, "version=6", 200, "http"),
        (LIBRARY, "v=6.9.0", 404, "http"),
        ("/train", "v=1", 200, "http"),
        ("/media/image.png", "v=1", 200, "http"),
        (LIBRARY, "v=1", 200, "websocket"),
    ],
)
def test_everything_else_is_as_it_was(path, query, status, kind):
    assert said_of(path, query, status, kind) == [b"public"]
