"""Range tests in the queue: one at a time with all trainings, ended at any moment, and who may end them."""

import threading

import pytest

from core import control, rate_finding
from core.classroom.roles import Actor, NotAllowed, Role
from core.learning import rate_range
from core.runs.files import StoreError
from core.runs.queue import queue

SOON = 60
ANNA, BEN = (Actor(Role.STUDENT, name) for name in ("Anna", "Ben"))


@pytest.fixture
def held():
    """A job before all others, until the test sets this."""
    free = threading.Event()
    queue().submit("before it", lambda asked: iter(free.wait, True))
    yield free
    free.set()
    assert queue().join(SOON)


def test_it_waits_its_turn_and_is_what_the_core_finds(tiny, digits, held):
    assert rate_finding.told(tiny, digits) is None
    control.find_rate(tiny, digits)
    assert rate_finding.told(tiny, digits).waits
    with pytest.raises(StoreError, match="being tested"):
        control.find_rate(tiny.changed(learning_rate=0.5, epochs=9), digits)
    held.set()
    assert queue().join(SOON)
    about = rate_finding.told(tiny.changed(learning_rate=0.5, preset="quick"), digits)
    *_, found = rate_range.find(tiny, digits)
    assert (about.found, about.ended, about.error) == (found, True, "")
    assert rate_finding.told(tiny.changed(batch_size=4), digits) is None
    control.find_rate(tiny, digits)  # again


def test_it_is_ended_before_its_turn_and_within_it(tiny, digits, held, monkeypatch):
    config = tiny.changed(seed=3)
    control.find_rate(config, digits)
    control.end_rate_test(config, digits)
    assert "before its turn" in rate_finding.told(config, digits).error
    begun = threading.Event()
    learn = rate_range.loop.learn

    def slowly(*arguments):
        begun.set()
        assert ended.wait(SOON)
        return learn(*arguments)

    ended = threading.Event()
    monkeypatch.setattr(rate_range.loop, "learn", slowly)
    control.find_rate(config, digits)
    held.set()
    assert begun.wait(SOON)
    control.end_rate_test(config, digits)
    ended.set()
    assert queue().join(SOON)
    about = rate_finding.told(config, digits)
    assert (about.found, about.ended) == (None, True)
    assert "before its last step" in about.error


def test_only_its_owner_or_the_teacher_ends_it(tiny, digits, held):
    config = tiny.changed(seed=4)
    control.find_rate(config, digits, ANNA)
    with pytest.raises(NotAllowed, match="only Anna"):
        control.end_rate_test(config, digits, BEN)
    control.end_rate_test(config, digits, ANNA)
    with pytest.raises(NotAllowed, match="look on"):
        control.find_rate(config, digits, Actor(Role.VIEWER))


def test_what_went_wrong_is_said(tiny, digits, monkeypatch):
    def fail(*_):
        raise MemoryError("too large")

    monkeypatch.setattr(rate_range, "find", fail)
    control.find_rate(tiny.changed(seed=5), digits)
    assert queue().join(SOON)
    assert rate_finding.told(tiny.changed(seed=5), digits).error == "too large"
