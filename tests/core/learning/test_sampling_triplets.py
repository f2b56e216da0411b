"""Which triplets are drawn, and how often: random ones, of chosen classes, of confused classes."""

import itertools
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from core.learning import sampling
from core.settings.setting import ConfigError
from tests.core.learning.drawing import (
    CONFUSED,
    NUMBERS,
    UNEQUAL,
    chosen_config,
    confused_config,
    triplet_config,
    triplets_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "labels", [UNEQUAL, UNEQUAL.sort().values, torch.tensor([7, 2, 7, 2, 7]), torch.tensor([0, 1, 1])]
)
def test_anchor_and_positive_share_a_class_and_the_negative_does_not(labels):
    triplets = sampling.random_triplets(labels, 2000, sampling.generator(1))
    assert triplets.shape == (2000, 3)
    assert triplets.dtype == torch.int64
    anchor, positive, negative = labels[triplets].T
    assert (anchor == positive).all()
    assert (anchor != negative).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()


def test_all_triplets_are_drawn_with_their_probability():
    labels = UNEQUAL.tolist()
    probability = {}
    anchors = [image for image, label in enumerate(labels) if labels.count(label) > 1]
    for anchor in anchors:
        positives = [other for other, label in enumerate(labels) if label == labels[anchor] and other != anchor]
        negatives = [other for other, label in enumerate(labels) if label != labels[anchor]]
        for positive in positives:
            for negative in negatives:
                share = 1 / len(anchors) / len(positives) / len(negatives)
                probability[anchor, positive, negative] = share
    assert sum(probability.values()) == pytest.approx(1)
    count = 100_000
    drawn = Counter(map(tuple, sampling.random_triplets(UNEQUAL, count, sampling.generator(2)).tolist()))
    assert set(drawn) == set(probability)
    expected = [count * share for share in probability.values()]
    assert chisquare([drawn[triplet] for triplet in probability], expected).pvalue > 1e-4


def test_a_class_with_one_image_is_only_ever_negative():
    lonely = UNEQUAL.tolist().index(0)
    anchor, positive, negative = sampling.random_triplets(UNEQUAL, 2000, sampling.generator(3)).T
    assert lonely not in anchor
    assert lonely not in positive
    assert lonely in negative


@pytest.mark.parametrize("labels", [[], [0], [4, 4, 4], [0, 1, 2]])
def test_impossible_triplets_are_refused(labels):
    with pytest.raises(ConfigError, match="two classes, one of them with two images"):
        sampling.random_triplets(torch.tensor(labels, dtype=torch.int64), 5, sampling.generator(0))


def test_the_only_possible_triplets():
    triplets = sampling.random_triplets(torch.tensor([0, 1, 1]), 50, sampling.generator(0)).tolist()
    assert {tuple(triplet) for triplet in triplets} == {(1, 2, 0), (2, 1, 0)}


def share_of(labels: torch.Tensor, weights: list[list[float]]) -> dict[tuple[int, int, int], float]:
    """The probability of every possible triplet by a plain loop."""
    labels, found = labels.tolist(), Counter()
    for first, row in enumerate(weights):
        for second, weight in enumerate(row):
            anchors = [image for image, label in enumerate(labels) if label == first]
            negatives = [image for image, label in enumerate(labels) if label == second]
            pairs = list(itertools.permutations(anchors, 2))
            if first != second and weight and pairs and negatives:
                for (anchor, positive), negative in itertools.product(pairs, negatives):
                    found[anchor, positive, negative] = weight / len(pairs) / len(negatives)
    return {triplet: value / sum(found.values()) for triplet, value in found.items()}


