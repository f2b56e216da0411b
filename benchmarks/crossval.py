"""Settings judged inside the training images: python -m benchmarks.crossval PRESET [--set key=value …] [--folds 0 1 …]

The training images of every class are split into five equal parts by a fixed seed. A network learns four of them and is
asked for the fifth, in turns, so that every training image is predicted once by a network that has not seen it; the
test images take no part. A row each fold goes to results/crossval.csv. `python -m benchmarks.crossval` alone compares
the settings that were tried on all five parts, and says which images all of them have missed.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import results
from core import experiment, places
from core.dataset import loader
from core.dataset.loader import DataSet, Split
from core.runs import store, writing
from core.settings import presets
from core.settings.text import parse_setting, written

FOLDS = 5
SEED = 0


def main() -> None:
    """Trains a network for each fold and prints their accuracy on the images that it has not learnt."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crossval", description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", choices=presets.PRESETS)
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="a setting that differs")
    parser.add_argument("--folds", nargs="+", type=int, default=range(FOLDS), choices=range(FOLDS), metavar="FOLD")
    parser.add_argument("--data", type=Path, default=places.data_folder(), help="the data set")
    options = parser.parse_args()
    if not options.preset:
        print(comparison(results.read("crossval")))
        return
    images = loader.load(options.data)
    config = presets.from_preset(options.preset, **dict(map(parse_setting, options.set)))
    accuracies = []
    for fold in options.folds:
        with (
            tempfile.TemporaryDirectory() as runs,
            writing.create(config, part := split(images, fold), Path(runs)) as run,
        ):
            *_, finished = experiment.run(run, part)
            wrong = store.mistakes(store.read(run.folder))
        accuracies.append(finished.test_accuracy)
        row = {
            "preset": options.preset,
            "changes": "; ".join(f"{name}={written(value)}" for name, value in presets.changes(config).items()),
            "fold": fold,
            "seed": config.seed,
            "accuracy": finished.test_accuracy,
            "images": len(part.test.ids),
            "seconds": round(finished.seconds, 1),
            "threads": run.record.machine.threads,
            "data": images.fingerprint[:12],
            **results.circumstances(),
            "missed": " ".join(f"{row.id}={row.predicted}" for row in wrong.itertuples()),
        }
        results.append("crossval", [row])
        print(f"fold {fold}: {finished.test_accuracy:.2%} in {finished.seconds:.0f} s", flush=True)
    print(f"{options.preset} {row['changes']}: {statistics.mean(accuracies):.2%} of {len(accuracies)} folds")


def comparison(rows: pd.DataFrame) -> str:
    """The share of wrong images for the settings that were tried on every part; and what all those of a preset missed.

    Of a part that was tried twice the last time counts. Which images were missed is known since 26 November 2026.
    """
    lines, missed, whole = [], {}, set(range(FOLDS))
    rows = rows.drop_duplicates(["preset", "changes", "seed", "fold"], keep="last")
    for (preset, changed, seed), tried in rows.groupby(["preset", "changes", "seed"], sort=False):
        if set(tried["fold"]) != whole:
            continue
        lines.append(f"{1 - tried['accuracy'].mean():.2%} wrong: {preset} {changed}, seed {seed}")
        if (tried["missed"] != "").all():
            missed.setdefault(preset, []).append({name for names in tried["missed"] for name in names.split()})
    for preset, sets in missed.items():
        in_common = sorted(set.intersection(*sets))
        lines.append(
            f"{len(in_common)} images were taken for the same wrong class by {len(sets)} settings of {preset}:"
        )
        lines += in_common
    return "\n".join(lines)


def split(images: DataSet, fold: int) -> DataSet:
    """The training images alone: one part of five to be asked for, the others to learn from."""
    labels = images.train.labels
    asked = np.zeros(len(labels), bool)
    draw = np.random.default_rng(SEED)
    for label in np.unique(labels):
        asked[np.array_split(draw.permutation(np.flatnonzero(labels == label)), FOLDS)[fold]] = True
    numbers = dict(zip(images.classes, images.class_numbers, strict=True))
    parts = (_rows(images.train, np.flatnonzero(rows)) for rows in (~asked, asked))
    return loader.assemble(images.folder, numbers, *parts, images.source, f"fold {fold} of {images.description}")


def _rows(part: Split, rows: np.ndarray) -> Split:
    ids, files = (tuple(values[row] for row in rows) for values in (part.ids, part.files))
    return Split(part.images[rows], part.labels[rows], ids, files)


if __name__ == "__main__":
    main()
