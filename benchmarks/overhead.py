"""What the lab adds to a training: python -m benchmarks.overhead [loop] [dashboard] [--preset NAME] [--epochs N]

loop: a run as `python -m core train` does it, in this process, against a plain PyTorch loop with the same settings:
what the generator, the events, the control, the diagnostics and the store cost. Both start from the same seed and
must end with the same weights, bit for bit. Seconds are those of the whole call, from the images to the last
evaluation; the processor's time is compared as well, because other programs disturb it less.

dashboard: a run that is started on the Train page of a real `python -m app`, with that page open in Chromium until it
has ended, against `python -m core train` in a process of its own. Seconds are those in run.json: training, evaluation
and saving. The browser runs on the same cores, as it does on a student's laptop, so what it takes counts. The server
has loaded its libraries before, with a short run and a map of it; the command line's first steps are a little slower.

Both are ratios of pairs, one measured right after the other and several times in turn: seconds alone say little on a
machine with other work. The median and the range go to standard output as Markdown, and the ratio of the two fastest
ones, which were disturbed least; a row a pair is added to benchmarks/results/overhead.csv.
"""

import argparse
import datetime
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks import tables
from core import data, evaluate, experiment, machine, objectives, places, sampling, store, train
from core.augment import augment
from core.config import RunConfig
from core.data import DataSet
from core.evaluate import LabelledImages
from core.models import build, prepare, repeated
from core.presets import PRESETS, from_preset
from core.store import Run
from core.train import Control
from tests.app import browser

RESULTS = Path(__file__).parent / "results" / "overhead.csv"
LIMITS = {"loop": 1.02, "dashboard": 1.03}  # ratios that shall not be exceeded
WARM_UP_STEPS = 20
SLOWEST_MAP = 180_000  # milliseconds until UMAP has been compiled


# A plain loop


def plain_loop(config: RunConfig, images: DataSet) -> dict[str, torch.Tensor]:
    """What one would write without the lab, with its parts for network, batches and evaluation; returns the weights."""
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
    descent = train.optimiser(network, config)
    if config.weight_average:
        average = train.moving_average(network, config.weight_average)
        judged = average.module
    for epoch in range(1, config.epochs + 1):
        network.train()
        batches = sampling.batches(config, learnt.labels, learnt.class_numbers, confused, epoch)
        for step, batch in enumerate(batches, start=1):
            for group in descent.param_groups:
                group["lr"] = train.learning_rate(config, epoch, step, steps)
            inputs = prepare(learnt.images[batch].to(used.device), 1, config.image_size)
            inputs = augment(inputs, config.augmentation, sampling.generator(config.seed, "augment", epoch, step))
            with used.autocast():
                outputs = network(repeated(inputs, config.channels))
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
    return judged.state_dict()


def our_run(config: RunConfig, images: DataSet, control: Control = lambda: None) -> dict[str, torch.Tensor]:
    """The same as a run of the lab, in a folder of its own; returns the weights."""
    with tempfile.TemporaryDirectory(prefix="tripletlab-overhead-") as runs:
        with store.create(config, images, Path(runs)) as writer:
            deque(experiment.run(writer, images, control), maxlen=0)
        return store.load_checkpoint(store.read(writer.folder))["network"]


def measure_loop(preset: str = "quick", epochs: int | None = 2, pairs: int = 6, folder: Path | None = None) -> dict:
    """Our run against the plain loop: see `_summary`. `folder` holds the data set, by default the lab's own."""
    images = data.load(folder or places.data_folder())
    config = _config(preset, epochs)
    steps = itertools.count()  # the first steps, evaluation and tables of a process load libraries
    our_run(config, images, lambda: "stop" if next(steps) >= WARM_UP_STEPS else None)
    rows = []
    for number in range(pairs):
        load, order = os.getloadavg()[0], (our_run, plain_loop) if number % 2 else (plain_loop, our_run)
        done = {run: _timed(run, config, images) for run in order}  # each is the first one in its turn
        ours, our_seconds, our_processor = done[our_run]
        plain, plain_seconds, plain_processor = done[plain_loop]
        if not all(torch.equal(ours[name], plain[name]) for name in ours | plain):
            raise RuntimeError("the plain loop ends with other weights: the two are not the same training")
        row = _row("loop", config, our_seconds, plain_seconds, load)
        rows.append(row | {"processor_ratio": round(our_processor / plain_processor, 4)})
    return _summary("loop", rows)


