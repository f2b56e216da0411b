"""Command that asks a run about images that are in no data set: classify."""

from pathlib import Path

import numpy as np

from core import maps
from core.commands import Commands, Result, find_run, images_of, positive, say
from core.dataset import digit
from core.dataset import images as files
from core.dataset.images import DataError


def add(commands: Commands) -> None:
    """Adds this group's command."""
    added = commands.add("classify", classify, "Say what a run takes images for, such as a photographed digit.").run()
    added.data_of_run().option("image", nargs="+", type=Path, metavar="IMAGE", help="files of images")
    added.option("--neighbours", type=positive, metavar="K", help="how many vote (default: as the run was trained)")
    added.option("--invert", action="store_true", help="the border of the images shows ink, not paper")


def classify(options) -> Result:
    """One answer an image; those that cannot be read are named in a line each, and the exit status is 1."""
    run = find_run(options)
    data = images_of(run, options)
    from core import classifying

    pictures, unreadable = {}, []
    for file in options.image:
        try:
            if not file.exists():
                raise DataError(f"{file}: no such file; check its name")
            pictures[file] = files.decoded(files.content(file), file, shrink=True)
        except DataError as error:
            unreadable.append({"file": str(file), "reason": str(error)})
            say(f"error: {error}")
    seen = {file: digit.seen(picture, data.train.images, inverted=options.invert) for file, picture in pictures.items()}
    found = []
    if seen:
        k = options.neighbours or run.config.neighbours
        answers = classifying.Classifier(run, data).classify(np.stack([pixels for pixels, _ in seen.values()]), k)
        drawn = {method: maps.known(run, method) for method in maps.METHODS}
        for file, answer in zip(seen, answers, strict=True):
            if digit.is_blank(seen[file][0]):
                say(f"note: {file}: no ink is found on it, so what it is called means nothing; --invert may help")
            if not options.json:
                votes = ", ".join(f"{count} × {data.classes[label]}" for label, count in answer.votes.items())
                print(f"{file}: {data.classes[answer.label]} ({answer.score:.0%}), its neighbours: {votes}")
            places = {
                method: None if frame is None else answer.place(frame).tolist() for method, frame in drawn.items()
            }
            _, unchanged = seen[file]
            found.append(
                {"file": str(file), "unchanged": unchanged} | classifying.to_json(answer, data) | {"map": places}
            )
    result = {"run": run.id, "rule": run.config.predicts, "images": found, "unreadable": unreadable}
    return result, 1 if unreadable else 0
