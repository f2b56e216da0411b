"""Uploads in a shared lab: refused by their length before anything is read, and bounded in memory."""

import asyncio

import pytest

from app.uploading import FILES, PATH, Gate
from core.classroom.limits import MEGABYTE
from core.classroom.roles import TEACHER, Actor, Role
from tests.app import loops

ANNA, BOB = Actor(Role.STUDENT, "Anna"), Actor(Role.STUDENT, "Bob")


class Server:
    """What lies behind the gate: keeps the bytes that were announced, as Streamlit does."""

    def __init__(self):
        self.held: dict[str, int] = {}
        self.gate = Gate(lambda: self.held)

    async def __call__(self, scope, receive, send):
        session = scope["path"].split("/")[3]
        self.held[session] = self.held.get(session, 0) + int(dict(scope["headers"])[b"content-length"])

    def send(self, actor, size, session="a", method="PUT"):
        scope = {"type": "http", "method": method, "path": f"{PATH}/{session}/file"}
        scope["headers"] = [] if size is None else [(b"content-length", str(size).encode())]
        refused = loops.run(self.gate.through(self, scope, None, None, actor))
        return refused and refused[0]


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path))
    return Server()


def test_what_is_too_long_is_not_read(server):
    assert server.send(ANNA, 61 * MEGABYTE) == 413
    assert server.send(ANNA, None) == 411
    assert server.send(ANNA, "-1") == 411
    assert server.held == {}
    assert server.send(ANNA, 60 * MEGABYTE) is None
    assert server.send(TEACHER, 200 * MEGABYTE) is None


def test_a_student_holds_two_files_in_however_many_windows(server):
    for window in range(FILES):
        assert server.send(ANNA, 59 * MEGABYTE, f"window {window}") is None
    assert server.send(ANNA, 10 * MEGABYTE, "another window") == 429
    assert server.send(BOB, 59 * MEGABYTE, "his") is None
    server.held["window 0"] = 0  # taken in
    assert server.send(ANNA, 10 * MEGABYTE, "another window") is None


def test_all_together_have_a_bound(server):
    sent = [server.send(Actor(Role.STUDENT, str(number)), 60 * MEGABYTE, str(number)) for number in range(12)]
    assert sent == [None] * 10 + [503] * 2


def test_what_is_still_being_sent_counts(server):
    def sent(session):
        scope = {"type": "http", "method": "PUT", "path": f"{PATH}/{session}/file"}
        return scope | {"headers": [(b"content-length", str(59 * MEGABYTE).encode())]}

    async def three_at_once():
        go_on = asyncio.Event()

        async def slow(scope, receive, send):
            await go_on.wait()

        async def last():
            refused = await server.gate.through(slow, sent("c"), None, None, ANNA)
            go_on.set()
            return refused

        first = [server.gate.through(slow, sent(name), None, None, ANNA) for name in "ab"]
        return await asyncio.gather(*first, last())

    assert [refused and refused[0] for refused in loops.run(three_at_once())] == [None, None, 429]
    assert server.send(ANNA, 59 * MEGABYTE) is None
