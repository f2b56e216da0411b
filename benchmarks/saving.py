"""What saving costs a run, as a share of its time: python -m benchmarks.saving [PRESET…] [--seconds N]

Every file operation of core.runs.store is timed inside a real run; the table goes to standard output as Markdown and
into benchmarks/results/saving.csv. A preset that would take too long is stopped after so many seconds: its epoch is
then saved as a stopped one is, which is more than it would cost within a longer run.
"""

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

from core import experiment, places
from core.dataset import loader
from core.runs import writing
from core.runs.writing import RunWriter
from core.settings.presets import PRESETS, from_preset

RESULTS = Path(__file__).parent / "results" / "saving.csv"
TIMED = ("update", "announce", "wish", "add_step", "steps_state", "save_table", "save_embedded", "save_checkpoint")


def measure(preset: str, images: loader.DataSet, runs: Path, limit: float) -> dict:
    """One run: its seconds, those of saving, and the size of its last checkpoint in megabytes."""
    spent, depth = 0.0, 0

    def timed(function):
        def call(*arguments, **options):
            nonlocal spent, depth
            begun, depth = time.perf_counter(), depth + 1
            try:
                return function(*arguments, **options)
            finally:
                depth -= 1
                if depth == 0:  # what calls another of them is counted once
                    spent += time.perf_counter() - begun

        return call

    plain = {name: getattr(RunWriter, name) for name in TIMED}
    begun = time.perf_counter()
    try:
        for name, function in plain.items():
            setattr(RunWriter, name, timed(function))
        with writing.create(from_preset(preset), images, runs) as writer:
            stop = lambda: "stop" if time.perf_counter() - begun > limit else None  # noqa: E731
            *_, finished = experiment.run(writer, images, stop)
    finally:
        for name, function in plain.items():
            setattr(RunWriter, name, function)
    size = (writer.folder / "last.pt").stat().st_size / 1e6
    return {
        "preset": preset,
        "status": finished.status,
        "epochs": finished.epochs,
        "seconds": round(finished.seconds, 1),
        "saving_seconds": round(spent, 2),
        "saving_percent": round(100 * spent / finished.seconds, 2),
        "checkpoint_MB": round(size, 1),
    }


def main() -> int:
    """Measures each preset and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saving", description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--seconds", type=float, default=150.0, help="at most, of each run (default: 150)")
    options = parser.parse_args()
    images = loader.load(places.data_folder())
    rows = []
    with tempfile.TemporaryDirectory(prefix="tripletlab-saving-") as runs:
        for preset in options.presets:
            rows.append(measure(preset, images, Path(runs), options.seconds))
            print(f"| {' | '.join(map(str, rows[-1].values()))} |", flush=True)
    print(f"columns: {', '.join(rows[0])}")
    with open(RESULTS, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
