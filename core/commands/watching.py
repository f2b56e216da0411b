"""Commands that look into a training: microscope."""

from core.commands import Commands, Result, find_run, images_of
from core.runs import latest_step
from core.runs.files import StoreError


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    about = "Show the hardest, the median and some random triplets of a run's latest step (else its worst images)."
    commands.add("microscope", microscope, about).run().data_of_run()


def microscope(options) -> Result:
    """Prints some triplets or images of the latest step; see core/runs/latest_step.py."""
    run = find_run(options)
    found = latest_step.read(run)
    if found is None:
        raise StoreError(f"run {run.id} keeps no step to look at: it was not begun, or was brought in without one")
    result = latest_step.described(run, found, images_of(run, options))
    if not options.json:
        print(f"epoch {found.epoch}, step {found.step}: loss {_told(result['loss'])}")
        for item in result["items"]:
            print(_line(item))
        if not result["items"]:
            print("no triplet was mined in this step")
    return result, 0


def _line(item: dict) -> str:
    """A triplet or an image in a line."""
    if "image" in item:
        called = item["predicted"]["before"]
        said = f" called {called} ({item['predicted_probability']['before']:.0%})" if called else ""
        return f"{item['role']:12} {_image(item['image'])}{said}, loss {_told(item['loss'])}"
    images = " ".join(_image(item[name]) for name in ("anchor", "positive", "negative"))
    distances = f"d(a,p) {_told(item['to_positive'])}, d(a,n) {_told(item['to_negative'])}"
    return f"{item['role']:8} {item['kind']['before']:9} {images}  {distances}, loss {_told(item['loss'])}"


def _image(image: dict) -> str:
    return f"{image['id']} ({image['class']})"


def _told(value: dict) -> str:
    """Before and, where it is known, after the step."""
    after = "" if value["after"] is None else f" → {value['after']:.2f}"
    return f"{value['before']:.2f}{after}"
