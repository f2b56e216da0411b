"""The lab against the sheet's plain loop, in one run and as ratios: make bench (some 40 minutes on two cores).

The baseline (benchmarks/baseline.py) is timed as a sample and extrapolated; the runs it is compared with are whole. Of
DenseNet-52 and ResNeXt-32 both sides are samples of the same number of steps, in turns. The table goes to
results/bench.csv; `--only` measures some rows anew. Accuracies that take hours (the sheet's
classifiers, the most accurate presets) and what a GPU took are those that `python -m benchmarks.presets` has kept.
"""

import argparse
import csv
import dataclasses
import datetime
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import baseline, kernels, large, live_page, overhead, presets, results
from core import experiment, places
from core.analysis import mistakes
from core.dataset import loader
from core.learning import machine
from core.learning.events import StepDone
from core.networks import build
from core.runs import store, writing
from core.settings.config import RunConfig
from core.settings.presets import from_preset

SAMPLED_STEPS = 8
PAIRS = 3
RESULTS = results.FOLDER / "bench.csv"
FACENET_EPOCHS = 4  # of the baseline: it passes 98 % in the fourth
BEST = {"facenet-best": 0.994, "densenet52-best": 0.992, "resnext32-best": 0.992}  # of the whole MNIST test set
BEST_MINUTES = 15


@dataclass
class Row:
    """One line of the table."""

    what: str
    target: str
    measured: str
    met: str  # "yes" or "no", or "unclear" where the median is within the limit and some pairs are not
    how: str  # what was done, with spreads
    gpu: str = ""  # what the same preset took and reached on a GPU
    date: str = dataclasses.field(default_factory=lambda: datetime.date.today().isoformat())
    machine: str = ""


def main() -> None:
    """Measures the rows and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--data", type=Path, default=places.data_folder(), help="the data set")
    options = parser.parse_args()
    used, versions = machine.choose(RunConfig()), machine.versions()
    if used.device != "cpu":
        parser.error("this is about two cores; what a GPU does is measured by python -m benchmarks.presets")
    images = loader.load(options.data)
    facts = f"{versions['processor']}, {used.threads} threads, {used.precision}, PyTorch {versions['torch']}"
    before, found = {row.what: row for row in _kept()}, {}
    for name in options.only or ROWS:
        print(f"{name} …", file=sys.stderr, flush=True)
        for row in ROWS[name](images):
            found[row.what] = dataclasses.replace(row, machine=facts)
            _keep((before | found).values())  # at once: the whole takes long
    if not options.only:
        _keep(found.values())
    print("\n".join(results.bench()))


def _kept() -> list[Row]:
    """The rows of earlier calls."""
    return [Row(*row) for row in results.read("bench").itertuples(index=False)]


def _keep(rows: Iterable[Row]) -> None:
    rows = list(rows)
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))


def _on_gpu(entry: str, fingerprint: str) -> str:
    return results.on_gpu(entry, results.settings_text(presets.config_of(entry)), fingerprint)


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def facenet_speed(entry: str, seeds: int, target: int, images: loader.DataSet) -> Iterator[Row]:
    """An entry of benchmarks/presets.py, over some seeds, against four epochs of the baseline's FaceNet."""
    costs = baseline.measure("facenet", images.folder, SAMPLED_STEPS, repeats=3)
    sheet = costs.epochs(FACENET_EPOCHS)
    runs = [presets.measure(entry, seed, images.folder, images) for seed in range(seeds)]
    accuracies, seconds = ([run[key] for run in runs] for key in ("test_accuracy", "wall_seconds"))
    accuracy, ratio = statistics.mean(accuracies), sheet / statistics.mean(seconds)
    yield Row(
        f"`{entry}` to 98.0 % against four FaceNet epochs of the baseline",
        f"{target} x",
        f"{ratio:.0f} x at {accuracy:.2%}",
        _yes(ratio >= target and accuracy >= 0.98),
        f"{seeds} seed(s): {min(accuracies):.1%} to {max(accuracies):.1%}, {min(seconds):.0f} to {max(seconds):.0f} s "
        f"with Python's start; baseline {sheet:.0f} s = {FACENET_EPOCHS} x ({costs.steps} steps of {costs.step:.2f} s "
        f"+ {costs.evaluation:.0f} s), extrapolated from {SAMPLED_STEPS} steps (and {costs.mistake:.1f} s for each "
        "mistake)",
        _on_gpu(entry, images.fingerprint),
    )


