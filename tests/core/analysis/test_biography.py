"""Kinds of biographies and forgetting events, by hand and against a loop."""

import numpy as np
import pytest

from core.analysis import biography


def kind(rights: str) -> tuple[str, int]:
    """Of an image that is right (1) or wrong (0) after each epoch."""
    predicted = np.array([[0 if each == "1" else 1] for each in rights])
    true = np.array([0])
    return biography.kinds(predicted, true)[0], int(biography.forgetting_events(predicted, true)[0])


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ("1111", ("learnt early", 0)),
        ("0111", ("learnt early", 0)),
        ("0011", ("learnt late", 0)),
        ("1011", ("learnt late", 1)),
        ("0110", ("forgotten", 1)),
        ("1000", ("forgotten", 1)),
        ("0000", ("never learnt", 0)),
        ("1010", ("flip-flop", 2)),
        ("10101", ("flip-flop", 2)),
        ("1", ("learnt early", 0)),
        ("0", ("never learnt", 0)),
    ],
)
def test_kinds(rights, expected):
    assert kind(rights) == expected


def test_events_and_counts_against_a_loop():
    draw = np.random.default_rng(0)
    predicted, true = draw.integers(0, 3, (7, 60)), draw.integers(0, 3, 60)
    events = [sum(predicted[e][i] == true[i] and predicted[e + 1][i] != true[i] for e in range(6)) for i in range(60)]
    assert biography.forgetting_events(predicted, true).tolist() == events
    found = biography.kinds(predicted, true)
    assert biography.counts(found) == {each: found.count(each) for each in biography.KINDS}
    a_class = biography.counts_a_class(found, true, 3)
    assert {each: sum(row) for each, row in a_class.items()} == biography.counts(found)
    assert a_class["flip-flop"][1] == sum(k == "flip-flop" and t == 1 for k, t in zip(found, true, strict=True))


def test_no_epochs():
    with pytest.raises(ValueError, match="at least one"):
        biography.kinds(np.zeros((0, 3), int), np.zeros(3, int))


def test_learnt_for_good():
    true = np.zeros(4, int)
    predicted = np.array([[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]])
    assert biography.learnt_for_good(predicted, true).tolist() == [0, 2, 2, 3]
