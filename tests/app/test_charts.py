"""The live curves: what they show, and that they never exaggerate or fall over."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import app
from app.components.plotly_chart import figure_json
from app.drawing import charts, rates
from core.learning.schedule import learning_rate
from core.runs import store
from core.settings.sheet import published

NOTHING = pd.DataFrame()


@pytest.mark.parametrize("curves", [charts.loss_curves, charts.share_curves, charts.distance_curves])
def test_curves_of_a_run_before_its_first_step(curves):
    assert not any(len(line.x) for line in curves(NOTHING, NOTHING, 0, 5).data)


def test_shares_are_percents_and_distances_distances(trained):
    history, steps = store.history(trained), store.steps(trained)
    span = (trained.steps_per_epoch, trained.config.epochs)
    shares = {line.name: line for line in charts.share_curves(history, steps, *span).data}
    np.testing.assert_allclose(shares["hard"].y, 100 * steps["valid_hard"])
    np.testing.assert_allclose(shares["hard (mined)"].y, 100 * steps["hard"])
    for mined in ("", " (mined)"):
        parts = [shares[f"{kind}{mined}"] for kind in ("hard", "semi-hard", "easy")]
        np.testing.assert_allclose(sum(part.y for part in parts), 100, atol=1e-4)
        assert len({part.stackgroup for part in parts}) == 1
    np.testing.assert_allclose(shares["active"].y, 100 * steps["active_fraction"])
    distances = {line.name: line for line in charts.distance_curves(history, steps, *span).data}
    np.testing.assert_allclose(distances["d(a, n)"].y, history["negative_distance"])
    assert (distances["positive_distance_q90"].y >= distances["positive_distance_q10"].y).all()
    assert distances["positive_distance_q90"].fill == "tonexty"


def test_a_run_of_an_older_version_shows_the_mined_triplets_only(trained):
    old = store.steps(trained).drop(columns=["valid_easy", "valid_semi_hard", "valid_hard"])
    names = [line.name for line in charts.share_curves(store.history(trained), old, 3, 2).data]
    assert names == ["hard", "semi-hard", "easy", "active"]


def test_the_raw_line_stays_beside_the_smoothed_one(trained):
    steps = store.steps(trained)
    lines = {line.name: line for line in charts.loss_curves(NOTHING, steps, 3, 2, smoothed=5).data}
    np.testing.assert_allclose(lines["step"].y, steps["loss"])
    np.testing.assert_allclose(lines["mean of 5"].y[-1], steps["loss"].iloc[-5:].mean())
    assert "mean of 5" not in [line.name for line in charts.loss_curves(NOTHING, steps, 3, 2).data]


@pytest.mark.parametrize(("done", "epochs", "shown"), [(0, 5, 5), (1, 100, 10), (11, 100, 20), (99, 100, 100)])
def test_the_axis_of_a_long_run_grows_with_it(trained, done, epochs, shown):
    history = pd.concat([store.history(trained)] * 50, ignore_index=True).assign(epoch=range(1, 101))[:done]
    for figure in (charts.accuracy_curves(history, 3, epochs), charts.loss_curves(history, NOTHING, 3, epochs)):
        assert figure.layout.xaxis.range == (0, pytest.approx(1.02 * shown))


def test_the_sheets_own_curve_is_dotted():
    sheet = published("facenet")
    line = next(each for each in charts.accuracy_curves(NOTHING, 0, 5, sheet).data if each.name == "sheet, test")
    assert line.line.dash == "dot"
    assert list(line.y) == pytest.approx([93.9, 96.0, 97.1, 98.5, 98.0])
    assert not [each for each in charts.accuracy_curves(NOTHING, 0, 5, published("quick")).data if "sheet" in each.name]


def test_an_early_end_is_marked_with_what_decided_it():
    figure = charts.accuracy_curves(NOTHING, 10, 8, ended=(3, 4))
    assert [shape.x0 for shape in figure.layout.shapes] == [3, 4]
    assert "stopped early at 4: validation best at 3" in figure.layout.title.text


def test_the_learning_rate_is_drawn_as_it_is_used(tiny):
    config = tiny.changed(schedule="one_cycle", epochs=4)
    plan, over = charts.rate_curve(config, 10, 0.5).data
    assert plan.y[7] == pytest.approx(learning_rate(config, 1, 8, 10))
    assert (len(plan.x), over.x.max()) == (40, 2.0)


def test_a_tiny_difference_does_not_fill_the_accuracy_chart():
    rows = {"epoch": [1, 2], "steps": [10, 10], "train_accuracy": [0.981, 0.982], "test_accuracy": [0.98, 0.981]}
    low, high = charts.accuracy_curves(pd.DataFrame(rows), 10, 2).layout.yaxis.range
    assert high - low >= 5
    assert low < 98 < high


def test_the_curve_of_a_range_test_marks_its_suggestion_and_does_not_follow_the_rise():
    figure = rates.range_curve([1e-5, 1e-2, 1, 10], [2.0, 1.0, 30.0, 90.0], [2.0, 1.5, 9.0, 40.0], 0.01)
    assert [list(line.y) for line in figure.data] == [[2.0, 1.0, 30.0, 90.0], [2.0, 1.5, 9.0, 40.0]]
    assert figure.layout.shapes[0].x0 == 0.01
    low, high = figure.layout.yaxis.range
    assert low < 1.0 < 2.0 < high < 5
    assert tuple(figure.layout.xaxis.range) == (-5, 1)
    assert not rates.range_curve([], [], [], None).layout.shapes


def test_the_board_of_a_long_run_is_smaller_than_what_streamlit_caches(trained):
    """Larger ones are sent as a name only, which a browser may not know: see config.toml."""
    config = trained.config.changed(epochs=1000, validation_share=0.2)
    history = pd.concat([store.history(trained)] * 500, ignore_index=True).assign(epoch=range(1, 1001))
    steps = pd.concat([store.steps(trained)] * 1000, ignore_index=True)
    made = charts.figures(replace(trained, config=config), history, steps, 1.0, 20)
    settings = tomllib.loads((Path(app.__file__).parent / ".streamlit" / "config.toml").read_text())
    microscope = 50_000
    total = sum(len(figure_json(figure)) for figure, _ in made.values())
    assert 200_000 < total + microscope < settings["global"]["minCachedMessageSize"]
