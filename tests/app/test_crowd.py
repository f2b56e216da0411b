"""Pages that are drawn a few at a time."""

import threading
import time

import pytest

from app import crowd
from app.crowd import turn


class Drawing(threading.Thread):
    """Takes a turn and keeps it until it is told to end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.begun, self.end = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with turn():
            self.begun.set()
            self.end.wait(30)


@pytest.fixture
def drawings():
    begun = []

    def more(count: int) -> list[Drawing]:
        begun.extend(new := [Drawing() for _ in range(count)])
        return new

    yield more
    for each in begun:
        each.end.set()
        each.join(30)


def test_two_are_drawn_and_the_others_wait_until_one_has_ended(monkeypatch, drawings):
    monkeypatch.setattr(crowd, "_LONGEST", 30.0)
    first, second = drawings(2)
    assert first.begun.wait(30)
    assert second.begun.wait(30)
    (third,) = drawings(1)
    assert not third.begun.wait(0.1)
    first.end.set()
    assert third.begun.wait(30)


def test_a_page_that_is_slow_to_draw_does_not_stop_the_others(monkeypatch, drawings):
    monkeypatch.setattr(crowd, "_LONGEST", 0.05)
    for slow in drawings(2):
        assert slow.begun.wait(30)
    (other,) = drawings(1)
    assert other.begun.wait(30)
    other.end.set()
    other.join(30)
    begun = time.monotonic()
    (another,) = drawings(1)  # what went on without a place gives none back
    assert another.begun.wait(30)
    assert time.monotonic() - begun >= 0.05


def test_a_part_within_a_page_waits_for_nothing_and_an_error_gives_the_place_back(monkeypatch):
    monkeypatch.setattr(crowd, "_LONGEST", 30.0)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), turn(), turn():
            raise ZeroDivisionError
    with turn(), turn(), turn():
        pass


def test_many_are_those_who_looked_within_the_last_minute(monkeypatch):
    now = 100.0
    monkeypatch.setattr("app.crowd.time.monotonic", lambda: now)
    for number in range(crowd.MANY):
        assert not crowd.is_many(f"browser {number}")
    assert crowd.is_many("one more")
    assert crowd.is_many("one more")
    now = 161.0
    assert not crowd.is_many("one more")


def test_what_several_parts_of_a_page_ask_is_read_once_a_drawing_and_anew_after_something_was_done():
    numbers = iter(range(100))

    def ask() -> int:
        return crowd.read_once("number", lambda: next(numbers))

    assert [ask(), ask()] == [0, 1]  # outside of a drawing
    with turn():
        assert [ask(), ask()] == [2, 2]
        with turn():  # a part of it
            assert ask() == 2
        crowd.forget()
        assert [ask(), ask()] == [3, 3]
    with turn():
        assert ask() == 4


def test_a_drawing_is_over_when_its_outermost_part_was_drawn_to_its_end(monkeypatch):
    over = []
    monkeypatch.setattr(crowd.session, "drawn", lambda: over.append(True))
    with pytest.raises(RuntimeError), crowd.turn():  # broken off
        raise RuntimeError
    assert not over
    with crowd.turn():
        with crowd.turn():  # a part within the page
            pass
        assert not over
    assert over == [True]
