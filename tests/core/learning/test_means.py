"""Means over steps, of which some cannot tell a number."""

import pytest

from core.learning.means import Means, check_numbers


def test_what_a_step_cannot_tell_is_left_out():
    means = Means()
    for values in ({"loss": 1.0, "distance": None}, {"loss": 2.0, "distance": 5.0}, {"loss": 6.0, "distance": 6.0}):
        means.add(values)
    assert means.now() == {"loss": 3.0, "distance": 5.5}


def test_nobody_can_tell():
    means = Means()
    means.add({"distance": None, "active": 0.0})
    assert means.now() == {"distance": None, "active": 0.0}


def test_a_copy_of_its_fields_goes_on():
    means = Means()
    means.add({"loss": 1.0, "distance": None})
    again = Means(dict(means.sums), dict(means.counts))
    for each in (means, again):
        each.add({"loss": 4.0, "distance": 2.0})
    assert again == means
    assert again.now() == {"loss": 2.5, "distance": 2.0}


def test_what_was_kept_is_checked():
    assert Means.checked({"loss": 3.0}, {"loss": 2}) == Means({"loss": 3.0}, {"loss": 2})
    for sums, counts in (
        ({"loss": 3.0}, {}),
        ({"loss": "3"}, {"loss": 1}),
        ({"loss": True}, {"loss": 1}),
        ({"<b>": 3.0}, {"<b>": 1}),
        ({"loss": float("nan")}, {"loss": 1}),
    ):
        with pytest.raises(ValueError, match=r"means|history"):
            Means.checked(sums, counts)
    with pytest.raises(ValueError, match="loss"):
        Means.checked({"loss": 3.0}, {"loss": 2}, lambda name: (0, 2.5))


def test_a_number_lies_within_its_bounds():
    check_numbers({"loss": 2.0, "accuracy": None}, lambda name: (0, 2))
    with pytest.raises(ValueError, match=r"\(loss\)"):
        check_numbers({"loss": -0.1}, lambda name: (0, 2))
