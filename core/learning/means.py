"""Means of named numbers over steps."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Bounds = Callable[[str], tuple[float, float]]  # the lowest and the highest number that a name allows
_NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,39}")


def anything(name: str) -> tuple[float, float]:
    """The bounds of any number."""
    return -math.inf, math.inf


@dataclass
class Means:
    """Sums of named numbers, and how many were added. None, what a step cannot tell, is left out of its mean."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, float | None]) -> None:
        """Adds the numbers of a step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + (value or 0.0)
            self.counts[name] = self.counts.get(name, 0) + (value is not None)

    def now(self) -> dict[str, float | None]:
        """The mean of each; None if no step could tell it."""
        return {name: total / self.counts[name] if self.counts[name] else None for name, total in self.sums.items()}

    @classmethod
    def checked(cls, sums: Mapping[str, float], counts: Mapping[str, int], bounds: Bounds = anything) -> "Means":
        """Those that were kept. Raises ValueError if they cannot be any."""
        if sums.keys() != counts.keys():
            raise ValueError("means that do not fit each other")
        check_numbers(sums, bounds)
        check_numbers(counts, bounds)
        return cls(dict(sums), dict(counts))


def check_numbers(row: Mapping[str, float | None], bounds: Bounds = anything) -> None:
    """Raises ValueError unless these are named numbers within what their name allows, or None."""
    for name, value in row.items():
        if not _NAME.fullmatch(name):
            raise ValueError("names or numbers that cannot be in a history")
        low, high = bounds(name)
        if value is not None and not (type(value) in (int, float) and low <= value <= high):
            raise ValueError(f"names or numbers that cannot be in a history ({name})")
