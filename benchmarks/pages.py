"""What pages take to open and to answer a click, in a real browser over the real server.

    python -m benchmarks.pages [--only NAME] [--tries 5] [--small] [--data DIR]

A function a page is in PAGES; it returns rows for results/pages.csv, to which they are appended. `--small` tries the
whole way with few images and keeps nothing.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import results
from benchmarks.browser import open_page, serve, wait_for_umap
from core import experiment, places
from core.analysis import confusion
from core.dataset import loader
from core.dataset.loader import DataSet
from core.runs import store, writing
from core.runs.store import Run
from core.settings.presets import from_preset

PATIENCE = 120_000  # milliseconds for one answer
MISTAKES = 500  # of the large set
LARGE = 10_000  # its test images


def upscaled(images: DataSet, test: int, folder: Path) -> DataSet:
    """A set with so many test images: copies with noise, a draw of their own each."""
    rows = np.arange(test) % len(images.test.ids)
    noise = np.random.default_rng(0).normal(0, 12, (test, *images.test.images.shape[1:]))
    noisy = np.clip(images.test.images[rows] + noise, 0, 255).astype(np.uint8)
    folder.mkdir(parents=True)
    labels = images.test.labels[rows]
    np.savez(
        folder / "set.npz",
        x_train=images.train.images, y_train=images.train.labels, x_test=noisy, y_test=labels,
    )  # fmt: skip
    return loader.load(folder)


def trained(images: DataSet, runs: Path) -> Run:
    """Two epochs of `quick`."""
    with writing.create(from_preset("quick", epochs=2), images, runs) as writer:
        for _ in experiment.run(writer, images):
            pass
    return store.read(writer.folder)


def with_mistakes(run: Run, images: DataSet, count: int) -> None:
    """Changes what the run has stored as predicted, until exactly so many test images are misclassified."""
    file = store.embeddings_file(run, run.result.epochs)
    with np.load(file) as arrays:
        kept = dict(arrays)
    predicted, labels = kept["predicted"].copy(), images.test.labels
    wrong = np.flatnonzero(predicted != labels)
    predicted[wrong[count:]] = labels[wrong[count:]]
    right = np.flatnonzero(predicted == labels)[: max(0, count - len(wrong))]
    predicted[right] = (labels[right] + 1 + right % (len(images.classes) - 1)) % len(images.classes)
    np.savez(file, **kept | {"predicted": predicted})


class Stopwatch:
    """Milliseconds of each try, by what was done."""

    def __init__(self):
        self.taken: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.taken.setdefault(what, []).append(1000 * (time.perf_counter() - begun))


def mistakes(data: Path, tries: int, small: bool) -> list[dict]:
    """The Mistakes page for the images of the lab, and for many more."""
    images = loader.load(data)
    with tempfile.TemporaryDirectory(prefix="tripletlab-pages-") as name:
        of_lab = trained(images, Path(name) / "lab" / "runs")
        rows = _mistakes(data, of_lab, images, tries, {"open": 1000, "cell": 300, "voter": 300})
        many = upscaled(images, 4 * len(images.test.ids) if small else LARGE, Path(name) / "large" / "set")
        run = trained(many, Path(name) / "large" / "runs")
        with_mistakes(run, many, min(MISTAKES, len(many.test.ids) // 2))
        return rows + _mistakes(many.folder, run, many, tries, {})


def _mistakes(data: Path, run: Run, images: DataSet, tries: int, targets: dict[str, int]) -> list[dict]:
    """Opens the page from Home, clicks the most confused cell, opens its first image and unticks a voter."""
    predicted = store.embedded(run, run.result.epochs).predicted
    wrong = int((predicted != images.test.labels).sum())
    counts = confusion.matrix(images.test.labels, predicted, len(images.classes))
    true, called = np.unravel_index((counts * ~np.eye(len(counts), dtype=bool)).argmax(), counts.shape)
    cell = f"{counts[true, called]} of class {images.classes[true]} called {images.classes[called]}"
    clock = Stopwatch()
    with serve(data, run.folder.parent) as url, open_page(f"{url}/embedding?run={run.id}") as page:
        page.set_default_timeout(PATIENCE)
        wait_for_umap(page)
        page.goto(f"{url}/mistakes?run={run.id}")
        page.locator(".tile").first.wait_for()  # libraries are loaded and the browser knows the scripts
        for _ in range(tries):
            page.get_by_test_id("stTopNav").get_by_role("link", name="Home").click()
            page.locator(".tile").first.wait_for(state="detached")
            with clock("open"):
                page.get_by_test_id("stTopNav").get_by_role("link", name="Mistakes").click()
                page.get_by_text(f"of {wrong} shown").wait_for()
                page.locator(".tile").first.wait_for()
            with clock("cell"):
                page.get_by_title(cell).click()
                page.get_by_text(f"{counts[true, called]} of {wrong} shown").wait_for()
            with clock("why"):
                page.locator(".tile").first.click()
                page.locator(".lab-why").wait_for()
                page.locator(".tile:not(.wide)").first.wait_for()
            with clock("voter"):
                page.locator(".tile").first.click()
                page.locator(".tile.off").wait_for()
            page.get_by_role("button", name="All images").click()
            page.get_by_title(cell).click()  # all of them again
            page.get_by_text(f"{wrong} of {wrong} shown").wait_for()
    words = {
        "open": "opened from Home",
        "cell": "click on a cell",
        "why": "click on an image",
        "voter": "click on a voter",
    }
    return [
        _row("Mistakes: " + words[what], images, wrong, taken, targets.get(what)) for what, taken in clock.taken.items()
    ]


def try_it(data: Path, tries: int, small: bool) -> list[dict]:
    """A stroke on the page Try it, from the moment at which the pen is lifted to the star on the map."""
    images = loader.load(data)
    with tempfile.TemporaryDirectory(prefix="tripletlab-pages-") as name:
        run = trained(images, Path(name) / "runs")
        clock = Stopwatch()
        with serve(data, run.folder.parent) as url, open_page(f"{url}/embedding?run={run.id}") as page:
            page.set_default_timeout(PATIENCE)
            wait_for_umap(page)
            page.goto(f"{url}/try?run={run.id}")
            for place in range(tries + 1):
                _press(page, place)
                with clock("stroke" if place else "first"):  # the first one loads the network
                    _lift(page)
        predicted = store.embedded(run, run.result.epochs).predicted
        wrong = int((predicted != images.test.labels).sum())
        return [_row("Try it: a stroke", images, wrong, clock.taken["stroke"], 300)]


def _press(page, place: int) -> None:
    """Draws a line on the canvas, each time another one; the pen stays down."""
    box = page.locator(".sheet canvas").bounding_box()
    page.mouse.move(box["x"] + 60 + 20 * (place % 9), box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200 - 20 * (place % 9), box["y"] + 220, steps=5)


def _lift(page) -> None:
    """Lifts the pen and waits until the drawing's star is on the map, at another place than before."""
    star = page.locator("canvas[role=img]")
    before = star.get_attribute("data-star")
    page.mouse.up()
    if not before:  # the map is in another place than beside an empty canvas
        page.locator(".lab-verdict").wait_for()
        page.locator("canvas[role=img]:not([data-star=''])").wait_for()
        return
    star.evaluate(
        """(map, before) => new Promise((done) => {
          const look = () => (map.dataset.star !== before ? done() : requestAnimationFrame(look));
          look();
        })""",
        before,
    )


def _row(what: str, images: DataSet, wrong: int, taken: list[float], target: int | None) -> dict:
    return {
        "what": what,
        "images": len(images.test.ids),
        "mistakes": wrong,
        "target ms": target or "",
        "median ms": round(float(np.median(taken))),
        "slowest ms": round(max(taken)),
        "tries": len(taken),
        **results.circumstances(),
    }


PAGES: dict[str, Callable[[Path, int, bool], list[dict]]] = {"mistakes": mistakes, "try": try_it}


def main() -> None:
    """Measures, prints and keeps the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PAGES, help="one page")
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="few images, and nothing is kept")
    parser.add_argument("--data", type=Path, default=places.data_folder())
    options = parser.parse_args()
    for name in [options.only] if options.only else PAGES:
        rows = PAGES[name](options.data, options.tries, options.small)
        for row in rows:
            print(f"{row['what']:32} {row['images']:6} images {row['median ms']:6} ms, slowest {row['slowest ms']} ms")
        if not options.small:
            results.append("pages", rows)


if __name__ == "__main__":
    main()
