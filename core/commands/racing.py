"""The command race: runs that differ in how triplets are mined, or in other settings, trained in turns."""

import argparse

from core import race
from core.commands import Commands, Result, positive, runs_folder, say
from core.commands.training import INTERRUPTED, add_set, images_in_use, listening, settings_help
from core.dataset import bar, loader
from core.learning.events import EpochDone, Resumed
from core.learning.states import Request
from core.runs import store
from core.settings.presets import PRESETS
from core.settings.setting import ConfigError
from core.settings.text import parse_value
from core.settings.words import nearest

_VARY = ["selection=all,semi_hard,batch_hard"]


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    about = "Train runs that differ in a setting in turns of one epoch; Ctrl-C pauses them."
    added = commands.add("race", start, about, settings_help())
    added.option(
        "what", metavar="PRESET", help=f"{', '.join(PRESETS)}; or the id of a race that shall go on, or latest"
    )
    added.option("--vary", action="append", type=_varied, metavar="KEY=VALUE,VALUE", help=f"default: {_VARY[0]}")
    added.option("--seeds", type=positive, default=1, metavar="N", help="runs with N seeds of each (default: 1)")
    add_set(added).data().runs()


def _varied(text: str) -> tuple[str, list]:
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: write key=value,value, e.g. {_VARY[0]}")
    try:
        return name, [parse_value(name, value)[1] for value in values.split(";" if ";" in values else ",")]
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def start(options) -> Result:
    """Begins a race, or goes on with one; the exit status is 1 if a run failed."""
    runs = runs_folder(options)
    if options.what not in PRESETS:
        return _run(options, *_again(options, runs))
    images = images_in_use(options)
    vary = dict(options.vary or map(_varied, _VARY))
    configs = race.lanes(options.what, vary, options.seeds, images, **dict(options.set))
    begun, writers = race.create(options.what, list(vary), configs, images, runs)
    return _run(options, begun, writers, images)


def _again(options, runs):
    """A race that was begun before, the writers of its runs, and their images."""
    if not options.what.startswith("race-") and options.what != "latest":
        raise ConfigError(f"there is no preset {options.what!r}{nearest(options.what, PRESETS)}")
    found = race.find(runs, options.what)
    first = race.runs_of(found, runs)[0]
    with bar.reading() as reading:
        images = loader.load(options.data, reading) if options.data else store.data_of(first, reading)
    return found, race.reopen(found, images, runs), images


def _run(options, held: race.Race, writers, images) -> Result:
    say(f"{held.race}: {len(held.runs)} runs in turns; loading PyTorch …")
    failed = False
    with listening("pausing after this step", on_interrupt=Request.PAUSE) as wishes:
        for run_id, event in race.run(writers, images, lambda: wishes[0] if wishes else None):
            failed |= isinstance(event, Exception)
            _tell(run_id, event)
    runs = race.runs_of(held, runs_folder(options))
    rows = race.standing(held, runs)
    if wishes:
        say(f"to go on: python -m core race {held.race}")
    if not options.json:
        _print(held, rows)
    result = {"race": held.race, "preset": held.preset, "vary": list(held.vary), "runs": rows}
    return result, INTERRUPTED if wishes else int(failed)


def _tell(run_id: str, event) -> None:
    if isinstance(event, EpochDone):
        say(f"{run_id}: epoch {event.epoch}, {event.train_accuracy:.2%} train, {event.test_accuracy:.2%} test")
    elif isinstance(event, Resumed):
        for note in event.notes:
            say(f"{run_id}: {note}")
    elif isinstance(event, Exception):
        say(f"{run_id} failed: {event}")


def _print(held: race.Race, rows: list[dict]) -> None:
    for row in rows:
        named = ", ".join(f"{name} {row[name]}" for name in (*held.vary, "seed"))
        accuracy = "no result" if row["test_accuracy"] is None else f"{row['test_accuracy']:.2%} test"
        print(
            f"{row['run']}  {named}: {row['status']}, {accuracy}, {row['images_seen']:,} images, {row['seconds']:.1f} s"
        )
    if rows and rows[0]["to_common"] is not None:
        print(f"to {rows[0]['to_common']:.2%}, which all reached:")
        for row in sorted(rows, key=lambda row: row["images_to"]):
            print(f"  {row['run']}: {row['images_to']:,} images, {row['seconds_to']:.1f} s")
