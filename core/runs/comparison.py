"""Several runs side by side, by what their folders hold: settings, accuracy, and the images on which they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.analysis import compare
from core.dataset.loader import DataSet
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run

MOST_RUNS = 8


def images_an_epoch(run: Run) -> int:
    """How many images a run looks at in one epoch, an image as often as it is shown."""
    config = run.config
    images, classes = run.data.train, len(run.data.classes)
    count = images - classes * config.held_out(images / classes)  # exact where all classes are of one size
    return config.images_an_epoch(count, classes, run.steps_per_epoch)


@dataclass(frozen=True)
class Comparison:
    """Runs on the same test images, each after its last epoch and by its own rule."""

    runs: Sequence[Run]
    images: DataSet
    right: np.ndarray  # (M, Q) bool: row = run, column = test image
    differing_settings: dict[str, dict[str, object]]  # {setting: {run id: value}}
    pairs: dict[tuple[str, str], compare.Pair]  # by the ids of both runs

    @property
    def all_wrong(self) -> np.ndarray:
        """Rows of the test images that every run gets wrong."""
        return compare.all_wrong(self.right)

    @property
    def alone_wrong(self) -> list[np.ndarray]:
        """For each run the rows of the test images that it alone gets wrong."""
        return compare.alone_wrong(self.right)

    def to_json(self) -> dict:
        """What `python -m core compare --json` prints; pairs count the images."""
        ids = self.images.test.ids
        return {
            "runs": [run.id for run in self.runs],
            "differing_settings": self.differing_settings,
            "accuracy": {run.id: float(row.mean()) for run, row in zip(self.runs, self.right, strict=True)},
            "pairs": [
                {
                    "a": a,
                    "b": b,
                    "only_a_right": len(found.only_a_right),
                    "only_b_right": len(found.only_b_right),
                    "p": found.p,
                }
                for (a, b), found in self.pairs.items()
            ],
            "all_wrong": [ids[row] for row in self.all_wrong],
        }


def compare_runs(runs: Sequence[Run], images: DataSet) -> Comparison:
    """Compares 2 to 8 different runs that were tested on `images`.

    Raises StoreError for another number of runs, for one without a result, or for one with other test images.
    """
    if not 2 <= len({run.id for run in runs}) == len(runs) <= MOST_RUNS:
        raise StoreError(f"{len(runs)} runs cannot be compared; name 2 to {MOST_RUNS} different ones")
    for run in runs:
        if not run.result:
            raise StoreError(f"run {run.id} has no result yet; wait for the end of its first epoch")
        store.check_same_data(run, images)
    right = np.stack([store.embedded(run, run.result.epochs).predicted == images.test.labels for run in runs])
    by_id = dict(zip([run.id for run in runs], right, strict=True))
    return Comparison(
        runs=tuple(runs),
        images=images,
        right=right,
        differing_settings=compare.differing_settings({run.id: run.config.plain() for run in runs}),
        pairs={(a, b): compare.pair(by_id[a], by_id[b]) for a, b in combinations(by_id, 2)},
    )
