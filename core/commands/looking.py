"""Commands that look at what runs have learnt: evaluate, mistakes, compare, replay."""

from pathlib import Path

from core import places
from core.commands import Commands, Result, find_run, images_of, one_of, positive, say
from core.runs import store
from core.runs.files import StoreError
from core.settings.choices import CLASSIFIERS


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    added = commands.add("evaluate", evaluate, "Test a run's network on its own or on other images.").run()
    about = "class folders of images, or images without classes (default: the test set)"
    added.data_of_run().option("--images", type=Path, metavar="DIR", help=about)
    added.option("--classifier", type=one_of(CLASSIFIERS, "classifier"), help="default: as the run was trained")
    added.option("--neighbours", type=positive, metavar="K", help="k of knn (default: as the run was trained)")
    added = commands.add("mistakes", mistakes, "Export each misclassified test image with its two neighbours.").run()
    added.data_of_run().out("where to (default: pics/errors/RUN/)", "DIR")
    added = commands.add("compare", compare, "Compare 2 to 8 runs on the same test images.").runs().data_of_run()
    added.option("run", nargs="+", metavar="RUN", help="ids of runs; latest is the newest")
    commands.add("replay", replay, "Train a run again and say whether it comes out the same.").run().data_of_run()


def evaluate(options) -> Result:
    run = find_run(options)
    from core.evaluation import evaluate_run

    images = images_of(run, options)
    result = evaluate_run(run, options.images, options.classifier, options.neighbours, images=images)
    for note in result.get("notes", ()):
        say(f"note: {note}")
    if not options.json and "predictions" in result:
        names = images.name_of
        for each in result["predictions"]:
            print(f"{each['id']}: {names[each['predicted']]} ({each['score']:.0%})")
    elif not options.json:
        print(f"accuracy {result['accuracy']:.2%} ({result['correct']} of {result['total']})")
        print(f"precision@1 {result['precision_at_1']:.4f}, R-precision {result['r_precision']:.4f}, ", end="")
        print(f"MAP@R {result['map_at_r']:.4f}")
        shares = zip(run.data.classes, result["per_class"], strict=True)
        print("per class:", ", ".join(f"{name} {'–' if share is None else f'{share:.2%}'}" for name, share in shares))
        print("confusion matrix (rows: true, columns: predicted)")
        for row in result["confusion"]:
            print(" ".join(f"{count:5}" for count in row))
    return result, 0


def mistakes(options) -> Result:
    run = find_run(options)
    from core.analysis import mistakes as wrong
    from core.exchange import pictures

    if not run.result:
        raise StoreError(f"run {run.id} has no predictions yet: its first epoch was not finished")
    table = store.mistakes(run)
    images = images_of(run, options)
    if len(table) != run.result.mistakes:  # brought in before its data set was
        table = wrong.find(images, store.embedded(run, run.result.epochs))
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


def compare(options) -> Result:
    """Prints what differs between runs; see core/runs/comparison.py."""
    from core.analysis.compare import in_words
    from core.runs.comparison import compare_runs

    runs = [find_run(options, name) for name in options.run]
    found = compare_runs(runs, images_of(runs[0], options))
    result = found.to_json()
    if not options.json:
        for run in runs:
            accuracy = f"{result['accuracy'][run.id]:.2%} of {len(found.images.test.ids):,} test images"
            print(f"{run.id} ({run.title}): {accuracy}")
        for setting, values in found.differing_settings.items():
            print(f"{setting}: {', '.join(str(value) for value in values.values())}")
        for (a, b), pair in found.pairs.items():
            print(in_words(a, b, pair, len(found.images.test.ids)))
        print(f"all wrong: {', '.join(result['all_wrong']) or 'none'}")
    return result, 0


def replay(options) -> Result:
    """Trains a run again; the exit status is 1 if anything comes out otherwise."""
    from core import replay as again

    run = find_run(options)
    images = images_of(run, options)
    receipt = again.receipt(run)
    say(f"run {run.id}, receipt {receipt}: training it again, {run.config.epochs} epochs")
    found = again.replay(run, images)
    if not options.json:
        told = f"the first epoch that differs is {found.first_difference}: {found.what}"
        print(f"run {run.id}: {'bit for bit the same' if found.bit_exact else told}")
    names = ("run", "epochs", "bit_exact", "first_difference", "what")
    return {name: getattr(found, name) for name in names} | {"receipt": receipt}, 0 if found.bit_exact else 1
