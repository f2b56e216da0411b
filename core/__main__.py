"""The command line: python -m core {data, summary, train, resume, pause, stop, evaluate, mistakes, runs, …}."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from core import control, places
from core.dataset import bar, loader, sources
from core.dataset.loader import DataError
from core.runs import store, writing
from core.runs.checks import LONGEST_NAME
from core.runs.files import StoreError, replacing
from core.settings.choices import CLASSIFIERS
from core.settings.config import ConfigError, applies, parse_setting, settings
from core.settings.presets import PRESETS, from_preset

INTERRUPTED = 130  # exit status of a run that Ctrl-C or a signal to end has stopped


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for a failure, 2 for wrong use, 130 for a run ended by Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        result, status = options.command(options)
        if options.json:
            print(json.dumps(result))
        print(end="", flush=True)
    except BrokenPipeError:  # whoever was to read it has ended, as `| head` does
        _silence(sys.stdout)
        return 1
    except ConfigError as error:
        return _fail(error, 2)
    except (DataError, StoreError, OSError, RuntimeError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    return status


def _silence(stream: TextIO) -> None:
    """Lets a stream that nobody reads any more swallow the rest; otherwise Python would complain when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
    added.add_argument("--name", help="what to call the run")
    added = command("resume", _resume, "Go on with a run that was stopped, paused, interrupted or failed.")
    add_run(added)
    add_data(added)
    added.add_argument("--add-epochs", type=_positive, default=0, metavar="N", help="train N epochs more than it had")
    add_run(command("pause", _pause, "Save a run that is in training, here or in the dashboard, and let go of it."))
    add_run(command("stop", _stop, "Stop a run that is in training, here or in the dashboard; the model is kept."))
    added = command("rename", _rename, "Give a run a name.")
    add_run(added)
    added.add_argument("name", metavar="NAME", help=f"1 to {LONGEST_NAME} characters")
    added = command("archive", _archive, "Put a run away; nothing is deleted.")
    add_run(added)
    added.add_argument("--undo", action="store_true", help="bring it back")
    added = command("delete", _delete, "Delete a run and all that is kept of it.")
    add_run(added)
    added.add_argument("--yes", action="store_true", help="do not ask")
    added = command("evaluate", _evaluate, "Test a run's network on its own or on other images.")
    add_run(added)
    added.add_argument("--images", type=Path, metavar="DIR", help="class folders of PNG files (default: the test set)")
    added.add_argument("--classifier", choices=CLASSIFIERS, help="default: as the run was trained")
    added.add_argument("--neighbours", type=_positive, metavar="K", help="k of knn (default: as the run was trained)")
    added = command("mistakes", _mistakes, "Export each misclassified test image with its two neighbours.")
    add_run(added)
    added.add_argument("--out", type=Path, metavar="DIR", help="where to (default: pics/errors/RUN/)")
    add_runs(command("runs", _runs, "List the runs, newest first."))
    added = command("export", _export, "Pack a run into a zip file, for another computer.")
    add_run(added)
    added.add_argument("--out", type=Path, metavar="FILE", help="where to (default: RUN.zip)")
    added = command("import", _import, "Take in a run that was exported, or with --data a zip file of images.")
    added.add_argument("file", type=Path, metavar="FILE", help="the zip file; it is checked and not trusted")
    added.add_argument("--data", type=Path, metavar="DIR", help="take images into this new folder")
    add_runs(added)
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
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:  # no reason to end a training
        _silence(sys.stderr)


def _data(options) -> tuple[dict, int]:
    with bar.reading() as reading:
        found = sources.prepare(options.data or places.data_folder(), options.source, _say, reading)
    return _about(found, options.json), 0


def _about(found: loader.DataSet, silent: bool) -> dict:
    """What a data set is, printed unless `silent` and for --json."""
    if not silent:
        print(f"{found.description}\n{found.folder}")
        print(f"{len(found.classes)} classes: {', '.join(found.classes)}")
        print(f"{len(found.train.ids):,} training and {len(found.test.ids):,} test images")
        print(f"SHA-256 {found.fingerprint}")
    return {
        "source": found.source,
        "fingerprint": found.fingerprint,
        "classes": len(found.classes),
        "train": len(found.train.ids),
        "test": len(found.test.ids),
    }