def classifier_speed(preset: str, images: loader.DataSet) -> Iterator[Row]:
    """A classifier of the sheet against the baseline, and how close to the processor's own limit it is."""
    config = from_preset(preset)
    threads = machine.choose(config).threads
    ratios, ours, roofs = [], [], []
    for _ in range(PAIRS):
        plain = baseline.measure(preset, images.folder, SAMPLED_STEPS)
        step, evaluation = sample(config, images)
        ratios.append(plain.epochs(1) / (plain.steps * step + evaluation))
        ours.append(step)
        roofs.append(matrix_product_rate())
    speed, roof = config.batch_size / statistics.median(ours), statistics.median(roofs)
    work = 6 * build.summarise(config).multiply_adds / 1e9  # forward once, backward twice, two operations each
    kept = results.of_preset(preset, images.fingerprint)
    accuracy = kept["test_accuracy"].mean() if len(kept) else None
    known = f"{accuracy:.2%} over {len(kept)} seeds" if accuracy else "accuracy not measured yet"
    spent = ", ".join(f"{share:.0%} {kind}" for kind, share in list(kernels.shares(config).items())[:3])
    yield Row(
        f"`{preset}`, {config.epochs} epochs",
        "3 x",
        f"{statistics.median(ratios):.2f} x; {known}",
        _yes(statistics.median(ratios) >= 3),
        f"{PAIRS} pairs of {SAMPLED_STEPS} steps in turns: {min(ratios):.2f} to {max(ratios):.2f} x; {speed:.0f} "
        f"images/s = {speed * work:.0f} Gflop/s, where a float32 matrix product of 2,048 makes {roof:.0f} on {threads} "
        f"threads; the time of a step: {spent}",
        _on_gpu(preset, images.fingerprint),
    )


def sample(config: RunConfig, images: loader.DataSet) -> tuple[float, float]:
    """Seconds of a step and of an evaluation of a real run that is stopped after some steps."""
    times = []
    with tempfile.TemporaryDirectory() as runs, writing.create(config, images, Path(runs)) as writer:
        for event in experiment.run(writer, images, lambda: "stop" if len(times) > SAMPLED_STEPS + 2 else None):
            if isinstance(event, StepDone):
                times.append(time.perf_counter())
        ended = time.perf_counter()
    steps = [after - before for before, after in itertools.pairwise(times[2:])]  # two to warm up
    return statistics.mean(steps), ended - times[-1]


def matrix_product_rate(size: int = 2048) -> float:
    """10^9 floating-point operations a second of a float32 matrix product: the roof of what a convolution can reach."""
    a, b = torch.rand(2, size, size)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / min(seconds) / 1e9


def neighbours(images: loader.DataSet) -> Iterator[Row]:
    """Both neighbours of every mistake of a run that makes many: one untrained network."""
    config = from_preset("quick", epochs=1)
    with tempfile.TemporaryDirectory() as runs, writing.create(config, images, Path(runs)) as writer:
        count = 0

        def after_a_step() -> str | None:
            nonlocal count
            count += 1
            return "stop" if count > 1 else None

        for _ in experiment.run(writer, images, after_a_step):
            pass
        run = store.read(writer.folder)
        embedded = store.embedded(run, run.result.epochs)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        table = mistakes.find(images, embedded)
        seconds.append(time.perf_counter() - begun)
    yield Row(
        "all mistakes with both neighbours, once embedded",
        "below 0.1 s",
        f"{max(seconds):.3f} s",
        _yes(max(seconds) < 0.1),
        f"{len(table)} mistakes of {len(images.test.ids):,}, {len(images.train.ids):,} training images, "
        f"{embedded.train.shape[1]} numbers each; the slowest of 5",
    )


