"""Runs of few and of many classes in a real browser."""

import numpy as np
import pytest

from core import experiment
from core.dataset.loader import load
from core.runs import writing
from tests.app.browser import open_page, skip_without_browser, start_dashboard

skip_without_browser()

GRAPH = ".lab-chart .graph"


@pytest.mark.parametrize("class_count", [2, 47])
def test_runs_of_few_and_of_many_classes(class_count, tiny, tmp_path, chromium):
    """Their maps and their mistakes open without an error, with every class in the legend."""
    draw = np.random.default_rng(0)
    arrays = {}
    for part, each in (("train", 4), ("test", 2)):
        labels = np.repeat(np.arange(class_count), each)
        arrays[f"x_{part}"] = (draw.random((len(labels), 16, 16)) * 100 + 3 * labels[:, None, None]).astype(np.uint8)
        arrays[f"y_{part}"] = labels
    (tmp_path / "set").mkdir()
    np.savez(tmp_path / "set" / "set.npz", **arrays)
    images = load(tmp_path / "set")
    with writing.create(tiny.changed(epochs=1), images, tmp_path / "runs") as writer:
        for _ in experiment.run(writer, images):
            pass
    with (
        start_dashboard("--data", tmp_path / "set", "--runs", tmp_path / "runs") as address,
        open_page(f"{address}/embedding?run={writer.id}", 1280, 720) as page,
    ):
        page.get_by_text("PCA", exact=True).click(timeout=60_000)
        page.get_by_text("direction 1").first.wait_for(timeout=60_000)
        page.wait_for_function(
            """([graph, count]) => {
              const traces = document.querySelector(graph)?._fullData ?? [];
              return traces.filter((trace) => trace.showlegend && !trace.meta).length === count;
            }""",
            arg=[GRAPH, class_count],
        )
        page.goto(f"{address}/mistakes?run={writer.id}")
        page.get_by_text(f"of {2 * class_count} test images misclassified").wait_for(timeout=60_000)
        assert page.console_errors == []
