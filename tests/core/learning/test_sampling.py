"""Generators from keys; which images form a batch, how often, and from nobody else's draws; validation images."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from core.learning import sampling
from core.settings.config import RunConfig
from core.settings.objective import MOST_CLASSES_A_BATCH
from core.settings.setting import ConfigError
from tests.core.learning.drawing import (
    KINDS,
    UNEQUAL,
    balanced_config,
    batches_of,
    chosen_config,
    classifier_config,
    confused_config,
    triplet_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def draws(*key) -> list[float]:
    return torch.rand(8, generator=sampling.generator(*key)).tolist()


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
    for make in KINDS:
        batches_of(make())
    sampling.held_out(triplet_config(validation_share=0.5), UNEQUAL)
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


# P classes x K images


@pytest.mark.parametrize(("classes", "images"), [(1, 2), (2, 3), (5, 4), (5, 20), (4, 7)])
def test_a_balanced_batch_counted(classes, images):
    labels = torch.arange(5).repeat(20)
    found = sampling.balanced(labels, classes, images, sampling.generator(0))
    assert len(found) == 100 // (classes * images)
    for batch in found:
        assert len(batch) == classes * images == len(set(batch.tolist()))
        assert sorted(Counter(labels[batch].tolist()).values()) == [images] * classes
        assert (labels[batch].view(classes, images) == labels[batch].view(classes, images)[:, :1]).all()


@pytest.mark.parametrize("images", [2, 4, 5, 10])
def test_every_image_is_dealt_once_an_epoch(images):
    labels = torch.arange(5).repeat(20)
    dealt = Counter(torch.cat(sampling.balanced(labels, 5, images, sampling.generator(0))).tolist())
    assert dealt == dict.fromkeys(range(100), 1)


@pytest.mark.parametrize(("classes", "images"), [(3, 4), (5, 8), (2, 7)])
def test_every_image_is_dealt_equally_often_in_the_long_run(classes, images):
    labels = torch.arange(5).repeat(20)
    dealt, cards = Counter(), 0
    for epoch in range(300):
        hands = torch.cat(sampling.balanced(labels, classes, images, sampling.generator(epoch))).tolist()
        dealt.update(hands)
        cards += len(hands)
        assert max(Counter(hands).values()) <= (1 if classes == 5 else 4)
    # fewer chances than independent draws have, so that the variance is smaller and the test is only one of means
    assert all(abs(dealt[image] - cards / 100) < 5 * (cards / 100) ** 0.5 for image in range(100))


def test_a_class_with_fewer_images_gives_all_of_them():
    labels = torch.tensor([0] * 3 + [1] * 30 + [2] * 2)
    for batch in sampling.balanced(labels, 3, 5, sampling.generator(0)):
        assert Counter(labels[batch].tolist()) == {0: 3, 1: 5, 2: 2}
        assert len(set(batch.tolist())) == 10


def test_a_set_smaller_than_a_batch_makes_one():
    assert len(sampling.balanced(torch.tensor([0, 0, 1, 1]), 2, 8, sampling.generator(0))) == 1


def test_more_classes_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="classes_per_batch: there are 4 classes"):
        sampling.balanced(UNEQUAL, 5, 2, sampling.generator(0))


def test_classes_are_drawn_where_not_all_fit():
    labels = torch.arange(7).repeat(4)
    seen = Counter()
    for epoch in range(200):
        for batch in sampling.balanced(labels, 3, 2, sampling.generator(epoch)):
            seen.update(set(labels[batch].tolist()))
    assert sum(seen.values()) == 200 * 4 * 3
    assert chisquare([seen[label] for label in range(7)]).pvalue > 1e-4


def test_a_number_of_classes_left_open_is_all_of_them_up_to_a_limit():
    for count in (3, MOST_CLASSES_A_BATCH, MOST_CLASSES_A_BATCH + 4):
        labels = torch.arange(count).repeat(4)
        for batch in batches_of(balanced_config(classes_per_batch=0), labels):
            assert len(labels[batch].unique()) == min(count, MOST_CLASSES_A_BATCH)


# Batches


@pytest.mark.parametrize("make", [triplet_config, chosen_config, confused_config])
def test_batches_of_triplets_are_anchors_then_positives_then_negatives(make):
    found = batches_of(make(), epoch=2)
    assert [len(batch) for batch in found] == [12, 12, 6]
    for anchor, positive, negative in (batch.view(3, -1) for batch in found):
        assert torch.equal(UNEQUAL[anchor], UNEQUAL[positive])
        assert (anchor != positive).all()
        assert (UNEQUAL[anchor] != UNEQUAL[negative]).all()


def test_batches_of_images():
    found = batches_of(classifier_config())
    assert [len(batch) for batch in found] == [4, 4, 3]
    assert sorted(torch.cat(found).tolist()) == list(range(11))


@pytest.mark.parametrize("objective", ["triplet", "cross_entropy", "supervised_contrastive", "cross_entropy_triplet"])
@pytest.mark.parametrize("kind", ["shuffled", "balanced", "random_triplets"])
def test_the_sampling_does_not_depend_on_the_objective(objective, kind):
    made = triplet_config(objective=objective, sampling=kind, classes_per_batch=2)
    usual = triplet_config(sampling=kind, classes_per_batch=2)
    assert [batch.tolist() for batch in batches_of(made)] == [batch.tolist() for batch in batches_of(usual)]


@pytest.mark.parametrize("make", KINDS)
def test_an_epoch_is_the_same_when_repeated_and_unlike_the_others(make):
    def epoch(number: int, **changes) -> list[int]:
        return torch.cat(batches_of(make(**changes), epoch=number)).tolist()

    assert epoch(2) == epoch(2)
    assert epoch(1) != epoch(2)
    assert epoch(1) != epoch(1, seed=4)


def test_steps_per_epoch_is_the_number_of_batches():
    def check(config: RunConfig, labels: torch.Tensor):
        assert sampling.steps_per_epoch(config, labels) == len(batches_of(config, labels)), config

    for images, size in itertools.product(range(1, 14), range(2, 8)):
        check(classifier_config(batch_size=size), torch.arange(images) // 2)
    for make, count, size in itertools.product((triplet_config, chosen_config), range(1, 14), range(1, 8)):
        check(make(batch_size=size, triplets=count), UNEQUAL)
    for classes, images, count in itertools.product(range(5), range(2, 7), (4, 7, 30, 95)):
        config = balanced_config(objective="cross_entropy", classes_per_batch=classes, images_per_class=images)
        check(config, torch.arange(count) % 4)
    check(balanced_config(classes_per_batch=0), torch.arange(100) % 20)


# Validation images


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.95])
def test_the_same_share_of_every_class_is_held_out(share):
    labels = torch.arange(120) % 3
    labels[labels == 1] = 4
    mask = sampling.held_out(triplet_config(validation_share=share), labels)
    assert mask.shape == (120,)
    assert mask.dtype == torch.bool
    assert Counter(labels[mask].tolist()) == {label: n for label in (0, 2, 4) if (n := round(40 * share))}


def test_held_out_of_classes_of_unequal_size():
    config = triplet_config(validation_share=0.3)
    counted = Counter(UNEQUAL[sampling.held_out(config, UNEQUAL)].tolist())
    assert counted == {1: 1, 2: 1, 3: 2}  # of 3, 2 and 5 images; the single one of class 0 stays
    for label, size in ((0, 1), (1, 3), (2, 2), (3, 5)):
        assert counted[label] == config.held_out(size)


def test_held_out_is_repeatable_and_drawn_anew_for_another_seed():
    labels = torch.arange(120) % 3

    def held(**changes):
        return sampling.held_out(triplet_config(validation_share=0.3, **changes), labels).tolist()

    assert held() == held()
    assert held() == held(objective="cross_entropy", epochs=9, batch_size=2)
    assert held() != held(seed=4)
    counts = Counter(image for seed in range(200) for image in np.flatnonzero(held(seed=seed)).tolist())
    assert len(counts) == 120  # everyone is held out at times
    assert chisquare(list(counts.values())).pvalue > 1e-4