def _timed(function, *arguments) -> tuple:
    """What it returns, its seconds and those of the processor in all threads of this process."""
    begun, processor_begun = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return result, time.perf_counter() - begun, time.process_time() - processor_begun


# The dashboard


def measure_dashboard(
    preset: str = "quick", epochs: int | None = None, pairs: int = 3, folder: Path | None = None
) -> dict:
    """A run on the live page against one by the command line: see `_summary`. Without a browser it says so."""
    if not browser.CHROMIUM.exists():
        return _summary("dashboard", [], f"not measured: {browser.CHROMIUM} is not installed")
    folder, config, rows = folder or places.data_folder(), _config(preset, epochs), []
    with tempfile.TemporaryDirectory(prefix="tripletlab-overhead-") as name:
        lab, port = Path(name), browser.free_port()
        command = [sys.executable, "-m", "app", "--no-browser", "--port", str(port)]
        command += ["--data", str(folder), "--runs", str(lab / "dashboard")]
        others = {"TRIPLETLAB_PICS": str(lab / "pics"), "TRIPLETLAB_UPLOADS": str(lab / "uploads")}
        script = browser.ROOT / "app" / "main.py"
        with browser.start_server(script, port=port, command=command, env=others) as url:
            _warm_up(url, lab / "dashboard")
            for _ in range(pairs):
                load = os.getloadavg()[0]
                ours = _on_the_page(url, lab / "dashboard", config)
                theirs = _by_command_line(folder, lab / "command line", config)
                if (ours.config, ours.machine, ours.result) != (theirs.config, theirs.machine, theirs.result):
                    raise RuntimeError("the page and the command line did not do the same training")
                rows.append(_row("dashboard", config, ours.seconds, theirs.seconds, load))
    return _summary("dashboard", rows)


def _warm_up(url: str, runs: Path) -> None:
    """A short run and its map: afterwards nothing is left for the server to load or to compile in the background."""
    with browser.open_page(f"{url}/train", 1440, 900) as page:
        _press_start(page, runs, from_preset("quick", epochs=1))
        page.get_by_role("link", name="See the embedding").click()
        page.locator(".js-plotly-plot").first.wait_for(timeout=SLOWEST_MAP)


def _on_the_page(url: str, runs: Path, config: RunConfig) -> Run:
    """The run after its end, started and watched on the Train page of a fresh window."""
    with browser.open_page(f"{url}/train", 1440, 900) as page:
        run = _press_start(page, runs, config)
        points = page.locator(".js-plotly-plot .scatterlayer .point").count()
        if points < 4 * config.epochs:  # train and test, loss and accuracy
            raise RuntimeError(f"the page was not alive: {points} points in its curves")
    return run


def _press_start(page, runs: Path, config: RunConfig) -> Run:
    """Fills in the form, starts the run and waits until the page shows its end; returns the run as it is then."""
    before = {run.id for run in store.list_runs(runs)}
    page.get_by_role("button", name="Start").wait_for()
    page.locator(".st-key-form_preset input").click()
    page.get_by_role("option", name=PRESETS[config.preset].title, exact=True).click()
    page.wait_for_timeout(1000)  # the preset writes into the field
    field = page.locator(".st-key-set_epochs input")
    field.fill(str(config.epochs))
    field.press("Tab")
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Start").click()
    while not (new := [run for run in store.list_runs(runs) if run.id not in before]) or new[0].active:
        page.wait_for_timeout(1000)  # looks into the run's folder: a look at the page would be work for the browser
    run = new[0]
    if run.status != "done" or run.config != config:
        raise RuntimeError(f"the run on the page is {run.status} ({run.error}), with the settings {run.config}")
    page.get_by_text("done", exact=True).first.wait_for()
    page.wait_for_timeout(1000)
    return run


