"""The live curves: what they show, and that they never exaggerate or fall over."""

import numpy as np
import pandas as pd
import pytest
import torch

from app.drawing import charts
from core.analysis import metrics
from core.runs import store

NOTHING = pd.DataFrame()


@pytest.mark.parametrize("curves", [charts.loss_curves, charts.triplet_curves, charts.distance_curves])
def test_curves_of_a_run_before_its_first_step(curves):
    assert not any(len(line.x) for line in curves(NOTHING, NOTHING, 0, 5).data)


def test_shares_are_percents_and_distances_distances(trained):
    history, steps = store.history(trained), store.steps(trained)
    span = (trained.steps_per_epoch, trained.config.epochs)
    shares = {line.name: line for line in charts.triplet_curves(history, steps, *span).data}
    np.testing.assert_allclose(shares["hard"].y, 100 * history["hard"])
    np.testing.assert_allclose(shares["easy"].y + shares["semi-hard"].y + shares["hard"].y, 100, atol=1e-4)
    distances = {line.name: line for line in charts.distance_curves(history, steps, *span).data}
    np.testing.assert_allclose(distances["d(a, n)"].y, history["negative_distance"])
    assert (distances["positive_distance_q90"].y >= distances["positive_distance_q10"].y).all()
    assert distances["positive_distance_q90"].fill == "tonexty"


def test_a_tiny_difference_does_not_fill_the_accuracy_chart():
    rows = {"epoch": [1, 2], "steps": [10, 10], "train_accuracy": [0.981, 0.982], "test_accuracy": [0.98, 0.981]}
    low, high = charts.accuracy_curves(pd.DataFrame(rows), 10, 2).layout.yaxis.range
    assert high - low >= 5
    assert low < 98 < high


def test_the_confusion_matrix_counts_every_test_image(trained, digits):
    heat, written = charts.confusion_matrix(store.mistakes(trained), digits).data
    predicted = store.embedded(trained, trained.result.epochs).predicted
    labels = torch.tensor(digits.test.labels)
    expected = metrics.confusion_matrix(torch.tensor(predicted), labels, len(digits.classes)).numpy()
    place = {name: number for number, name in enumerate(digits.classes)}
    shown = np.zeros_like(expected)
    for true, taken_for, count in zip(written.y, written.x, written.text, strict=True):
        shown[place[true], place[taken_for]] = count
    np.testing.assert_array_equal(shown, expected)
    off_diagonal = np.where(np.eye(len(expected), dtype=bool), 0, expected)
    np.testing.assert_array_equal(np.nan_to_num(heat.z), off_diagonal)  # what is right has no colour
    assert expected.trace() < expected.sum()  # or there was nothing to see
