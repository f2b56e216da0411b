"""Many browsers, one process: pages and their parts are drawn a few at a time, and each reads the runs once.

Streamlit takes a lock for each element of a page. Threads that draw side by side then wait for Python's own lock at
each of them, up to 5 ms every time, so that forty pages at once take a minute instead of a second.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app import session

MANY = 8  # browsers: with more of them each is drawn more rarely, or a run in training would be slowed down
_AT_A_TIME = 2
_LONGEST = 1.0  # seconds: a page that is slow to draw must not stop the others
_GONE = 60.0  # seconds without a drawing

_places = threading.Semaphore(_AT_A_TIME)
_drawing = threading.local()
_looking: dict[str, float] = {}  # when a run in training was last drawn, by browser session
_counting = threading.Lock()


def is_many(browser: str) -> bool:
    """Whether more than MANY browsers look at runs in training, this one among them. Their drawings take the time of
    the runs, so that each shall have fewer.
    """
    now = time.monotonic()
    with _counting:
        _looking[browser] = now
        for gone in [each for each, drawn in _looking.items() if now - drawn > _GONE]:
            del _looking[gone]
        return len(_looking) > MANY


@contextmanager
def turn() -> Iterator[None]:
    """Waits for a place, first come, first served; whoever has one already goes on."""
    if getattr(_drawing, "read", None) is not None:
        yield
        return
    has_place = _places.acquire(timeout=_LONGEST)
    _drawing.read = {}
    try:
        yield
        session.drawn()
    finally:
        _drawing.read = None
        if has_place:
            _places.release()


def read_once(what: str, read: Callable):
    """What `read()` gives, asked once a drawing: several parts of a page want the same. Outside of one it is asked
    anew, as it is after `forget`.
    """
    known = getattr(_drawing, "read", None)
    if known is None:
        return read()
    if what not in known:
        known[what] = read()
    return known[what]


def forget() -> None:
    """Something was done within this drawing: what was read before is out of date."""
    if getattr(_drawing, "read", None) is not None:
        _drawing.read = {}


def fragment(part: Callable, run_every: float | None = None) -> Callable:
    """`st.fragment` for a part that is drawn by itself again and again: each time it waits for its turn."""

    @functools.wraps(part)
    def drawn(*arguments, **named):
        with turn():
            return part(*arguments, **named)

    return st.fragment(drawn, run_every=run_every)
