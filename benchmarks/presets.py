"""The presets on a data set, over several seeds: python -m benchmarks.presets [--only NAME ...] [--seeds 3].

Every run is one `python -m core train` of its own; a row each is added to results/presets.csv as soon as it has ended.
Runs that are there already, with the same settings, data and seed, are not repeated: a benchmark that was cut off goes
on where it was. The table of what is there is printed at the end.

`--together 2` trains two at once with one thread each, which takes less time for both on two cores; the seconds of such
a run are in the table only where there are no others, marked as those of one thread.

On a machine with a GPU the same command trains the same presets there; the table has a column of its own for them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pandas as pd
import torch

from benchmarks import results
from core import places
from core.dataset import loader
from core.learning import machine, sampling
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, changes, from_preset
from core.settings.text import written

# The sheet's bonus question: ways to find triplets, with the same slim network and the same number of images seen
SLIM = {"width": 16, "channels": 1, "image_size": 28, "epochs": 10, "schedule": "cosine"}
# The sheet's ResNet-18, to be trained as fast as possible
FULL = {
    "width": 64,
    "blocks": (2, 2, 2, 2),
    "objective": "cross_entropy_triplet",
    "sampling": "random_triplets",
    "selection": "all",
    "triplets": 1667,  # 5,000 images between two evaluations, which take as long as a thousand of them
}
ENTRIES = {name: (name, {}) for name in PRESETS} | {
    "facenet, slim": ("facenet", SLIM | {"triplets": 667}),
    "facenet, slim, chosen classes": (
        "facenet",
        SLIM
        | {"triplets": 667, "sampling": "chosen_triplets", "chosen_share": 0.5}
        | {"positive_classes": (3, 4, 7), "negative_classes": (5, 8, 9)},
    ),
    "facenet, slim, contrastive": (
        "facenet",
        SLIM | {"objective": "supervised_contrastive", "images_per_class": 8, "learning_rate": 0.05},
    ),
    # What the sheet's FaceNet lacks: its network as it is, a sixth of the images seen
    "facenet-semi-hard, full width": ("facenet-semi-hard", {"width": 64, "channels": 3, "image_size": 32}),
    # A single epoch of 7,800 images reached 97.4 %; these two with images of 24x24 pixels 97.8, 97.6 and 98.0 %
    "quick, full width": ("quick", FULL | {"batch_size": 11, "learning_rate": 0.002, "epochs": 2}),
    "quick, full width, stem stride 2": (
        "quick",
        FULL | {"stem_stride": 2, "batch_size": 21, "learning_rate": 0.003, "epochs": 3},
    ),
}


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.presets", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ENTRIES, metavar="NAME", help="these rows of the table")
    parser.add_argument("--seeds", type=int, default=3, help="0, 1, … (default: 3 of them)")
    parser.add_argument("--together", type=int, default=1, help="runs at once, of one thread each (default: 1, of all)")
    parser.add_argument("--data", type=Path, default=places.data_folder(), help="the data set")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    options = parser.parse_args()
    images = loader.load(options.data)
    wanted = [(name, seed) for seed in range(options.seeds) for name in options.only or ENTRIES]
    device = machine.choose(RunConfig()).device
    missing = [] if options.table else [each for each in wanted if not known(*each, images.fingerprint, device)]
    threads = 1 if options.together > 1 else 0
    with ThreadPoolExecutor(options.together) as pool:
        for run in as_completed(pool.submit(measure, *each, options.data, images, threads) for each in missing):
            results.append("presets", [run.result()])
    print("\n".join([*results.presets(images.fingerprint), "", *results.gpus()]))


def known(name: str, seed: int, fingerprint: str, device: str) -> bool:
    """Whether an entry has been trained with its settings of now."""
    kept = results.of_preset(name, fingerprint, device)
    now = results.settings_text(config_of(name))
    return len(kept) > 0 and bool(((kept["seed"] == seed) & (kept["settings"] == now)).any())


def config_of(name: str, **more) -> RunConfig:
    """The settings of an entry."""
    preset, changes = ENTRIES[name]
    return from_preset(preset, **changes, **more)


def measure(name: str, seed: int, folder: Path, images: loader.DataSet, threads: int = 0) -> dict:
    """Trains an entry in a process of its own: a row for the CSV. `images` is the set in `folder`."""
    config = config_of(name, seed=seed, threads=threads)
    print(f"{name}, seed {seed} …", file=sys.stderr, flush=True)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "core", "train", config.preset, "--json"]
        command += ["--data", str(folder), "--runs", runs]
        for key, value in changes(config).items():
            command += ["--set", f"{key}={written(value)}"]
        begun = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        wall = time.perf_counter() - begun
        facts = json.loads(next(Path(runs).glob("*/run.json")).read_text(encoding="utf-8"))
        result = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
        files = next(Path(runs).glob("*/history.csv"), None)
        epochs = pd.read_csv(files) if files else []
    return {
        "name": name,
        "seed": seed,
        "test_accuracy": result.get("test_accuracy"),
        "train_accuracy": result.get("train_accuracy"),
        "status": facts["status"],
        "alarm": facts["result"].get("alarm_kind") or "diverged" * facts["diverged"],
        "images_seen": _images_an_epoch(config, images) * len(epochs),
        "seconds": result.get("seconds"),  # of training and every evaluation
        "wall_seconds": round(wall, 1),  # of the whole process: Python, imports, loading
        "load_before": round(load, 2),  # above 0: the machine had other work, and the seconds are too many
        "threads": facts["machine"].get("threads"),
        "precision": facts["machine"].get("precision"),
        "device": facts["machine"].get("device"),
        **results.circumstances(),
        "data": images.fingerprint[:12],
        "test_images": len(images.test.ids),
        "settings": results.settings_text(config),
    }


def _images_an_epoch(config: RunConfig, images: loader.DataSet) -> int:
    labels = torch.tensor(images.train.labels)
    labels = labels[~sampling.held_out(config, labels)]
    return sum(len(batch) for batch in sampling.batches(config, labels, images.class_numbers, None, epoch=1))


if __name__ == "__main__":
    main()
