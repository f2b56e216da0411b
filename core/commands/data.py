"""Commands about data sets and networks: data, summary."""

from dataclasses import asdict

from core import places
from core.commands import Commands, Result, say
from core.commands.training import add_preset, settings_help
from core.dataset import bar, sources
from core.dataset.loader import DataSet
from core.settings.presets import from_preset


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    commands.add("data", data, "Show the data set; prepare it first if there is none.").data().option(
        "--source",
        help="fill an empty folder: auto (MNIST, without a network the digits of scikit-learn), mnist, digits, PATH",
    )
    add_preset(commands.add("summary", summary, "Layers, parameters and multiply-adds of a network.", settings_help()))


def data(options) -> Result:
    with bar.reading() as reading:
        found = sources.prepare(options.data or places.data_folder(), options.source, say, reading)
    return about(found, options.json), 0


def about(found: DataSet, silent: bool) -> dict:
    """What a data set is, printed unless `silent` and for --json."""
    if not silent:
        print(f"{found.description}\n{found.folder}")
        print(f"{len(found.classes)} classes: {', '.join(found.classes)}")
        print(f"{len(found.train.ids):,} training and {len(found.test.ids):,} test images")
        print(f"SHA-256 {found.fingerprint}")
        for note in found.notes:
            print(f"note: {note}")
    facts = {
        "source": found.source,
        "fingerprint": found.fingerprint,
        "classes": len(found.classes),
        "train": len(found.train.ids),
        "test": len(found.test.ids),
    }
    return facts | ({"notes": list(found.notes)} if found.notes else {})


def summary(options) -> Result:
    from core.networks import build

    found = build.summarise(from_preset(options.preset, **dict(options.set)))
    if not options.json:
        for layer in found.layers:
            shape = " x ".join(map(str, layer["output"]))
            print(
                f"{layer['name']:40} {layer['kind']:16} {layer['detail']:24} {shape:14} {layer['multiply_adds']:>12,}"
            )
        print(f"{found.convolutions} convolutions + {found.fully_connected} fully connected")
        print(f"{found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds an image")
    return asdict(found), 0
