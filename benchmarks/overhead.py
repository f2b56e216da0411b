"""What the lab adds to a training: python -m benchmarks.overhead [loop] [dashboard] [--preset NAME] [--epochs N]

loop: a run as `python -m core train` does it, against a plain PyTorch loop with the same settings: what the generator,
the events, the control, the diagnostics and the store cost. Both are in this process, start from the same seed and must
end with the same weights, bit for bit. The processor's time is compared as well.

dashboard: a run that is started on the Train page of a real `python -m app`, with that page open in Chromium until it
has ended, against `python -m core train` in a process of its own. The browser runs on the same cores, as it does on a
student's laptop, so what it takes counts. The server has loaded its libraries before, with a short run and a map of it.
The first epoch, in which both load libraries, is not counted.

Seconds alone say little on a machine with other work, and two runs one after the other meet different work. So the two
are trained side by side, an epoch or four in turns, while the other one stands still (server, browser and command line
are frozen by a signal): what disturbs one of them for longer than that disturbs the other as much. The median and the
range of several such pairs go to standard output as Markdown; a row a pair is added to results/overhead.csv.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F

from benchmarks import browser, results
from core import experiment, places
from core.dataset import loader
from core.dataset.loader import DataSet
from core.learning import evaluate, loop, machine, objectives, sampling
from core.learning.batch import prepared
from core.learning.evaluate import LabelledImages
from core.learning.events import EpochDone
from core.learning.states import Control
from core.learning.training import moving_average, optimiser
from core.networks.build import build
from core.runs import store, writing
from core.runs.store import Run
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset

LIMITS = {"loop": 1.02, "dashboard": 1.03}  # ratios that shall not be exceeded
SLOWEST_MAP = 180_000  # milliseconds until UMAP has been compiled
POLL = 0.01  # seconds
TURN = 8  # epochs: a page that wakes up draws at once, so that short turns would count too many drawings

Weights = dict[str, torch.Tensor]


# In turns


class _Side:
    """A training that goes on by an epoch when it is told to: its seconds, those of the processor, its last weights."""

    def __init__(self, training: Iterator[Weights]):
        self.training, self.weights, self.seconds, self.processor = training, {}, 0.0, 0.0

    def advance(self) -> bool:
        """Trains one epoch more, or what comes after the last; False if there is nothing left."""
        begun, processor_begun = time.perf_counter(), time.process_time()  # the latter of all threads
        weights = next(self.training, None)
        self.seconds += time.perf_counter() - begun
        self.processor += time.process_time() - processor_begun
        self.weights = weights or self.weights
        return weights is not None


def _in_turns(*trainings: Iterator[Weights]) -> list[_Side]:
    """Trains all to their ends, an epoch each in turns; who was last in a turn is the first one in the next."""
    sides = [_Side(training) for training in trainings]
    order = sides
    while any([side.advance() for side in order]):
        order = order[::-1]
    return sides


# A plain loop


def plain_loop(config: RunConfig, images: DataSet) -> Iterator[Weights]:
    """What one would write without the lab, with its parts for network, batches and evaluation: the weights after each
    epoch."""
    used = machine.choose(config)
    known, asked = (
        LabelledImages(torch.tensor(split.images), torch.tensor(split.labels), images.class_numbers)
        for split in (images.train, images.test)
    )
    held = sampling.held_out(config, known.labels)
    learnt = known.rows(~held)
    labels, steps, confused = learnt.labels.to(used.device), sampling.steps_per_epoch(config, learnt.labels), None
    torch.manual_seed(config.seed)
    network = judged = build(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
    descent = optimiser(network, config)
    if config.weight_average:
        average = moving_average(network, config.weight_average)
        judged = average.module
    for epoch in range(1, config.epochs + 1):
        network.train()
        batches = sampling.batches(config, learnt.labels, learnt.class_numbers, confused, epoch)
        for step, batch in enumerate(batches, start=1):
            for group in descent.param_groups:
                group["lr"] = loop.learning_rate(config, epoch, step, steps)
            draw = sampling.generator(config.seed, "augment", epoch, step)
            inputs = prepared(learnt.images[batch], config, used.device, draw)
            with used.autocast():
                outputs = network(inputs)
            if config.objective == "cross_entropy":
                loss = F.cross_entropy(outputs.logits.float(), labels[batch], label_smoothing=config.label_smoothing)
            else:  # the triplets' losses come with their diagnostics
                draw = sampling.generator(config.seed, "select", epoch, step)
                loss, _ = objectives.batch_loss(outputs, labels[batch], config, epoch, draw)
            descent.zero_grad()
            loss.backward()
            descent.step()
            if config.weight_average:
                average.update_parameters(network)
        confused = evaluate.evaluate(judged, known, held, asked, config, used).train_confusion
        yield judged.state_dict()


def our_run(config: RunConfig, images: DataSet, control: Control = lambda: None) -> Iterator[Weights]:
    """The same as a run of the lab, in a folder of its own: nothing after each epoch, the weights in the end."""
    with tempfile.TemporaryDirectory(prefix="tripletlab-overhead-") as runs:
        with writing.create(config, images, Path(runs)) as writer:
            for event in experiment.run(writer, images, control):
                if isinstance(event, EpochDone):
                    yield {}
        yield store.load_checkpoint(store.read(writer.folder))["network"]


def measure_loop(preset: str = "quick", epochs: int | None = None, pairs: int = 3, folder: Path | None = None) -> dict:
    """Our run against the plain loop: see `_summary`. `folder` holds the data set, by default the lab's own."""
    images = loader.load(folder or places.data_folder())
    config = _config(preset, epochs)
    for _ in our_run(config.changed(epochs=1, warm_up=0), images):  # what the first epoch of a process loads
        pass
    rows = []
    for _ in range(pairs):
        load = os.getloadavg()[0]
        ours, plain = _in_turns(our_run(config, images), plain_loop(config, images))
        if not all(torch.equal(ours.weights[name], plain.weights[name]) for name in ours.weights | plain.weights):
            raise RuntimeError("the plain loop ends with other weights: the two are not the same training")
        row = _row("loop", config, ours.seconds, plain.seconds, load)
        rows.append(row | {"processor_ratio": round(ours.processor / plain.processor, 4)})
    return _summary("loop", rows)