def _summary(options) -> tuple[dict, int]:
    from dataclasses import asdict

    from core.networks import build

    summary = build.summarise(from_preset(options.preset, **dict(options.set)))
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
    for field in settings():
        if field.name in dict(options.set) and not applies(field, vars(config)):
            _say(f"{field.name} has no effect with the other settings")
    with bar.reading() as reading:
        if options.data:
            images = loader.load(options.data, reading)
        else:
            images = sources.prepare(places.data_folder(), progress=_say, reading=reading)
    _say(f"{images.description}; loading PyTorch …")
    from core import experiment

    def begin() -> writing.RunWriter:
        return writing.create(config, images, options.runs or places.runs_folder(), options.name or "")

    return _drain(options, begin, experiment.run, images)


def _resume(options) -> tuple[dict, int]:
    run = _run(options)
    with bar.reading() as reading:
        images = loader.load(options.data or Path(run.data["folder"]), reading)
    _say(f"{images.description}; loading PyTorch …")
    from core import experiment

    return _drain(options, lambda: writing.reopen(run, images, options.add_epochs), experiment.run, images)


def _drain(options, take_up, run, images) -> tuple[dict, int]:
    """Trains a run that `take_up` makes or reopens, until its end or a signal."""
    wishes = []

    def on_signal(number, _):
        if wishes:  # the second one does not wait
            raise KeyboardInterrupt
        wishes.append("stop" if number == signal.SIGINT else "leave")
        _say("\nstopping after this step; the model so far will be kept")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with take_up() as writer:
            finished = _watch(run(writer, images, lambda: wishes[0] if wishes else None), writer)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if finished.status != "done":
        _say(f"to go on: python -m core resume {finished.run}")
    if not options.json:
        print(f"run {finished.run}: {finished.status} after epoch {finished.epochs}, {finished.seconds:.1f} s")
        if finished.epochs:
            print(f"accuracy {finished.train_accuracy:.2%} on training, {finished.test_accuracy:.2%} on test images")
    names = ("run", "status", "epochs", "train_accuracy", "test_accuracy", "seconds")
    status = INTERRUPTED if wishes and finished.status != "done" else 0
    return {name: getattr(finished, name) for name in names}, status


def _watch(events, writer: writing.RunWriter):
    """Drains a run, showing a bar on a terminal and a line an epoch; returns its Finished event."""
    from tqdm import tqdm

    from core.learning.events import EpochDone, Resumed, StepDone

    epochs = writer.facts["config"]["epochs"]
    bar = tqdm(unit="step", leave=False, disable=None, file=sys.stderr)  # None: only on a terminal
    for event in events:
        if isinstance(event, Resumed):
            _say(f"run {writer.id} goes on in epoch {event.epoch}, after {event.step} of its steps")
            for note in event.notes:
                _say(note)
        elif isinstance(event, StepDone):
            bar.total = event.steps * epochs
            bar.set_description(f"epoch {event.epoch}/{epochs}, loss {event.loss:.3f}", refresh=False)
            bar.update((event.epoch - 1) * event.steps + event.step - bar.n)
        elif isinstance(event, EpochDone):
            bar.clear()
            _say(
                f"epoch {event.epoch}/{epochs}: train loss {event.train_loss:.4f}, "
                f"accuracy {event.train_accuracy:.2%} train, {event.test_accuracy:.2%} test"
            )
            if event.alarm:
                _say(f"alarm: {event.alarm}")
    bar.close()
    return event


def _run(options) -> store.Run:
    return store.find(options.runs or places.runs_folder(), options.run)


def _pause(options) -> tuple[dict, int]:
    return _ask(options, control.pause)


def _stop(options) -> tuple[dict, int]:
    return _ask(options, control.stop)


def _ask(options, wish) -> tuple[dict, int]:
    """Asks the process that trains a run; does not wait for the answer."""
    run = _run(options)
    wish(run)
    status = store.read(run.folder).status
    if not options.json:
        print(f"run {run.id}: {status}")
    return {"run": run.id, "status": status}, 0


