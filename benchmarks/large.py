"""What 60,000 training and 10,000 test images cost: python -m benchmarks.large

Makes such a set of the lab's images, each shifted at random, in a temporary folder, and measures in fresh processes:
reading it from PNG, then from the cache; the neighbours of all test images and of the wrong ones; and the memory of a
process that loads the set, embeds it with an untrained network and evaluates. The last line is the result as JSON.
"""

import csv
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from core import places
from core.dataset import loader, rows

COUNTS = {"train": 60_000, "test": 10_000}
SIZE = 128  # numbers an embedding
LARGEST_SHIFT = 3  # pixels
NEIGHBOURS = 5
WRONG = {"few": 0.02, "all": 1.0}  # fractions of the test images


def measure(small: loader.DataSet) -> dict:
    """Seconds and MiB by name, on a large set made of the images of `small`."""
    with tempfile.TemporaryDirectory(prefix="tripletlab-large-") as folder:
        made, environment = Path(folder) / "set", os.environ | {"TRIPLETLAB_CACHE": str(Path(folder) / "cache")}
        write_set(small, made)

        def fresh(part: str) -> dict:
            command = [sys.executable, "-m", "benchmarks.large", part, str(made)]
            done = subprocess.run(command, cwd=places.ROOT, env=environment, stdout=subprocess.PIPE, check=True)
            return json.loads(done.stdout.splitlines()[-1])

        first, second = fresh("load"), fresh("load")
        if (first["decoded"], second["decoded"]) != (sum(COUNTS.values()), 0):
            raise RuntimeError(f"{first['decoded']} and then {second['decoded']} images were decoded, not all and none")
        return {
            "images": sum(COUNTS.values()),
            "cores": os.cpu_count(),
            "import_seconds": second["import_seconds"],
            "load_png_seconds": first["load_seconds"],
            "load_cache_seconds": second["load_seconds"],
            "load_peak_MiB": max(first["peak_MiB"], second["peak_MiB"]),
            **fresh("neighbours"),
            **fresh("evaluate"),
        }


def write_set(small: loader.DataSet, folder: Path) -> None:
    """A set of COUNTS images: those of `small` in turn, each shifted by up to LARGEST_SHIFT pixels."""
    draw = np.random.default_rng(0)
    for split, part in zip(loader.SPLITS, (small.train, small.test), strict=True):
        for name in small.classes:
            (folder / split / name).mkdir(parents=True)
        lines = [rows.COLUMNS]
        for number in range(COUNTS[split]):
            place = number % len(part.ids)
            label, shift = part.labels[place], draw.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, 2)
            image_id = f"{part.ids[place]}_{number}"
            pixels = np.roll(part.images[place], shift, axis=(0, 1))
            Image.fromarray(pixels).save(folder / split / small.classes[label] / f"{image_id}.png")
            lines.append((image_id, small.classes[label], small.class_numbers[label]))
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


def load(folder: Path) -> dict:
    """Seconds of the first load in this process; those of importing the loader are a process of their own."""
    command = [sys.executable, "-c", "import time; t = time.time(); import core.dataset.loader; print(time.time() - t)"]
    imported = subprocess.run(command, cwd=places.ROOT, stdout=subprocess.PIPE, check=True)
    decoded = [0]
    begun = time.perf_counter()
    loader.load(folder, lambda done, total: decoded.append(done))
    seconds = round(time.perf_counter() - begun, 2)
    return {
        "import_seconds": round(float(imported.stdout), 2),
        "load_seconds": seconds,
        "decoded": decoded[-1],
        "peak_MiB": peak(),
    }


def neighbours(folder: Path) -> dict:
    """Seconds for the neighbours of random embeddings, of all test images and of the wrong ones."""
    import torch

    from core.analysis import classify, mistakes
    from core.analysis.embedded import Embedded

    images = loader.load(folder)
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(sum(COUNTS.values()), SIZE, generator=draw)
    points = (10 * torch.nn.functional.normalize(points)).half().float()
    train, test = points.split(list(COUNTS.values()))
    labels = torch.tensor(images.train.labels)
    begun = time.perf_counter()
    classify.knn(test, train, labels, NEIGHBOURS)
    result = {"threads": torch.get_num_threads(), "knn_seconds": round(time.perf_counter() - begun, 2)}
    classes, shares = len(images.classes), np.random.default_rng(0)
    for name, share in WRONG.items():
        wrong = shares.random(COUNTS["test"]) < share
        predicted = (images.test.labels + wrong * shares.integers(1, classes, COUNTS["test"])) % classes
        embedded = Embedded(train.numpy(), test.numpy(), predicted, np.ones(COUNTS["test"], np.float32))
        begun = time.perf_counter()
        mistakes.find(images, embedded)
        result[f"mistakes_{name}_seconds"] = round(time.perf_counter() - begun, 2)
    return result


def evaluate(folder: Path) -> dict:
    """Seconds and memory of loading, embedding with a small untrained network, and evaluating by neighbours."""
    import torch

    from core import experiment
    from core.learning import evaluate, machine
    from core.networks import build
    from core.settings.presets import from_preset

    images = loader.load(folder)
    config = from_preset("quick", classifier="knn", embedding_size=SIZE, precision="float32")
    train, test = (experiment.labelled(images, part) for part in (images.train, images.test))
    network = build.build(config, len(images.classes))
    held = torch.zeros(len(train.labels), dtype=torch.bool)
    begun = time.perf_counter()
    evaluate.evaluate(network, train, held, test, config, machine.Machine("cpu", "float32", torch.get_num_threads()))
    return {"evaluate_seconds": round(time.perf_counter() - begun, 1), "evaluate_peak_MiB": peak()}


def peak() -> int:
    """The most memory that this process has held, in MiB."""
    if (status := Path("/proc/self/status")).exists():  # Linux counts in ru_maxrss what the parent has held as well
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) >> 10
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest >> (20 if sys.platform == "darwin" else 10)


def main() -> int:
    """Measures and prints; with two arguments one part, in a process of its own."""
    if len(sys.argv) == 3:
        part = {"load": load, "neighbours": neighbours, "evaluate": evaluate}[sys.argv[1]]
        print(json.dumps(part(Path(sys.argv[2]))))
        return 0
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    print(json.dumps(measure(loader.load(places.data_folder()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
