"""Comparison of classifiers against plain loops, enumeration and hand-made cases."""

import itertools
import math

import numpy as np
import pytest

from core.analysis import compare


def p_by_enumeration(only_a: int, only_b: int) -> float:
    """Share of all equally likely ways to share out the differing images that are as unlikely as this one, or more."""
    n = only_a + only_b
    ways = [math.comb(n, k) for k in range(n + 1)]
    return sum(way for way in ways if way <= ways[only_a]) / 2**n


@pytest.mark.parametrize(("only_a", "only_b"), list(itertools.product([0, 1, 2, 7, 20], [0, 1, 3, 11])))
def test_p_is_that_of_counting(only_a, only_b):
    a = np.array([True] * only_a + [False] * only_b + [True, False] * 5)
    b = np.array([False] * only_a + [True] * only_b + [True, False] * 5)
    found = compare.pair(a, b)
    assert found.p == pytest.approx(p_by_enumeration(only_a, only_b))
    assert found.difference == only_a - only_b
    assert compare.pair(b, a).p == pytest.approx(found.p)


def test_groups_against_a_loop():
    right = np.random.default_rng(0).random((4, 300)) < 0.6
    found = compare.pair(right[0], right[1])
    assert found.only_a_right.tolist() == [i for i in range(300) if right[0, i] and not right[1, i]]
    assert found.only_b_right.tolist() == [i for i in range(300) if right[1, i] and not right[0, i]]
    assert compare.all_wrong(right).tolist() == [i for i in range(300) if not any(right[:, i])]
    for run, rows in enumerate(compare.alone_right(right)):
        others = [each for each in range(4) if each != run]
        assert rows.tolist() == [i for i in range(300) if right[run, i] and not any(right[others, i])]


def test_differing_settings():
    configs = {
        "x": {"margin": 2.0, "blocks": (1, 1), "seed": 0, "epochs": 3},
        "y": {"margin": 2.0, "blocks": (1, 2), "seed": 0, "epochs": 3},
        "z": {"margin": 2.0, "blocks": (1, 1), "seed": 4, "epochs": 3},
    }
    assert compare.differing_settings(configs) == {
        "blocks": {"x": (1, 1), "y": (1, 2), "z": (1, 1)},
        "seed": {"x": 0, "y": 0, "z": 4},
    }
    assert compare.differing_settings({"x": configs["x"]}) == {}
    assert compare.same_but_for_seed(configs) == [["x", "z"], ["y"]]


def test_sentences():
    a, b = np.ones(100, bool), np.ones(100, bool)
    said = compare.in_words("A", "B", compare.pair(a, b), 100)
    assert said == "A and B classify equally many of 100 images correctly."
    b[0] = False
    said = compare.in_words("A", "B", compare.pair(a, b), 100)
    assert said == "A classifies 1 more of 100 images correctly than B: within chance, p = 1.00."
    b[:20] = False
    said = compare.in_words("B", "A", compare.pair(b, a), 1000)
    assert said == "A classifies 20 more of 1,000 images correctly than B: beyond chance, p < 0.0001."
    said = compare.in_words("A", "B", compare.Pair(np.arange(34), np.arange(19), 0.0488), 1000)
    assert said.endswith("beyond chance, p = 0.049.")  # never p = 0.05, which would be within chance


def test_alone_wrong_against_a_loop():
    right = np.random.default_rng(3).random((3, 40)) < 0.6
    for run, rows in enumerate(compare.alone_wrong(right)):
        expected = [image for image in range(40) if not right[run, image] and right[:, image].sum() == 2]
        assert rows.tolist() == expected
