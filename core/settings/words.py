"""The nearest right word for a wrong one."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong word: the nearest right one, or all there are."""
    known = list(known)
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else f"; there are {', '.join(known)}"
