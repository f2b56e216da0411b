"""Page loads of browsers that go away again leave nothing open, however few files the process may open."""

import os
import resource
import urllib.request
from types import SimpleNamespace

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.session_manager import SessionInfo
from websockets.sync.client import connect

from app import __main__ as server
from app.disconnected import Kept
from tests.app.browser import free_port, served
from tests.processes import Child

PATHS = ("", "train", "mistakes", "runs")


def session(name: str, closed: list) -> SessionInfo:
    return SessionInfo(None, SimpleNamespace(id=name, shutdown=lambda: closed.append(name)))


def test_the_oldest_session_is_closed_when_there_are_too_many():
    closed = []
    kept = Kept(2, 60)
    for name in "abc":
        kept.save(session(name, closed))
    assert closed == ["a"]
    assert kept.get("a") is None
    assert kept.get("b").session.id == "b"
    kept.delete("b")
    kept.save(session("d", closed))
    assert closed == ["a"]
    assert [info.session.id for info in kept.list()] == ["c", "d"]


def test_a_session_is_closed_after_its_time():
    closed = []
    kept = Kept(2, 0)
    kept.save(session("a", closed))
    assert (kept.list(), closed) == ([], ["a"])


def test_the_limit_is_raised_where_the_system_allows_it():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        server._allow_more_files()
        assert server._open_files() == min(server.HANDLES, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def load(url: str, path: str | None) -> None:
    """Opens a page as a browser does, waits until it is drawn, and goes away; without a path it goes at once."""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(address, origin=url, subprotocols=["streamlit"], max_size=None) as socket:
        if path is None:
            return
        message = BackMsg()
        message.rerun_script.page_name = path
        socket.send(message.SerializeToString())
        kind = ""
        while kind != "script_finished":
            answer = ForwardMsg.FromString(socket.recv(timeout=120))
            kind = answer.WhichOneof("type")
            assert kind != "delta" or answer.delta.new_element.WhichOneof("type") != "exception"


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts the files of Linux")
def test_two_hundred_page_loads_where_256_files_are_all(lab):
    """As on macOS, and without a way to ask for more."""
    port = free_port()
    server = Child("tests.app.few_files", "--no-browser", "--port", port, together=True)
    try:
        url = served(server, port, server.said)
        for number in range(200):
            load(url, None if number % 25 else PATHS[number // 25 % len(PATHS)])
        assert urllib.request.urlopen(f"{url}/_stcore/health", timeout=30).status == 200
        load(url, "train")
        assert len(os.listdir(f"/proc/{server.pid}/fd")) < 200
    finally:
        server.kill()
