"""Everything that may happen to a run, done to real processes on a real disk: python -m tests.faults

Each row of the table is a fault and what became of the run. The table goes to standard output as Markdown and into
tests/faults/results.csv; the exit status is 1 if a row failed. `--short` is what `make test` runs.

A training happens in a child process (deadly.py). A kill is SIGKILL: from outside after a random time, or by the child
itself at a random one of its file operations, some of them halfway through a write. Afterwards the run is resumed until
it is done, and the SHA-256 of all that it left is compared with that of the run that nothing happened to.
"""

import argparse
import csv
import os
import random
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from core.dataset.loader import DataSet
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset
from tests.conftest import write_digits
from tests.faults import deadly
from tests.faults.crowds import many_runs, two_writers
from tests.faults.damages import damaged_checkpoints, damaged_files
from tests.faults.disks import full_disk, vanished_folder
from tests.faults.kills import every_operation, killed_while_it_begins, kills

RESULTS = Path(__file__).parent / "results.csv"
TINY = dict(blocks=(1, 1), width=8, embedding_size=8, triplets=48, batch_size=8, epochs=3, neighbours=3)
SMALL = dict(epochs=2, triplets=32, batch_size=16, images_per_class=4, width=8, cardinality=2, bottleneck_width=4)
EXACT = dict(precision="float32", threads=1)


def all_faults(short: bool, images: DataSet, runs: Path, seed: int, only: str = "") -> Iterator[deadly.Row]:
    """Every fault in turn."""
    draw = random.Random(seed)
    tiny = RunConfig(**TINY, **EXACT)
    if only:
        yield from globals()[only](tiny, images, runs)
        return
    yield from kills("tiny triplets", tiny, images, runs, 4 if short else 30, draw)
    if not short:
        classifier = RunConfig(**TINY, **EXACT, objective="cross_entropy", augmentation="crop_flip")
        yield from kills("tiny classifier", classifier, images, runs, 12, draw)
    yield from every_operation(tiny, images, runs, 97 if short else 4)
    yield from killed_while_it_begins(tiny, images, runs)
    yield from two_writers(tiny, images, runs, 3 if short else 6)
    yield from full_disk(tiny, images, runs, (0.02, 0.6) if short else (0.02, 0.3, 0.6, 0.8, 0.95))
    yield from vanished_folder(tiny, images, runs)
    yield from damaged_files(tiny, images, runs, 40 if short else 10**9)
    yield from damaged_checkpoints(tiny, images, runs)
    yield from many_runs(tiny, images, runs, 15 if short else 200)
    for preset in () if short else PRESETS:
        if preset != "learning-rate-too-high":  # fails on purpose, and is not resumed
            blocks = (1,) * len(from_preset(preset).blocks)
            yield from kills(preset, from_preset(preset, **SMALL, blocks=blocks), images, runs, 3, draw)


def main() -> int:
    """Tries every fault and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a minute instead of ten")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    parser.add_argument("--only", default="", help="one of the faults, e.g. full_disk")
    parser.add_argument("--csv", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    options = parser.parse_args()
    warnings.simplefilter("error", RuntimeWarning)
    failed = False
    memory = "/dev/shm" if options.short and os.path.isdir("/dev/shm") else None  # busy disks take minutes
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tripletlab-faults-", dir=memory) as temporary,
        open(options.csv, "w", newline="", encoding="utf-8", buffering=1) as file,
    ):
        images = write_digits(Path(temporary) / "digits")
        table = csv.writer(file)
        table.writerow(["fault", "outcome"])
        print("| fault | outcome |\n|---|---|", flush=True)
        try:
            for fault, outcome in all_faults(
                options.short, images, Path(temporary) / "runs", options.seed, options.only
            ):
                table.writerow([fault, outcome])
                print(f"| {fault} | {outcome} |", flush=True)
        except AssertionError as error:
            failed = True
            traceback.print_exc()
            table.writerow(["the next one", f"FAILED: {error}"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
