"""Questions of the form are answered once, in the background, and never while a run trains."""

import threading

import pytest

from core.learning import outlook
from core.measuring import Answer, Measuring
from core.runs.queue import queue

SOON = 60


def wait_for(measuring: Measuring, right, *question) -> Answer:
    for _ in range(SOON * 100):
        if right(answer := measuring.ask(*question)):
            return answer
        threading.Event().wait(0.01)
    raise AssertionError(answer)


def test_asked_once_for_each_configuration(tiny, digits, monkeypatch):
    asked = []

    def seconds(config, *_) -> float:
        if config.preset == tiny.preset:  # not what a page of another test still asks
            asked.append(config)
        return 1.5

    monkeypatch.setattr(outlook, "seconds_an_epoch", seconds)
    measuring = Measuring()
    answer = wait_for(measuring, lambda answer: answer.seconds, tiny, digits)
    assert answer.outlook == outlook.outlook(tiny, digits)
    assert measuring.ask(tiny.changed(seed=5, epochs=9, learning_rate=0.1), digits) == answer
    assert len(asked) == 1
    wider = tiny.changed(width=16)
    assert wait_for(measuring, lambda answer: answer.seconds, wider, digits).outlook.parameters > 2
    assert [config.width for config in asked] == [8, 16]


def test_nothing_is_measured_while_a_run_trains(tiny, digits, monkeypatch):
    asked, end = [], threading.Event()
    monkeypatch.setattr(outlook, "seconds_an_epoch", lambda *_: asked.append(1) or 1.5)
    queue().submit("a run", lambda control: iter([end.wait(SOON)]))
    try:
        measuring = Measuring()
        assert wait_for(measuring, lambda answer: answer.outlook, tiny, digits).seconds is None
        assert asked == []
    finally:
        end.set()
        assert queue().join(SOON)
    assert wait_for(measuring, lambda answer: answer.seconds, tiny, digits).seconds == 1.5


def test_a_question_that_cannot_be_answered_says_why(tiny, digits, monkeypatch):
    def fail(*_):
        raise MemoryError("too large")

    monkeypatch.setattr(outlook, "seconds_an_epoch", fail)
    assert wait_for(Measuring(), lambda answer: answer.trouble, tiny, digits).trouble == "too large"


def test_the_end_of_the_process_waits_for_the_step_only(tiny, digits, monkeypatch):
    begun, left = threading.Event(), threading.Event()

    def measure(config, images, leave):
        begun.set()
        while not leave():
            threading.Event().wait(0.01)
        left.set()

    monkeypatch.setattr(outlook, "seconds_an_epoch", measure)
    measuring = Measuring()
    measuring.ask(tiny, digits)
    assert begun.wait(SOON)
    measuring.shutdown()
    assert left.is_set()


@pytest.fixture(autouse=True)
def empty_queue():
    yield
    assert queue().join(SOON)
