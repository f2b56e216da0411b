"""The ways of mining triplets that were tried on the same images, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.dataset.loader import DataSet
from core.runs.store import Run
from core.settings.choices import ARCHITECTURES, OBJECTIVES, SAMPLINGS, SELECTIONS
from core.settings.config import applies, settings

_MINING = ("sampling", "selection", "all_first", "batch_size", "triplets", "images_per_class", "classes_per_batch")
_MINING += ("positive_classes", "negative_classes", "chosen_share")
_NO_MATTER = ("seed", "precision", "threads", "neighbours")
_THE_SAME = ("objective", "exclude", "validation_share")  # besides the network's settings


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


def comparable(run: Run) -> tuple:
    """What two runs have in common if their ways to mine can be compared: network, objective, images and epochs."""
    values = dict(run.config)
    network = [values[each.name] for each in settings() if each.group == "network" and applies(each, values)]
    same = [values[name] for name in _THE_SAME]
    return *network, *same, run.data.fingerprint, run.result.epochs


def differing(found: Sequence[Strategy]) -> list[str]:
    """The labels of the settings in which these runs differ although they are no part of mining, nor the seed."""
    configs = [dict(run.config) for each in found for run in each.runs]
    return [
        each.label
        for each in settings()
        if each.name not in _MINING + _NO_MATTER
        and len({values[each.name] for values in configs if applies(each, values)}) > 1
    ]


def tried(runs: Sequence[Run], images: DataSet, reported: Sequence[Run]) -> list[Strategy]:
    """The strategies among the runs that can be compared with one of those `reported`, the best on average first.

    Compared are runs with a result, a triplet loss and these images; see `comparable`. Empty unless there are two
    different ways to mine: one has nothing to be compared with.
    """
    like = {comparable(run) for run in reported if run.result}
    groups: dict[tuple, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.created, run.id)):
        config = run.config
        if config is None or not run.result or run.archived or run.data.fingerprint != images.fingerprint:
            continue
        if OBJECTIVES[config.objective].triplets and comparable(run) in like:
            groups.setdefault((config.batches, config.counted, comparable(run)), []).append(run)
    if len({key[:2] for key in groups}) < 2:
        return []
    found = [_strategy(members) for members in groups.values()]
    return sorted(found, key=lambda each: -each.accuracies.mean())


def _strategy(members: Sequence[Run]) -> Strategy:
    config = members[0].config
    return Strategy(
        ARCHITECTURES[config.architecture].title,
        OBJECTIVES[config.objective].title,
        SAMPLINGS[config.batches],
        SELECTIONS[config.counted].title,
        members[0].result.epochs,
        tuple(members),
    )