# The dashboard


def measure_dashboard(
    preset: str = "quick", epochs: int | None = None, pairs: int = 3, folder: Path | None = None
) -> dict:
    """A run on the live page against one by the command line: see `_summary`. Without a browser it says so.

    By default two turns after the first epoch, which does not count.
    """
    if not browser.browser_path():
        return _summary("dashboard", [], "not measured: no browser is installed")
    folder, config, rows = folder or places.data_folder(), _config(preset, epochs or 1 + 2 * TURN), []
    with tempfile.TemporaryDirectory(prefix="tripletlab-overhead-") as name:
        lab = Path(name)
        with browser.serve(folder, lab / "dashboard") as url:
            _warm_up(url, lab / "dashboard")
            for _ in range(pairs):
                load = os.getloadavg()[0]
                rows.append(_row("dashboard", config, *_side_by_side(url, lab, folder, config), load))
    return _summary("dashboard", rows)


def _warm_up(url: str, runs: Path) -> None:
    """A short run and its map: afterwards nothing is left for the server to load or to compile in the background."""
    with browser.open_page(f"{url}/train") as page:
        _press_start(page, runs, from_preset("quick", epochs=1))
        page.get_by_role("link", name="See the embedding").click(timeout=SLOWEST_MAP)
        page.locator(".js-plotly-plot").first.wait_for(timeout=SLOWEST_MAP)


def _press_start(page, runs: Path, config: RunConfig) -> Run:
    """Fills in the form and starts the run; returns it as soon as it is there."""
    page.get_by_role("button", name="Start").wait_for()
    page.locator(".st-key-form_preset input").click()
    page.get_by_role("option", name=PRESETS[config.preset].title, exact=True).click()
    page.wait_for_timeout(1000)  # the preset writes into the field
    field = page.locator(".st-key-set_epochs input")
    field.fill(str(config.epochs))
    field.press("Tab")
    page.wait_for_timeout(1000)
    before = _ids(runs)
    page.get_by_role("button", name="Start").click()
    return _new_run(runs, before)


def _ids(runs: Path) -> set[str]:
    return {run.id for run in store.list_runs(runs)}


def _new_run(runs: Path, before: set[str]) -> Run:
    """The run that is not among those of `before`, once it is there."""
    while not (new := [run for run in store.list_runs(runs) if run.id not in before]):
        time.sleep(POLL)
    return new[0]


def _side_by_side(url: str, lab: Path, folder: Path, config: RunConfig) -> tuple[float, float]:
    """Seconds of a run on the page and of one by the command line, all epochs but the first one."""
    command = [sys.executable, "-m", "core", "train", config.preset, "--set", f"epochs={config.epochs}"]
    command += ["--data", str(folder), "--runs", str(lab / "command line")]
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with browser.open_page(f"{url}/train") as page:
        run = _press_start(page, lab / "dashboard", config)
        server_and_browser = psutil.Process().children()
        ours, before = _epochs(run, server_and_browser), _ids(lab / "command line")
        next(ours)
        with subprocess.Popen(command, cwd=browser.ROOT, **silent) as process:
            other = _new_run(lab / "command line", before)
            theirs = _epochs(other, [psutil.Process(process.pid)])
            next(theirs)
            sides = _in_turns(ours, theirs)
        page.get_by_text("done", exact=True).first.wait_for()
        alive = page.locator(".js-plotly-plot .scatterlayer .point").nth(4 * config.epochs - 1)
        alive.wait_for(state="attached")  # a point an epoch: training and test, loss and accuracy
    first, second = (store.read(each.folder) for each in (run, other))
    if first.status != "done" or (first.config, first.result) != (second.config, second.result):
        raise RuntimeError(f"the page and the command line did not do the same training: {first}, {second}")
    return sides[0].seconds, sides[1].seconds


