"""The curve of a learning-rate range test (Smith, arXiv:1506.01186) and what it suggests, by fastai's rules.

No torch here: the pages draw it.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = 100
LOWEST, HIGHEST = 1e-5, 10.0  # learning rates of the first step and of the last one
_KEPT = 0.98  # of the smoothed loss, a step
_GROWN = 4.0  # times its least, after which the smoothed loss ends the test
_FIRST, _LAST = 0.1, 5  # a suggestion is not looked for in this share of the steps at first, and in so many at last


@dataclass(frozen=True)
class RangeTest:
    """What a test has found until now, a number a step."""

    learning_rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()  # of the batch, before the step
    smoothed: tuple[float, ...] = ()  # exponential moving average, without the bias of its beginning

    def after(self, rate: float, loss: float) -> "RangeTest":
        """The same and one step more."""
        count = len(self.losses)
        mean = self.smoothed[-1] * (1 - _KEPT**count) if count else 0.0
        smoothed = (_KEPT * mean + (1 - _KEPT) * loss) / (1 - _KEPT ** (count + 1))
        return RangeTest((*self.learning_rates, rate), (*self.losses, loss), (*self.smoothed, smoothed))

    @property
    def grown(self) -> bool:
        """Whether the smoothed loss has become so large that larger rates have nothing more to say."""
        return bool(self.smoothed) and self.smoothed[-1] > _GROWN * min(self.smoothed)

    @property
    def suggestion(self) -> float | None:
        """A learning rate to train with, in two digits: half way down the longest fall of the smoothed loss.

        None if the loss does not fall anywhere.
        """
        return self._found(valley)

    @property
    def steepest(self) -> float | None:
        """The learning rate at which the smoothed loss falls fastest, in two digits; None if it does not fall."""
        return self._found(steepest)

    def _found(self, rule) -> float | None:
        kept = slice(int(len(self.losses) * _FIRST), len(self.losses) - _LAST)
        rates, losses = self.learning_rates[kept], self.smoothed[kept]
        place = rule(rates, losses) if len(rates) > 1 else None
        return None if place is None else float(f"{rates[place]:.2g}")


def valley(_rates: Sequence[float], losses: Sequence[float]) -> int | None:
    """A place half way down the longest subsequence in which the losses fall, fastai's rule; None if none falls."""
    lengths = [1] * len(losses)  # of the longest falling subsequence that ends here
    for here, before in itertools.product(range(len(losses)), repeat=2):
        if before < here and losses[here] < losses[before]:
            lengths[here] = max(lengths[here], lengths[before] + 1)
    longest = max(lengths)
    if longest == 1:
        return None
    third = longest / 3
    return max(lengths.index(longest) - longest + int(third) + int(third / 2), 0)


def steepest(rates: Sequence[float], losses: Sequence[float]) -> int | None:
    """The place from which the loss falls fastest, against the logarithm of the rate; None if it falls nowhere."""
    pairs = zip(itertools.pairwise(map(math.log, rates)), itertools.pairwise(losses), strict=True)
    slopes = [(after - before) / (higher - lower) for (lower, higher), (before, after) in pairs]
    least = min(slopes)
    return slopes.index(least) if least < 0 else None


def rates(steps: int = STEPS) -> list[float]:
    """The learning rates of a test: each is the same multiple of the one before."""
    return [LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1)) for step in range(steps)]
