"""Commands that train: train, resume, pause, stop, lr-find."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core import control, places, workers
from core.commands import Command, Commands, Result, find_run, images_of, one_of, positive, runs_folder, say, silence
from core.dataset import bar, loader, sources
from core.dataset.loader import DataSet
from core.learning import footprint
from core.learning.rate_curve import RangeTest
from core.learning.states import Control, Request
from core.runs import store, writing
from core.settings.config import applies, settings
from core.settings.presets import PRESETS, changes, from_preset
from core.settings.rules import without_effect
from core.settings.setting import ConfigError
from core.settings.text import parse_setting

INTERRUPTED = 130  # exit status of a run that Ctrl-C or a signal to end has stopped


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    about = "Train a network; Ctrl-C stops it and keeps the model so far."
    added = commands.add("train", train, about, settings_help())
    add_preset(added).data().runs().option("--name", help="what to call the run")
    added = commands.add("resume", resume, "Go on with a run that was stopped, paused, interrupted or failed.")
    added.run().data_of_run()
    added.option("--queue", default="", help=argparse.SUPPRESS)  # the lab's, which has handed the run over
    added.option("--add-epochs", type=positive, default=0, metavar="N", help="train N epochs more than it had")
    commands.add("pause", pause, "Save a run that is in training, here or in the dashboard, and let go of it.").run()
    commands.add("stop", stop, "Stop a run that is in training, here or in the dashboard; the model is kept.").run()
    about = "Suggest a learning rate: a hundred steps at growing rates; no run is begun."
    add_preset(commands.add("lr-find", find_rate, about, settings_help())).data()


def add_preset(added: Command) -> Command:
    """The argument PRESET and the option --set."""
    kinds = ", ".join(PRESETS)
    return add_set(added.option("preset", type=one_of(PRESETS, "preset"), metavar="PRESET", help=kinds))


def add_set(added: Command) -> Command:
    """The option --set."""
    return added.option("--set", action="append", default=[], type=_setting, metavar="KEY=VALUE", help="see below")


def _setting(text: str) -> tuple[str, object]:
    try:
        return parse_setting(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settings_help() -> str:
    """All settings with their bounds, for --help."""
    lines = ["settings for --set:"]
    for setting in settings():
        values = " ".join(map(str, setting.choices)) if setting.choices else "ids"
        if setting.low is not None:
            values = f"{setting.low:g} to {setting.high:g}"
        lines.append(f"  {setting.name:18} {setting.label} ({values})")
    return "\n".join(lines)


def train(options) -> Result:
    config = from_preset(options.preset, **dict(options.set))
    for setting in settings():
        if setting.name in dict(options.set) and not applies(setting, vars(config)):
            say(f"{setting.name} has no effect with the other settings")
    for name, reason in without_effect(config).items():
        if name in changes(config):
            say(f"{name}: {reason}")
    images = images_in_use(options)
    for note in images.notes:
        say(f"note: {note}")
    say(f"{images.description}; loading PyTorch …")
    from core import experiment

    footprint.check(config, len(images.classes))

    def begin() -> writing.RunWriter:
        return writing.create(config, images, runs_folder(options), options.name or "")

    return _drain(options, begin, experiment.run, images)


def images_in_use(options) -> DataSet:
    """The images of a new run, from --data or the lab's own, which are prepared if there are none."""
    with bar.reading() as reading:
        if options.data:
            return loader.load(options.data, reading)
        return sources.prepare(places.data_folder(), progress=say, reading=reading)


def resume(options) -> Result:
    run = find_run(options)
    images = images_of(run, options)
    say(f"{images.description}; loading PyTorch …")
    from core import experiment

    belongs = workers.belongs_to(options.queue, run.folder) if options.queue else lambda: None

    def go_on(writer: writing.RunWriter, images: DataSet, control: Control) -> Iterator:
        return experiment.run(writer, images, lambda: control() or belongs())

    return _drain(options, lambda: writing.reopen(run, images, options.add_epochs, options.queue), go_on, images)


@contextmanager
def listening(told: str, on_interrupt: Request) -> Iterator[list[Request]]:
    """A list that Ctrl-C puts `on_interrupt` into, and another signal to end LEAVE; `told` is then said."""
    wishes: list[Request] = []

    def on_signal(number, _):
        if wishes:  # the second one does not wait
            raise KeyboardInterrupt
        if number not in (signal.SIGINT, signal.SIGTERM):  # the terminal was closed: nobody can be told
            silence(sys.stdout)
            silence(sys.stderr)
        wishes.append(on_interrupt if number == signal.SIGINT else Request.LEAVE)
        say(f"\n{told}")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(options, take_up, run, images) -> Result:
    """Trains a run that `take_up` makes or reopens, until its end or a signal."""
    told = "stopping after this step; the model so far will be kept"
    with listening(told, on_interrupt=Request.STOP) as wishes, take_up() as writer:
        finished = _watch(run(writer, images, lambda: wishes[0] if wishes else None), writer)
    if finished.status != "done":
        say(f"to go on: python -m core resume {finished.run}")
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

    epochs = writer.record.config.epochs
    shown = tqdm(unit="step", leave=False, disable=None, file=sys.stderr)  # None: only on a terminal
    for event in events:
        if isinstance(event, Resumed):
            say(f"run {writer.id} goes on in epoch {event.epoch}, after {event.step} of its steps")
            for note in event.notes:
                say(note)
        elif isinstance(event, StepDone):
            shown.total = event.steps * epochs
            shown.set_description(f"epoch {event.epoch}/{epochs}, loss {event.loss:.3f}", refresh=False)
            shown.update((event.epoch - 1) * event.steps + event.step - shown.n)
        elif isinstance(event, EpochDone):
            shown.clear()
            say(
                f"epoch {event.epoch}/{epochs}: train loss {event.train_loss:.4f}, "
                f"accuracy {event.train_accuracy:.2%} train, {event.test_accuracy:.2%} test"
            )
            if event.alarm:
                say(f"alarm: {event.alarm}")
    shown.close()
    return event


def find_rate(options) -> Result:
    """Prints what a range test finds; see core/learning/rate_range.py."""
    config = from_preset(options.preset, **dict(options.set))
    images = images_in_use(options)
    footprint.check(config, len(images.classes))
    say(f"{images.description}; loading PyTorch …")
    from core.learning import rate_range

    found = RangeTest()
    with listening("ending the test", on_interrupt=Request.STOP) as wishes:
        for found in rate_range.find(config, images, lambda: wishes[0] if wishes else None):
            if not options.json:
                print(f"{found.learning_rates[-1]:.3g}: loss {found.losses[-1]:.4f}, smoothed {found.smoothed[-1]:.4f}")
    suggestion = None if wishes else found.suggestion
    if not options.json and not wishes:
        told = "the loss falls nowhere" if suggestion is None else f"suggestion: --set learning_rate={suggestion:g}"
        print(told)
    result = {
        "preset": options.preset,
        "learning_rates": list(found.learning_rates),
        "losses": list(found.losses),
        "smoothed": list(found.smoothed),
        "steepest": None if wishes else found.steepest,
        "suggestion": suggestion,
    }
    return result, INTERRUPTED if wishes else 0


def pause(options) -> Result:
    return _ask(options, control.pause)


def stop(options) -> Result:
    return _ask(options, control.stop)


def _ask(options, wish) -> Result:
    """Asks the process that trains a run; does not wait for the answer."""
    run = find_run(options)
    wish(run)
    status = store.read(run.folder).status
    if not options.json:
        print(f"run {run.id}: {status}")
    return {"run": run.id, "status": status}, 0