def _epochs(run: Run, processes: list[psutil.Process]) -> Iterator[Weights]:
    """The run goes on until its first epoch, or so many more, are in its table; then these processes and those below
    them stand still."""
    try:
        for epoch in range(1, run.config.epochs + 1, TURN):
            _signal(processes, psutil.Process.resume)
            while _trained(run) < epoch:
                time.sleep(POLL)
            _signal(processes, psutil.Process.suspend)
            yield {}
        _signal(processes, psutil.Process.resume)
        while store.read(run.folder).active:
            time.sleep(POLL)
    finally:
        _signal(processes, psutil.Process.resume)


def _trained(run: Run) -> int:
    """Epochs in its table, by the number of lines: reading it properly would take a fifth of a core from both."""
    file = run.folder / "history.csv"
    return file.read_bytes().count(b"\n") - 1 if file.exists() else 0


def _signal(processes: list[psutil.Process], what) -> None:
    for process in processes:
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                what(each)


# The table


def _config(preset: str, epochs: int | None) -> RunConfig:
    return from_preset(preset, **({"epochs": epochs} if epochs else {}))


def _row(what: str, config: RunConfig, ours: float, other: float, load: float) -> dict:
    row = {
        "what": what,
        "preset": config.preset,
        "epochs": config.epochs,
        "our_seconds": round(ours, 3),
        "other_seconds": round(other, 3),
        "ratio": round(ours / other, 4),
        "processor_ratio": None,  # the server's other threads would count as well: for the loop only
        "load_before": round(load, 2),
        **results.circumstances(),
    }
    print(f"{what}: {ours:.2f} s against {other:.2f} s, load {load:.2f} before", file=sys.stderr, flush=True)
    return row


def _summary(what: str, rows: list[dict], missing: str = "") -> dict:
    """The median of the ratios (None without any), their range, the limit, the rows; `missing` says why there is none.

    `processor` is the median ratio of the processor's seconds, for the loop.
    """
    ratios = [row["ratio"] for row in rows]
    processor = [row["processor_ratio"] for row in rows if row["processor_ratio"]]
    return {
        "what": what,
        "limit": LIMITS[what],
        "ratio": statistics.median(ratios) if ratios else None,
        "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None),
        "processor": statistics.median(processor) if processor else None,
        "rows": rows,
        "missing": missing,
    }


def table(summaries: list[dict]) -> str:
    """Markdown: a line for each of `measure_loop` and `measure_dashboard`."""
    lines = [
        "| ours against | at most | median ratio | lowest to highest | processor | pairs | load before |",
        "|---|---|---|---|---|---|---|",
    ]
    others = {"loop": "a plain loop", "dashboard": "(on the live page) the command line"}
    for found in summaries:
        start = f"| {others[found['what']]} | {found['limit']} |"
        if found["missing"]:
            lines.append(f"{start} {found['missing']} | | | | |")
            continue
        loads = [row["load_before"] for row in found["rows"]]
        processor = f"{found['processor']:.3f}" if found["processor"] else ""
        spread = f"{found['lowest']:.3f} to {found['highest']:.3f}"
        lines.append(
            f"{start} {found['ratio']:.3f} | {spread} | {processor} | {len(loads)} | {min(loads)} to {max(loads)} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measures what was asked for and prints the table."""
    measures = {"loop": measure_loop, "dashboard": measure_dashboard}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="loop|dashboard", help="default: both")
    parser.add_argument("--preset", choices=PRESETS, default="quick", metavar="NAME", help="default: quick")
    parser.add_argument("--epochs", type=int, help=f"default: the preset's; on the page {1 + 2 * TURN}")
    parser.add_argument("--pairs", type=int, default=3, help="default: 3")
    parser.add_argument("--data", type=Path, help="the data set (default: the lab's own)")
    options = parser.parse_args()
    if wrong := set(options.what) - set(measures):
        parser.error(f"there is no {min(wrong)!r}; there are loop and dashboard")
    summaries = []
    for what in options.what or measures:
        found = measures[what](options.preset, options.epochs, options.pairs, options.data)
        if found["rows"]:
            results.append("overhead", found["rows"])
        summaries.append(found)
    print(table(summaries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
