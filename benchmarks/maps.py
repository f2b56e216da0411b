"""What the maps cost: python -m benchmarks.maps [--images 3000 70000] [--keep]

Makes, for each number of images, such a set of the lab's images and a run on it with made embeddings of 128 numbers in
two epochs and before training. Measures the first UMAP of it, another frame that begins there, and the second opening;
then, in a real browser, what travels until the map is there, and how long the picture of a point takes to appear.
With --keep the rows go to benchmarks/results/maps.csv, from which docs/speed.md is made.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import browser, large, results
from core import maps, places
from core.analysis import projection
from core.analysis.embedded import Embedded
from core.dataset import loader
from core.dataset.loader import DataSet, Split
from core.learning.states import Status
from core.runs import map_file, store, writing
from core.runs.record import MachineFacts, Result
from core.runs.store import Run
from core.settings.presets import from_preset

SIZE = 128  # numbers an embedding
SPREADS = {0: 3.0, 1: 1.2, 2: 0.8}  # of a class, by epoch, where its centre has coordinates of about 1
POINTS = 20  # at which the mouse points
_DRAWN = "document.querySelector('.lab-chart .graph')?._fullData?.length > 3"
_WATCH = """() => {
  const thumbnail = document.querySelector('.lab-chart .thumbnail');
  window.delays = [];
  document.addEventListener('mousemove', () => { window.moved = performance.now(); }, true);
  new MutationObserver(() => {
    if (!thumbnail.hidden && window.moved) window.delays.push(performance.now() - window.moved);
    window.moved = 0;
  }).observe(thumbnail, { attributes: true, attributeFilter: ['hidden', 'data-index'] });
}"""
_PLACES = """(count) => {
  const graph = document.querySelector('.lab-chart .graph'), box = graph.getBoundingClientRect();
  const { xaxis, yaxis } = graph._fullLayout, found = [];
  for (const trace of graph._fullData.filter((each) => each.customdata && !each.meta))
    for (let i = 0; i < trace.x.length && found.length < 10 * count; i += Math.ceil(trace.x.length / 8))
      found.push([box.x + xaxis._offset + xaxis.d2p(trace.x[i]), box.y + yaxis._offset + yaxis.d2p(trace.y[i])]);
  return found.filter((_, i) => i % Math.ceil(found.length / count) === 0);
}"""


def make_run(images: DataSet, runs: Path) -> Run:
    """A finished run of two epochs whose classes lie further apart in each; nothing is trained."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(len(images.classes), SIZE))

    def of(split: Split, spread: float) -> np.ndarray:
        places = centres[split.labels] + spread * draw.normal(size=(len(split.labels), SIZE))
        return (10 * places / np.linalg.norm(places, axis=1, keepdims=True)).astype(np.float32)

    wrong = draw.random(len(images.test.labels)) < 0.02
    predicted = np.where(wrong, (images.test.labels + 1) % len(images.classes), images.test.labels)
    scores = np.ones(len(predicted), np.float32)
    right = 1 - float(wrong.mean())
    shares = dict(train_accuracy=right, test_accuracy=right, best_test_accuracy=right)
    with writing.create(from_preset("facenet", epochs=2), images, runs) as writer:
        run = store.read(writer.folder)
        for epoch, spread in SPREADS.items():
            store.embeddings_file(run, epoch).parent.mkdir(exist_ok=True)
            found = Embedded(of(images.train, spread), of(images.test, spread), predicted, scores)
            writing.save_embedded(store.embeddings_file(run, epoch), found)
        writer.update(
            status=Status.DONE,
            machine=MachineFacts(device="cpu", precision="float32", threads=1),
            result=Result(epochs=2, steps=1, mistakes=int(wrong.sum()), **shares),
            steps_per_epoch=1,
            seconds=1.0,
        )
    return store.read(writer.folder)


def drawing(run: Run) -> dict[str, float]:
    """Seconds of the first map once UMAP is compiled, of the one before, and of looking at the first again."""
    begun = time.perf_counter()
    first = maps.draw(run, 2)
    drawn = time.perf_counter()
    projection.umap(np.concatenate(store.embedded(run, 1)[:2]), run.config.seed, first)
    again = time.perf_counter()
    if map_file.kept(run, 2) is None:
        raise RuntimeError("the map was not kept")
    return {"first_map": drawn - begun, "next_frame": again - drawn, "second_opening": time.perf_counter() - again}


def hovering(run: Run, data: Path) -> dict[str, float]:
    """Bytes to the browser until the map is there, and milliseconds from the mouse to the picture of a point."""
    with browser.serve(data, run.folder.parent) as url, browser.open_page("about:blank") as page:
        sizes: list[int] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda data: sizes.append(len(data))))
        page.goto(f"{url}/embedding?run={run.id}")
        page.wait_for_function(_DRAWN, timeout=300_000)
        page.get_by_text("Trustworthiness").wait_for(timeout=300_000)
        page.locator(".lab-chart .bar:not([hidden])").first.wait_for(timeout=600_000)
        largest = max(sizes)
        page.evaluate(_WATCH)
        for x, y in page.evaluate(_PLACES, POINTS):
            page.mouse.move(x - 60, y - 60)
            page.wait_for_timeout(300)
            page.mouse.move(x, y)
            page.wait_for_timeout(300)
        delays = page.evaluate("window.delays")
    return {"payload_MB": largest / 1e6, "hover_ms": statistics.median(delays), "slowest_hover_ms": max(delays)}


def measure(small: DataSet, count: int, folder: Path, browse: bool = True) -> dict[str, float]:
    """All of it for about `count` images: those of `small`, or many shifted copies of them."""
    images = small
    if count > len(small.train.ids) + len(small.test.ids):
        large.write_set(small, folder / "set")
        images = loader.load(folder / "set")
    run = make_run(images, folder / "runs")
    projection.warm_up()
    found = drawing(run)
    list(maps.frames(run, "umap", maps.epochs(run)))  # kept: the page has them at once
    found |= hovering(run, images.folder) if browse else {}
    return {"images": run.data.train + run.data.test} | {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Prints a line a number of images."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maps")
    parser.add_argument("--images", nargs="+", type=int, default=[3000, 70_000])
    parser.add_argument("--keep", action="store_true", help="add the rows to benchmarks/results/maps.csv")
    options = parser.parse_args()
    for count in options.images:
        with tempfile.TemporaryDirectory(prefix="tripletlab-maps-") as folder:
            row = measure(loader.load(places.data_folder()), count, Path(folder))
        print(row, flush=True)
        if options.keep:
            results.append("maps", [row | results.circumstances()])


if __name__ == "__main__":
    main()
