"""The command line: python -m core {data, summary, train, evaluate, mistakes, runs}."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve each other on busy cores

from core import data, places, sources, store
from core.config import PRESETS, ConfigError, RunConfig, from_preset, parse_setting, settings
from core.data import DataError
from core.store import StoreError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for a failure, 2 for wrong use, 130 for a run ended by Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        result, status = options.command(options)
    except ConfigError as error:
        return _fail(error, 2)
    except (DataError, StoreError, OSError, RuntimeError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    if options.json:
        print(json.dumps(result))
    return status


def _fail(error: Exception | str, status: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description="TripletLab without the browser.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, function, help, epilog=None):
        formatter = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=formatter)
        added.set_defaults(command=function)
        added.add_argument("--json", action="store_true", help="print the result as one JSON object")
        return added

    def add_preset(added):
        added.add_argument("preset", choices=PRESETS, metavar="PRESET", help=", ".join(PRESETS))
        added.add_argument("--set", action="append", default=[], type=_setting, metavar="KEY=VALUE", help="see below")

    def add_data(added):
        added.add_argument("--data", type=Path, metavar="DIR", help="the data set (default: mnist/)")

    def add_runs(added):
        added.add_argument("--runs", type=Path, metavar="DIR", help="the folder of runs (default: checkpoints/)")

    def add_run(added):
        added.add_argument("run", metavar="RUN", help="id of a run, or latest")
        add_runs(added)

    added = command("data", _data, "Show the data set; prepare it first if there is none.")
    add_data(added)
    added.add_argument(
        "--source",
        default="auto",
        help="auto (MNIST, without a network the digits of scikit-learn), mnist, digits, or a folder",
    )
    add_preset(command("summary", _summary, "Layers, parameters and multiply-adds of a network.", _settings_help()))
    added = command("train", _train, "Train a network; Ctrl-C stops it and keeps the model so far.", _settings_help())
    add_preset(added)
    add_data(added)
    add_runs(added)
    added = command("evaluate", _evaluate, "Test a run's network on its own or on other images.")
    add_run(added)
    added.add_argument("--images", type=Path, metavar="DIR", help="class folders of PNG files (default: the test set)")
    added.add_argument("--classifier", choices=("softmax", "knn", "centre"), help="default: as the run was trained")
    added.add_argument("--neighbours", type=_positive, metavar="K", help="k of knn (default: as the run was trained)")
    added = command("mistakes", _mistakes, "Export each misclassified test image with its two neighbours.")
    add_run(added)
    added.add_argument("--out", type=Path, metavar="DIR", help="where to (default: pics/errors/RUN/)")
    add_runs(command("runs", _runs, "List the runs, newest first."))
    return parser


def _setting(text: str) -> tuple[str, object]:
    try:
        return parse_setting(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _settings_help() -> str:
    lines = ["settings for --set:"]
    for field in settings():
        facts = field.metadata
        values = " ".join(map(str, facts["choices"])) if facts["choices"] else f"{facts['low']:g} to {facts['high']:g}"
        lines.append(f"  {field.name:18} {facts['label']} ({values})")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _data(options) -> tuple[dict, int]:
    found = sources.prepare(options.data or places.data_folder(), options.source, progress=_say)
    if not options.json:
        print(f"{found.description}\n{found.folder}")
        print(f"{len(found.classes)} classes: {', '.join(found.classes)}")
        print(f"{len(found.train.ids):,} training and {len(found.test.ids):,} test images")
        print(f"SHA-256 {found.fingerprint}")
    result = {
        "source": found.source,
        "fingerprint": found.fingerprint,
        "classes": len(found.classes),
        "train": len(found.train.ids),
        "test": len(found.test.ids),
    }
    return result, 0


def _summary(options) -> tuple[dict, int]:
    from dataclasses import asdict

    from core import models

    summary = models.summarise(from_preset(options.preset, **dict(options.set)))
    if not options.json:
        for layer in summary.layers:
            shape = " x ".join(map(str, layer["output"]))
            print(
                f"{layer['name']:40} {layer['kind']:16} {layer['detail']:24} {shape:14} {layer['multiply_adds']:>12,}"
            )
        print(f"{summary.convolutions} convolutions + {summary.fully_connected} fully connected")
        print(f"{summary.parameters:,} parameters, {summary.multiply_adds:,} multiply-adds an image")
    return asdict(summary), 0


def _train(options) -> tuple[dict, int]:
    config = from_preset(options.preset, **dict(options.set))
    images = data.load(options.data) if options.data else sources.prepare(places.data_folder(), progress=_say)
    _say(f"{images.description}; loading PyTorch …")
    from core import experiment

    stopped = []

    def on_interrupt(*_):
        if stopped:  # the second Ctrl-C does not wait
            raise KeyboardInterrupt
        stopped.append(True)
        _say("\nstopping after this step; the model so far will be kept")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        with store.create(config, images, options.runs or places.runs_folder()) as writer:
            events = experiment.run(writer, images, lambda: bool(stopped))
            finished = _watch(events, config)
    finally:
        signal.signal(signal.SIGINT, before)
    if not options.json:
        print(f"run {finished.run}: {finished.status} after epoch {finished.epochs}, {finished.seconds:.1f} s")
        if finished.epochs:
            print(f"accuracy {finished.train_accuracy:.2%} on training, {finished.test_accuracy:.2%} on test images")
    names = ("run", "status", "epochs", "train_accuracy", "test_accuracy", "seconds")
    return {name: getattr(finished, name) for name in names}, 130 if finished.status == "stopped" else 0


def _watch(events, config: RunConfig):
    """Drains a run, showing a bar on a terminal and a line an epoch; returns its Finished event."""
    from tqdm import tqdm

    from core.events import EpochDone, StepDone

    bar = tqdm(unit="step", leave=False, disable=None, file=sys.stderr)  # None: only on a terminal
    for event in events:
        if isinstance(event, StepDone):
            bar.total = event.steps * config.epochs
            bar.set_description(f"epoch {event.epoch}/{config.epochs}, loss {event.loss:.3f}", refresh=False)
            bar.update()
        elif isinstance(event, EpochDone):
            bar.clear()
            _say(
                f"epoch {event.epoch}/{config.epochs}: train loss {event.train_loss:.4f}, "
                f"accuracy {event.train_accuracy:.2%} train, {event.test_accuracy:.2%} test"
            )
    bar.close()
    return event


def _run(options) -> store.Run:
    return store.find(options.runs or places.runs_folder(), options.run)


def _evaluate(options) -> tuple[dict, int]:
    run = _run(options)
    from core import experiment

    result = experiment.evaluate_run(run, options.images, options.classifier, options.neighbours)
    if not options.json:
        print(f"accuracy {result['accuracy']:.2%} ({result['correct']} of {result['total']})")
        print(f"precision@1 {result['precision_at_1']:.4f}, R-precision {result['r_precision']:.4f}, ", end="")
        print(f"MAP@R {result['map_at_r']:.4f}\nconfusion matrix (rows: true, columns: predicted)")
        for row in result["confusion"]:
            print(" ".join(f"{count:5}" for count in row))
    return result, 0


def _mistakes(options) -> tuple[dict, int]:
    run = _run(options)
    from core import mistakes

    if not run.result:
        raise StoreError(f"run {run.id} has no predictions yet: its first epoch was not finished")
    table = store.mistakes(run)
    folder = options.out or places.pictures_folder() / run.id
    mistakes.export(table, store.data_of(run), folder)
    if not options.json:
        print(f"{len(table)} mistakes, pictures in {folder}")
    items = [
        {
            "id": row.id,
            "true": row.true,
            "predicted": row.predicted,
            "nearest_true": {"id": row.nearest_true_id, "distance": row.nearest_true_distance},
            "nearest_predicted": {"id": row.nearest_predicted_id, "distance": row.nearest_predicted_distance},
        }
        for row in table.itertuples()
    ]
    return {"count": len(items), "folder": str(folder), "items": items}, 0


def _runs(options) -> tuple[dict, int]:
    found = [
        {
            "run": run.id,
            "status": run.status,
            "preset": run.config.preset if run.config else None,
            "test_accuracy": run.result.get("test_accuracy"),
        }
        for run in store.list_runs(options.runs or places.runs_folder())
    ]
    if not options.json:
        for run in found:
            accuracy = "" if run["test_accuracy"] is None else f"{run['test_accuracy']:.2%}"
            print(f"{run['run']:48} {run['status']:12} {accuracy:>8}")
    return {"runs": found}, 0


if __name__ == "__main__":
    sys.exit(main())
