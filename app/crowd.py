"""Many browsers, one process: pages and their parts are drawn a few at a time.

Streamlit takes a lock for each element of a page. Threads that draw side by side then wait for Python's own lock at
each of them, up to 5 ms every time, so that forty pages at once take a minute instead of a second.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

_AT_A_TIME = 2
_LONGEST = 1.0  # seconds: a page that is slow to draw must not stop the others

_places = threading.Semaphore(_AT_A_TIME)
_drawing = threading.local()


@contextmanager
def turn() -> Iterator[None]:
    """Waits for a place, first come, first served; whoever has one already goes on."""
    if getattr(_drawing, "now", False):
        yield
        return
    has_place = _places.acquire(timeout=_LONGEST)
    _drawing.now = True
    try:
        yield
    finally:
        _drawing.now = False
        if has_place:
            _places.release()


def fragment(part: Callable, run_every: float | None = None) -> Callable:
    """`st.fragment` for a part that is drawn by itself again and again: each time it waits for its turn."""

    @functools.wraps(part)
    def drawn(*arguments, **named):
        with turn():
            return part(*arguments, **named)

    return st.fragment(drawn, run_every=run_every)