@pytest.mark.parametrize(
    "weights",
    [
        [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[9, 9, 9, 9], [1, 9, 2, 0], [0, 1, 9, 3], [5, 0, 0, 9]],  # class 0 has no pair; the diagonal is no pair
        [[0.0, 0.5, 0.5, 0.5], [0.25, 0.0, 0.5, 0.5], [1.0, 0.5, 0.0, 0.5], [0.5, 0.5, 0.5, 0.0]],
    ],
)
def test_class_triplets_are_drawn_with_their_probability(weights):
    probability = share_of(UNEQUAL, weights)
    assert sum(probability.values()) == pytest.approx(1)
    count = 60_000
    found = sampling.class_triplets(UNEQUAL, torch.tensor(weights), count, sampling.generator(1))
    assert found.shape == (count, 3)
    assert found.dtype == torch.int64
    drawn = Counter(map(tuple, found.tolist()))
    assert set(drawn) == set(probability)
    expected = [count * share for share in probability.values()]
    assert chisquare([drawn[triplet] for triplet in probability], expected).pvalue > 1e-4


@pytest.mark.parametrize("place", [(0, 1), (1, 1), (1, 4), (4, 1)])  # one image; itself; class 4 has no images
def test_class_triplets_without_a_pair_are_refused(place):
    weights = torch.zeros(5, 5)
    weights[place] = 1
    with pytest.raises(ConfigError, match="choose classes with two images or more"):
        sampling.class_triplets(UNEQUAL, weights, 5, sampling.generator(0))


def test_chosen_pairs_are_named_by_class_number():
    expected = [[0, 0, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0]]  # 5 and 8 with 11 and 3
    assert sampling.chosen_pairs(chosen_config(), NUMBERS).tolist() == expected


@pytest.mark.parametrize("share", [0.0, 0.001, 0.25, 0.5, 0.999, 1.0])
def test_the_share_of_chosen_triplets(share):
    """Anchors of class 1 with negatives of class 3, which a random triplet never has in these labels."""
    labels = torch.tensor([0, 0, 1, 2, 2, 3] * 5)
    config = chosen_config(positive_classes=(5,), negative_classes=(11,), triplets=400, chosen_share=share)
    found = triplets_of(config, labels)
    anchor, positive, negative = labels[found].T
    assert len(found) == 400
    assert torch.equal(anchor, positive)
    assert (anchor != negative).all()
    assert (found[:, 0] != found[:, 1]).all()
    special = int(((anchor == 1) & (negative == 3)).sum())
    chosen = round(400 * share)
    by_chance = (400 - chosen) * 5 / 30 * 5 / 25
    assert chosen <= special <= chosen + by_chance + 5 * by_chance**0.5
    early = int(((anchor == 1) & (negative == 3))[:200].sum())
    assert abs(early - special / 2) <= 4 * (special / 4) ** 0.5  # all over the epoch, neither first nor last


def test_chosen_triplets_are_those_of_the_chosen_classes():
    anchor, _, negative = UNEQUAL[triplets_of(chosen_config(triplets=500))].T
    assert Counter(zip(anchor.tolist(), negative.tolist(), strict=True)).keys() == {(1, 3), (1, 0), (2, 3), (2, 0)}


def test_confused_triplets_are_drawn_as_often_as_their_classes_were_confused():
    anchor, _, negative = UNEQUAL[triplets_of(confused_config(triplets=9000))].T
    pairs = Counter(zip(anchor.tolist(), negative.tolist(), strict=True))
    expected = {(2, 0): 3, (3, 1): 1, (1, 3): 1}  # 0 and 2 were confused 1 + 2 times; 0 has no pair for an anchor
    assert set(pairs) == set(expected)
    assert chisquare([pairs[pair] for pair in expected], [9000 * w / 5 for w in expected.values()]).pvalue > 1e-4
    assert CONFUSED.diagonal().tolist() == [5] * 4  # the counts are left as they were


@pytest.mark.parametrize(
    ("labels", "confused"),
    [
        pytest.param(UNEQUAL, None, id="no count yet"),
        pytest.param(UNEQUAL, torch.eye(4, dtype=torch.int64), id="nothing confused"),
        pytest.param(torch.tensor([0, 1, 2, 2]), torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 2]]), id="no positives"),
    ],
)
def test_where_no_confused_classes_can_be_drawn_triplets_are_random(labels, confused):
    found = triplets_of(confused_config(triplets=300), labels, confused=confused)
    assert found.tolist() == triplets_of(triplet_config(triplets=300), labels).tolist()