def _rename(options) -> tuple[dict, int]:
    run = _run(options)
    store.rename(run, options.name)
    name = store.read(run.folder).name
    if not options.json:
        print(f"run {run.id} is now called {name}")
    return {"run": run.id, "name": name}, 0


def _archive(options) -> tuple[dict, int]:
    run = _run(options)
    store.archive(run, not options.undo)
    if not options.json:
        print(f"run {run.id} is {'back' if options.undo else 'archived'}")
    return {"run": run.id, "archived": not options.undo}, 0


def _delete(options) -> tuple[dict, int]:
    """Asks on a terminal; a damaged run can be deleted as well, but only by its id."""
    runs = options.runs or places.runs_folder()
    folder = store.find(runs, "latest").folder if options.run == "latest" else store.folder_of(runs, options.run)
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError("what is deleted cannot be brought back: add --yes")
        print(
            f"Delete {store.read(folder).title} ({folder})? It cannot be brought back. [y/N] ", file=sys.stderr, end=""
        )
        if input().strip().lower() not in ("y", "yes"):
            return {"run": folder.name, "deleted": False}, 0
    store.delete(folder)
    if not options.json:
        print(f"run {folder.name} is deleted")
    return {"run": folder.name, "deleted": True}, 0


def _evaluate(options) -> tuple[dict, int]:
    run = _run(options)
    from core import experiment

    with bar.reading() as reading:
        result = experiment.evaluate_run(run, options.images, options.classifier, options.neighbours, reading)
    if not options.json:
        print(f"accuracy {result['accuracy']:.2%} ({result['correct']} of {result['total']})")
        print(f"precision@1 {result['precision_at_1']:.4f}, R-precision {result['r_precision']:.4f}, ", end="")
        print(f"MAP@R {result['map_at_r']:.4f}")
        shares = zip(run.data["classes"], result["per_class"], strict=True)
        print("per class:", ", ".join(f"{name} {'–' if share is None else f'{share:.2%}'}" for name, share in shares))
        print("confusion matrix (rows: true, columns: predicted)")
        for row in result["confusion"]:
            print(" ".join(f"{count:5}" for count in row))
    return result, 0


def _mistakes(options) -> tuple[dict, int]:
    run = _run(options)
    from core.analysis import mistakes
    from core.exchange import pictures

    if not run.result:
        raise StoreError(f"run {run.id} has no predictions yet: its first epoch was not finished")
    table = store.mistakes(run)
    with bar.reading() as reading:
        images = store.data_of(run, reading)
    if len(table) != run.result["mistakes"]:  # brought in before its data set was
        table = mistakes.find(images, store.embedded(run, run.result["epochs"]))
    folder = options.out or places.pictures_folder() / run.id
    pictures.export(table, images, folder)
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
            "title": run.title,
            "archived": run.archived,
        }
        for run in store.list_runs(options.runs or places.runs_folder())
    ]
    if not options.json:
        for run in found:
            accuracy = "" if run["test_accuracy"] is None else f"{run['test_accuracy']:.2%}"
            title = f"{run['title']} (archived)" if run["archived"] else run["title"]
            print(f"{run['run']:48} {run['status']:12} {accuracy:>8}  {title}")
    return {"runs": found}, 0


def _export(options) -> tuple[dict, int]:
    from core.exchange import uploads

    run = _run(options)
    file = options.out or Path(f"{run.id}.zip")
    with replacing(file) as stream:
        uploads.export_run(run, stream)
    if not options.json:
        print(f"run {run.id} is packed in {file}")
    return {"run": run.id, "file": str(file)}, 0


def _import(options) -> tuple[dict, int]:
    from core.exchange import uploads

    if options.data:
        return _about(uploads.read_data_set(options.file, options.data), options.json), 0
    run_id = uploads.read_run(options.file, options.runs or places.runs_folder(), uploads.data_sets())
    if not options.json:
        print(f"taken in as run {run_id}")
    return {"run": run_id}, 0


if __name__ == "__main__":
    sys.exit(main())
