"""The drafted analysis says what the figures say, and nothing of causes."""

import numpy as np
import pytest

from core.analysis import mistakes
from core.analysis.embedded import Embedded
from core.exchange import draft
from core.runs.notes import Note, Notes


@pytest.fixture
def embedded(digits) -> Embedded:
    draw = np.random.default_rng(0)
    predicted = digits.test.labels.copy()
    predicted[[0, 1]] = (predicted[0] + 1) % 4  # two of one pair
    predicted[6] = (predicted[6] + 1) % 4
    return Embedded(draw.normal(size=(48, 4)), draw.normal(size=(24, 4)), predicted, np.ones(24))


def test_counts_pairs_margins_and_tags(digits, embedded):
    wrong = mistakes.find(digits, embedded)
    noted = Notes({wrong["id"][0]: Note("", ("blurred",)), "elsewhere": Note("", ("ambiguous",))})
    said = draft.analysis(embedded, wrong, digits, noted)
    assert said.startswith("3 of 24 test images are misclassified (87.5 % are classified correctly).")
    assert f"{digits.classes[0]} is called {digits.classes[1]} twice" in said
    nearer = (wrong["nearest_predicted_distance"] < wrong["nearest_true_distance"]).sum()
    assert f"In {nearer} of 3 the nearest training image is one of the predicted class" in said
    assert "Tagged are 1 of them: blurred (1)." in said
    assert "ambiguous" not in said  # noted on an image that is classified correctly
    assert "dispute" not in said


def test_nothing_is_wrong(digits, embedded):
    right = Embedded(embedded.train, embedded.test, digits.test.labels, np.ones(24))
    said = draft.analysis(right, mistakes.find(digits, right), digits, Notes())
    assert said == "0 of 24 test images are misclassified (100.0 % are classified correctly)."
