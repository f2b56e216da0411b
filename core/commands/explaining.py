"""Commands that explain what a run got wrong: why, biography."""

from core.analysis import explain
from core.commands import Commands, Result, find_run, images_of, positive
from core.runs import explaining
from core.runs.files import StoreError
from core.settings.text import ids, written


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    added = commands.add("why", why, "Say why a test image was called what it was.").run().data_of_run()
    added.option("image", metavar="IMAGE", help="id of a test image, e.g. mnist_test_8527")
    added.option("--neighbours", type=positive, metavar="K", help="how many vote (default: as the run was trained)")
    added.option("--without", default="", metavar="ID,ID", help="training images that do not vote")
    added = commands.add("biography", biography, "Say what images were called after each epoch.").run().data_of_run()
    added.option("image", nargs="?", metavar="IMAGE", help="id of a test or training image (default: all test images)")
    added.option("--train", action="store_true", help="all training images, each without its own vote")


def why(options) -> Result:
    run = find_run(options)
    images = images_of(run, options)
    if options.image in images.train.ids and options.image not in images.test.ids:
        raise StoreError(f"{options.image} is a training image; why explains test images, biography tells of both")
    row = explaining.row_of(images.test, options.image, "test")
    without = [explaining.row_of(images.train, name, "training") for name in ids(options.without)]
    found = explaining.why(run, images, row, options.neighbours, without)
    score = explaining.score_of(run, images, row, options.neighbours, without)
    if not options.json:
        _print_why(found, images, row, score)
    return explaining.why_json(found, images, row, score), 0


def _print_why(found: explain.Why, images, row: int, score: float) -> None:
    classes = images.classes
    print(f"{images.test.ids[row]}: labelled {classes[found.true]}, called {classes[found.predicted]} ({score:.0%})")
    print(explain.sentence(found, classes))
    said = {rule: "– (not stored)" if label is None else classes[label] for rule, label in found.rules.items()}
    print("rules:", ", ".join(f"{rule} {label}" for rule, label in said.items()))
    for each, label, distance in found.voters:
        print(f"  {images.train.ids[each]}  {classes[label]}  {distance:.2f}")
    if found.removals is None:
        print("no removal of training images turns it right")
    elif found.removals:
        print("to turn it right remove:", written(tuple(images.train.ids[each] for each in found.removals)))


def biography(options) -> Result:
    run = find_run(options)
    images = images_of(run, options)
    training = options.train or (options.image in images.train.ids and options.image not in images.test.ids)
    split = images.train if training else images.test
    rows = list(range(len(split.ids)))
    if options.image:
        rows = [explaining.row_of(split, options.image, "training" if training else "test")]
    result = explaining.biographies(run, images, training=training).to_json(images, split, rows)
    if not options.json:
        for kind, count in result["counts"].items():
            print(f"{kind}: {count}")
        for each in result["images"] if options.image else ():
            print(f"{each['id']}, class {each['true']}: {' '.join(map(str, each['predicted']))}")
    return result, 0
