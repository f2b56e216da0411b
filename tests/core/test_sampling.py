"""Generators from keys, shuffled batches and random triplets: which ones, how often, and from nobody else's draws."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from core import sampling
from core.config import ConfigError, RunConfig

UNEQUAL = torch.tensor([2, 0, 1, 2, 3, 3, 1, 3, 1, 3, 3])  # one image of class 0, three of 1, two of 2, five of 3


def draws(*key) -> list[float]:
    return torch.rand(8, generator=sampling.generator(*key)).tolist()


def triplet_config(**changes) -> RunConfig:
    return RunConfig(**dict(objective="triplet", triplets=10, batch_size=4, seed=3) | changes)


def classifier_config(**changes) -> RunConfig:
    return RunConfig(**dict(objective="cross_entropy", batch_size=4, seed=3) | changes)


# Generators


def test_the_same_key_gives_the_same_draws():
    assert draws(5, "batches", 2) == draws(5, "batches", 2)


def test_different_keys_give_different_draws():
    keys = [(seed, what, epoch) for seed in range(5) for what in ("batches", "augment") for epoch in range(1, 6)]
    keys += [(12, "x", 3), (1, "x", 23), (1, 23, "x"), ("1", "x", 23), (123,), (1, 23), (12, 3)]
    assert len({tuple(draws(*key)) for key in keys}) == len(keys)


def test_draws_are_the_same_on_every_day_and_machine():
    assert sampling.generator(0, "batches", 1).initial_seed() == 6392985063691280952


def test_nothing_touches_the_process_wide_generators():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    for config in (triplet_config(), classifier_config()):
        list(sampling.batches(config, UNEQUAL, epoch=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]  # noqa: NPY002


# Shuffled images


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (3, 4), (4, 4), (100, 7)])
def test_shuffled_is_a_permutation_in_batches(count, batch_size):
    batches = sampling.shuffled(count, batch_size, sampling.generator(0))
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert 1 < len(batches[-1]) <= batch_size


def test_a_last_single_image_is_left_out():
    batches = sampling.shuffled(9, 4, sampling.generator(0))
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(set(torch.cat(batches).tolist())) == 8
    assert [len(batch) for batch in sampling.shuffled(1, 4, sampling.generator(0))] == [1]  # all there is


def test_every_image_comes_first_equally_often():
    first = Counter(sampling.shuffled(6, 4, sampling.generator("first", draw))[0][0].item() for draw in range(3000))
    assert chisquare([first[image] for image in range(6)]).pvalue > 1e-4


# Random triplets


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


# Batches


def test_batches_of_triplets_are_anchors_then_positives_then_negatives():
    config = triplet_config()
    batches = list(sampling.batches(config, UNEQUAL, epoch=2))
    assert [len(batch) for batch in batches] == [12, 12, 6]
    expected = sampling.random_triplets(UNEQUAL, 10, sampling.generator(3, "batches", 2))
    thirds = [batch.view(3, -1) for batch in batches]
    assert torch.equal(torch.cat(thirds, dim=1), expected.T)
    for anchor, positive, negative in thirds:
        assert torch.equal(UNEQUAL[anchor], UNEQUAL[positive])
        assert (UNEQUAL[anchor] != UNEQUAL[negative]).all()


def test_batches_of_images():
    batches = list(sampling.batches(classifier_config(), UNEQUAL, epoch=1))
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert sorted(torch.cat(batches).tolist()) == list(range(11))


@pytest.mark.parametrize("make", [triplet_config, classifier_config])
def test_an_epoch_is_the_same_when_repeated_and_unlike_the_others(make):
    def epoch(number: int, **changes) -> list[int]:
        return torch.cat(list(sampling.batches(make(**changes), UNEQUAL, number))).tolist()

    assert epoch(2) == epoch(2)
    assert epoch(1) != epoch(2)
    assert epoch(1) != epoch(1, seed=4)


def test_steps_per_epoch_is_the_number_of_batches():
    for images in range(1, 14):
        labels = torch.arange(images) // 2
        for batch_size in range(2, 8):
            config = classifier_config(batch_size=batch_size)
            assert sampling.steps_per_epoch(config, images) == len(list(sampling.batches(config, labels, 1)))
    for triplets in range(1, 14):
        for batch_size in range(1, 8):
            config = triplet_config(batch_size=batch_size, triplets=triplets)
            assert sampling.steps_per_epoch(config, 11) == len(list(sampling.batches(config, UNEQUAL, 1)))