def dashboard(images: loader.DataSet) -> Iterator[Row]:
    """A run in the dashboard with a live page open against one at the command line."""
    found = live_page.measure_dashboard(folder=images.folder)
    yield _overhead("training with one live page open, against the command line", found)


def plain_loop(images: loader.DataSet) -> Iterator[Row]:
    """Our run against the same training without generator, events and store: of short epochs and of longer ones."""
    for preset, epochs in (("quick", None), ("densenet52", 2)):
        found = overhead.measure_loop(preset, epochs, folder=images.folder)
        yield _overhead(f"`{preset}` against a plain PyTorch loop with the same settings", found)


def _overhead(what: str, found: dict) -> Row:
    target = f"at most {found['limit'] - 1:.0%} slower"
    if found["missing"]:
        return Row(what, target, found["missing"], "no", "")
    results.append("overhead", found["rows"])  # or nobody could check the median
    how = f"median of {len(found['rows'])} pairs in turns: {found['lowest'] - 1:+.1%} to {found['highest'] - 1:+.1%}"
    if found["processor"]:
        how += f"; the processor's own seconds {found['processor'] - 1:+.1%}"
    met = "yes" if found["highest"] <= found["limit"] else "no" if found["ratio"] > found["limit"] else "unclear"
    return Row(what, target, f"{found['ratio'] - 1:+.1%}", met, how)


def large_set(images: loader.DataSet) -> Iterator[Row]:
    """60,000 training and 10,000 test images: from PNG, from the cache, their neighbours, the memory."""
    found = large.measure(images)
    cached, neighbours = found["load_cache_seconds"], max(found["knn_seconds"], found["mistakes_few_seconds"])
    memory = max(found["load_peak_MiB"], found["evaluate_peak_MiB"])
    yield Row(
        "60,000 training and 10,000 test images",
        "from the cache below 2 s, all neighbours below 2 s, memory below 1.5 GiB",
        f"cache {cached:.1f} s, neighbours {neighbours:.1f} s, {memory} MiB",
        _yes(cached < 2 and neighbours < 2 and memory < 1536),
        f"from PNG {found['load_png_seconds']:.1f} s on {found['cores']} cores; 5 neighbours of each test image "
        f"{found['knn_seconds']:.1f} s; both neighbours of 200 mistakes "
        f"{found['mistakes_few_seconds']:.2f} s, of 10,000 "
        f"{found['mistakes_all_seconds']:.1f} s",
    )


def best(images: loader.DataSet) -> Iterator[Row]:
    """What the most accurate presets have reached on the largest set of test images that they were asked for."""
    for name, target in BEST.items():
        asked = results.most_asked(name)
        kept = results.of_preset(name, asked)
        if not len(kept):
            continue
        accuracy = kept["test_accuracy"].mean()
        minutes = kept["seconds"][kept["threads"] == kept["threads"].max()].max() / 60
        yield Row(
            f"`{name}`, last epoch",
            f"{target:.1%} of MNIST's 10,000, in {BEST_MINUTES} minutes",
            f"{results.spread(kept['test_accuracy'])} of {kept['test_images'].iloc[0]:,}; {minutes:.0f} minutes",
            _yes(accuracy >= target and minutes <= BEST_MINUTES),
            f"{len(kept)} seed(s), one network, no choice by test images (benchmarks/results/presets.csv)",
            _on_gpu(name, asked),
        )


ROWS: dict[str, Callable[[loader.DataSet], Iterator[Row]]] = {
    "quick": lambda images: facenet_speed("quick", 5, 60, images),
    "full": lambda images: facenet_speed("quick, full width", 3, 15, images),
    "strided": lambda images: facenet_speed("quick, full width, stem stride 2", 3, 15, images),
    "densenet52": lambda images: classifier_speed("densenet52", images),
    "resnext32": lambda images: classifier_speed("resnext32", images),
    "mistakes": neighbours,
    "dashboard": dashboard,
    "loop": plain_loop,
    "large": large_set,
    "best": best,
}


if __name__ == "__main__":
    main()