def _by_command_line(folder: Path, runs: Path, config: RunConfig) -> Run:
    """The run after its end, trained by python -m core train."""
    command = [sys.executable, "-m", "core", "train", config.preset, "--set", f"epochs={config.epochs}"]
    command += ["--data", str(folder), "--runs", str(runs)]
    subprocess.run(command, check=True, capture_output=True, cwd=browser.ROOT)
    return store.list_runs(runs)[0]


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
        "date": datetime.date.today().isoformat(),
        **machine.versions(),
    }
    print(f"{what}: {ours:.2f} s against {other:.2f} s, load {load:.2f} before", file=sys.stderr, flush=True)
    return row


def _summary(what: str, rows: list[dict], missing: str = "") -> dict:
    """The median of the ratios (None without any), their range, the limit, the rows; `missing` says why there is none.

    `fastest` is the fastest of ours against the fastest other one: what disturbs a run makes it slower, never faster.
    `processor` is the median ratio of the processor's seconds, for the loop.
    """
    ours, others, ratios = ([row[name] for row in rows] for name in ("our_seconds", "other_seconds", "ratio"))
    processor = [row["processor_ratio"] for row in rows if row["processor_ratio"]]
    return {
        "what": what,
        "limit": LIMITS[what],
        "ratio": statistics.median(ratios) if ratios else None,
        "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None),
        "fastest": min(ours) / min(others) if rows else None,
        "processor": statistics.median(processor) if processor else None,
        "rows": rows,
        "missing": missing,
    }


def table(summaries: list[dict]) -> str:
    """Markdown: a line for each of `measure_loop` and `measure_dashboard`."""
    lines = [
        "| ours against | at most | median ratio | lowest to highest | the fastest | processor | pairs | load before |",
        "|---|---|---|---|---|---|---|---|",
    ]
    others = {"loop": "a plain loop", "dashboard": "(on the live page) the command line"}
    for found in summaries:
        start = f"| {others[found['what']]} | {found['limit']} |"
        if found["missing"]:
            lines.append(f"{start} {found['missing']} | | | | | |")
            continue
        loads = [row["load_before"] for row in found["rows"]]
        processor = f"{found['processor']:.3f}" if found["processor"] else ""
        spread = f"{found['lowest']:.3f} to {found['highest']:.3f}"
        lines.append(
            f"{start} {found['ratio']:.3f} | {spread} | {found['fastest']:.3f} | {processor} | {len(loads)} "
            f"| {min(loads)} to {max(loads)} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measures what was asked for and prints the table."""
    measures = {"loop": (measure_loop, 2, 6), "dashboard": (measure_dashboard, None, 3)}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="loop|dashboard", help="default: both")
    parser.add_argument("--preset", choices=PRESETS, default="quick", metavar="NAME", help="default: quick")
    parser.add_argument("--epochs", type=int, help="default: 2 for the loop, the preset's for the dashboard")
    parser.add_argument("--pairs", type=int, help="default: 6 for the loop, 3 for the dashboard")
    parser.add_argument("--data", type=Path, help="the data set (default: the lab's own)")
    options = parser.parse_args()
    if wrong := set(options.what) - set(measures):
        parser.error(f"there is no {min(wrong)!r}; there are loop and dashboard")
    summaries = []
    for what in options.what or measures:
        measure, epochs, pairs = measures[what]
        found = measure(options.preset, options.epochs or epochs, options.pairs or pairs, options.data)
        if found["rows"]:
            tables.append(RESULTS, found["rows"])
        summaries.append(found)
    print(table(summaries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
