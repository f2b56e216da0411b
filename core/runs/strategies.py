"""The ways of mining triplets that were tried on the same images, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.dataset.loader import DataSet
from core.runs.store import Run
from core.settings.choices import ARCHITECTURES, OBJECTIVES, SAMPLINGS, SELECTIONS


@dataclass(frozen=True)
class Strategy:
    """Runs that differ in nothing that this comparison names but their seeds; the oldest first."""

    network: str  # in words, as the others
    objective: str
    batches: str
    mining: str
    epochs: int
    runs: tuple[Run, ...]

    @property
    def accuracies(self) -> np.ndarray:
        """Shares of the test images classified correctly, one a run."""
        return np.array([run.result.test_accuracy for run in self.runs])


def tried(runs: Sequence[Run], images: DataSet) -> list[Strategy]:
    """The strategies among the runs that have a result, a triplet loss and these images, the best on average first.

    Empty unless there are two different ways to mine: one has nothing to be compared with.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.created, run.id)):
        config = run.config
        if config is None or not run.result or run.archived or run.data.fingerprint != images.fingerprint:
            continue
        if OBJECTIVES[config.objective].triplets:
            key = config.architecture, config.objective, config.batches, config.counted, run.result.epochs
            groups.setdefault(key, []).append(run)
    if len({(batches, mining) for _, _, batches, mining, _ in groups}) < 2:
        return []
    found = [
        Strategy(
            ARCHITECTURES[network].title,
            OBJECTIVES[objective].title,
            SAMPLINGS[batches],
            SELECTIONS[mining].title,
            epochs,
            tuple(members),
        )
        for (network, objective, batches, mining, epochs), members in groups.items()
    ]
    return sorted(found, key=lambda each: -each.accuracies.mean())
