"""Means of named numbers over steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
