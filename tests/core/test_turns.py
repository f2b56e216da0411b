"""Runs that give way: a student's run that was trained for long goes on after the others' turns, as the same run."""

import threading

from core import control, turns
from core.classroom.roles import Actor, Role
from core.runs import store
from core.runs.queue import queue
from tests.core.whole_runs import check_resumed

SOON = 60  # seconds


def test_a_long_run_gives_way_and_comes_out_the_same(done, digits, tmp_path, monkeypatch):
    whole, _ = done
    monkeypatch.setattr(turns, "LONGEST_TURN", 0.0)
    free = threading.Event()
    queue().submit("first", lambda asked: iter(free.wait, True))
    order = []
    note = turns.fairly

    def noted(writer, images, asked):
        order.append(writer.record.owner)
        return note(writer, images, asked)

    monkeypatch.setattr(turns, "fairly", noted)
    names = [control.begin(whole.config, digits, tmp_path, actor=Actor(Role.STUDENT, each)) for each in "AB"]
    free.set()
    assert queue().join(SOON)
    assert order[:6] == ["A", "B"] * 3
    for name in names:
        run = store.read(tmp_path / name)
        assert run.status == "done"
        check_resumed(whole, run)
