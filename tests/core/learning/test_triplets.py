"""Selection rules against plain loops and against pytorch-metric-learning.

Embeddings lie on the sphere of radius 10, as those of a network do; pytorch-metric-learning makes them length 1 unless
it is told not to.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.miners import BatchHardMiner, DistanceWeightedMiner, TripletMarginMiner
from pytorch_metric_learning.utils import loss_and_miner_utils
from scipy.stats import chisquare

from core.learning import triplets
from core.learning.sampling import generator
from core.learning.triplets import Triplets, triplet_loss
from tests.core.learning.points import (
    FROM_LABELS,
    HAND_OUT,
    LABELS,
    OF_TWICE,
    RULES,
    TWICE,
    as_triplets,
    loop,
    on_sphere,
    rows,
    table,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Every rule

LABEL_VECTORS = [
    torch.randint(classes, (count,), generator=torch.Generator().manual_seed(100 * classes + count))
    for classes in (1, 2, 3, 6)
    for count in (1, 2, 3, 9, 16)
]


@pytest.mark.parametrize("name", FROM_LABELS)
def test_positives_are_of_the_class_and_negatives_are_not(name):
    seen = 0
    for seed, labels in enumerate(LABEL_VECTORS):
        chosen = FROM_LABELS[name](on_sphere(len(labels), seed=seed), triplets.pairs_of(labels), 4.0, generator(seed))
        anchors, positives, negatives = chosen
        assert len(anchors) == len(positives) == len(negatives)
        assert all(places.dtype == torch.int64 and places.dim() == 1 for places in chosen)
        assert (anchors != positives).all()
        assert torch.equal(labels[anchors], labels[positives])
        assert (labels[anchors] != labels[negatives]).all()
        assert set(rows(chosen)) <= set(loop(labels))
        assert len(set(rows(chosen))) == len(anchors)  # none twice
        seen += len(anchors)
    assert seen > 50


@pytest.mark.parametrize("name", FROM_LABELS)
@pytest.mark.parametrize("equal_points", [False, True])
@pytest.mark.parametrize("labels", HAND_OUT)
def test_where_there_is_no_triplet(name, labels, equal_points):
    labels = torch.tensor(labels, dtype=torch.int64)
    embeddings = torch.full((len(labels), 4), 5.0) if equal_points else on_sphere(len(labels), 4)
    embeddings.requires_grad_()
    chosen = FROM_LABELS[name](embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    assert [len(places) for places in chosen] == [0, 0, 0]
    assert triplets.anchors_left_out(chosen, len(labels)) == len(labels)
    for kind, mean_over in itertools.product(("margin", "soft_margin"), ("all", "active")):
        embeddings.grad = None
        loss, diagnostics = triplet_loss(embeddings, chosen, 2.0, kind, mean_over)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))
        assert diagnostics.pop("active_fraction") == 0.0
        assert set(diagnostics.values()) == {None}


@pytest.mark.parametrize("name", FROM_LABELS)
def test_who_has_no_partner_is_left_out(name):
    embeddings = on_sphere(len(LABELS), 8)
    # every triplet is within this margin
    chosen = FROM_LABELS[name](embeddings, triplets.pairs_of(LABELS), 40.0, generator(0))
    alone = {1, 11}  # the only ones of classes 0 and 7
    anchors = set(range(len(LABELS))) - alone
    if name == "semi_hard":  # leaves out pairs that have no negative further away
        assert set(chosen.anchors.tolist()) <= anchors
    else:
        assert set(chosen.anchors.tolist()) == anchors
        assert triplets.anchors_left_out(chosen, len(LABELS)) == 2
    assert not alone & set(chosen.positives.tolist())
    assert triplets.anchors_left_out(as_triplets([(0, 3, 1), (0, 3, 2), (3, 0, 1)]), 12) == 10


@pytest.mark.parametrize("name", RULES)
def test_a_choice_has_no_gradient_and_changes_nothing(name):
    embeddings = on_sphere(12).requires_grad_()
    labels = torch.arange(12) % 2
    before = embeddings.detach().clone(), labels.clone(), torch.get_rng_state()
    chosen = RULES[name](embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    assert not any(places.requires_grad for places in chosen)
    assert torch.equal(embeddings, before[0])
    assert torch.equal(labels, before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("name", FROM_LABELS)
def test_equal_points(name):
    embeddings = torch.full((6, 4), 5.0, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    chosen = FROM_LABELS[name](embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    expected = {"all": 36, "batch_hard": 6, "semi_hard": 0, "distance_weighted": 12}  # semi-hard is truly further away
    assert len(chosen.anchors) == expected.get(name, len(chosen.anchors))
    loss, _ = triplet_loss(embeddings, chosen, 2.0)
    loss.backward()
    assert loss.item() == (2.0 if len(chosen.anchors) else 0.0)
    assert embeddings.grad.isfinite().all()


# Each rule


def test_drawn():
    chosen = triplets.drawn(on_sphere(12), triplets.pairs_of(torch.arange(12)), 2.0, generator(0))
    assert rows(chosen) == [(place, place + 4, place + 8) for place in range(4)]


@pytest.mark.parametrize("labels", [LABELS, torch.arange(15) % 3, torch.arange(14) // 7])
def test_all_valid_against_a_loop_and_pytorch_metric_learning(labels):
    embeddings = on_sphere(len(labels))
    chosen = triplets.all_valid(embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    assert rows(chosen) == loop(labels)
    assert rows(loss_and_miner_utils.get_all_triplets_indices(labels)) == rows(chosen)
    miner = TripletMarginMiner(margin=math.inf, type_of_triplets="all")
    assert rows(miner(embeddings, labels)) == rows(chosen)


def test_all_valid_of_a_balanced_batch_counted():
    labels = torch.arange(10).repeat_interleave(8)
    chosen = triplets.all_valid(on_sphere(80), triplets.pairs_of(labels), 2.0, generator(0))
    assert len(chosen.anchors) == 80 * 7 * 72


@pytest.mark.parametrize("labels", [LABELS, torch.arange(40) % 4, torch.arange(30) // 15])
@pytest.mark.parametrize("seed", range(3))
def test_batch_hard_against_a_loop_and_pytorch_metric_learning(labels, seed):
    embeddings = on_sphere(len(labels), 5, seed)
    chosen = triplets.batch_hard(embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    apart, expected = table(embeddings), []
    for anchor, label in enumerate(labels.tolist()):
        positives = [other for other, its in enumerate(labels.tolist()) if its == label and other != anchor]
        negatives = [other for other, its in enumerate(labels.tolist()) if its != label]
        if positives and negatives:
            furthest = max(positives, key=lambda other: apart[anchor][other])
            expected.append((anchor, furthest, min(negatives, key=lambda other: apart[anchor][other])))
    assert rows(chosen) == expected
    assert rows(BatchHardMiner()(embeddings, labels)) == expected


@pytest.mark.parametrize("margin", [0.0, 0.5, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("labels", [LABELS, torch.arange(24) % 4, torch.arange(20) // 10])
def test_semi_hard_against_a_loop_and_pytorch_metric_learning(labels, margin):
    embeddings = on_sphere(len(labels), 4)
    chosen = triplets.semi_hard(embeddings, triplets.pairs_of(labels), margin, generator(0))
    apart = table(embeddings)
    expected = [(a, p, n) for a, p, n in loop(labels) if apart[a][p] < apart[a][n] < apart[a][p] + margin]
    assert rows(chosen) == expected
    assert bool(expected) == (margin > 0)
    miner = TripletMarginMiner(margin=margin / 10, type_of_triplets="semihard")  # it works on the unit sphere
    assert rows(miner(embeddings, labels)) == expected


def test_semi_hard_at_its_edges():
    places = torch.tensor([[0.0], [3.0], [3.0], [5.0], [4.9], [2.9]])  # anchor, positive, four negatives
    labels = torch.tensor([0, 0, 1, 2, 3, 4])
    chosen = triplets.semi_hard(places, triplets.pairs_of(labels), 2.0, generator(0))
    assert [each for each in rows(chosen) if each[0] == 0] == [(0, 1, 4)]  # neither as near nor at the margin
    # A pair that has none is left out, even if others of the anchor are not
    assert [
        each for each in rows(triplets.semi_hard(places, triplets.pairs_of(labels), 1.5, generator(0))) if each[0] == 0
    ] == []


def weights_of_draw(monkeypatch, embeddings, labels) -> tuple[Triplets, np.ndarray]:
    """The drawn triplets, and the weights (T, B) that they were drawn with, each row with the sum 1."""
    kept, multinomial = [], torch.multinomial

    def keep(weight, *arguments, **options):
        kept.append(weight)
        return multinomial(weight, *arguments, **options)

    monkeypatch.setattr(torch, "multinomial", keep)
    chosen = triplets.distance_weighted(embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    monkeypatch.undo()
    _, row = chosen.anchors.unique(return_inverse=True)  # the weights are given once for each anchor
    weights = kept[0].double()[row]
    return chosen, (weights / weights.sum(dim=1, keepdim=True)).numpy()


def formula(apart: float, size: int) -> float:
    """1 / q(d) of arXiv:1706.07567 for a distance on the sphere of radius 10, with its two limits."""
    if apart / 10 > 1.4:
        return 0.0
    near = max(apart / 10, 0.5)
    return 1 / (near ** (size - 2) * (1 - near**2 / 4) ** ((size - 3) / 2))


@pytest.mark.parametrize("size", [2, 3, 8, 32])
@pytest.mark.parametrize("labels", [LABELS, torch.arange(24) % 4])
def test_distance_weighted_has_the_weights_of_its_formula(monkeypatch, labels, size):
    embeddings = on_sphere(len(labels), size)
    chosen, weights = weights_of_draw(monkeypatch, embeddings, labels)
    apart = table(embeddings)
    pairs = sorted({(a, p) for a, p, _ in loop(labels)})
    assert [each[:2] for each in rows(chosen)] == pairs  # one negative for each pair
    for row, anchor in zip(weights, chosen.anchors.tolist(), strict=True):
        negatives = labels != labels[anchor]
        expected = [formula(apart[anchor][n], size) if negatives[n] else 0.0 for n in range(len(labels))]
        if not any(expected):  # all of them beyond 1.4: alike
            expected = negatives.double().tolist()
        np.testing.assert_allclose(row, np.array(expected) / sum(expected), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("size", [3, 8, 32])
def test_distance_weighted_has_the_weights_of_pytorch_metric_learning(monkeypatch, size):
    labels, embeddings = torch.arange(40) % 4, on_sphere(40, size)
    chosen, weights = weights_of_draw(monkeypatch, embeddings, labels)
    kept = []
    place = "pytorch_metric_learning.miners.distance_weighted_miner.lmu.get_random_triplet_indices"
    monkeypatch.setattr(place, lambda *_, weights, **__: kept.append(weights) or (labels[:0],) * 3)
    DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)(embeddings, labels)
    np.testing.assert_allclose(weights, kept[0][chosen.anchors], rtol=1e-3, atol=1e-7)


def test_distance_weighted_draws_by_its_weights():
    """Four negatives at unit distances 0.1, 0.7, 1.0 and 1.5 of the anchor, in three dimensions: 1 / d there."""
    angles = 2 * torch.tensor([0.0, 0.0, 0.1, 0.7, 1.0, 1.5]).div(2).asin()
    embeddings = 10 * torch.stack([angles.cos(), angles.sin(), torch.zeros(6)], dim=1)
    labels = torch.tensor([0, 0, 1, 2, 3, 4])
    seen = np.zeros(6)
    for number in range(1500):
        chosen = triplets.distance_weighted(embeddings, triplets.pairs_of(labels), 2.0, generator("draw", number))
        assert chosen.anchors.tolist() == [0, 1]
        np.add.at(seen, chosen.negatives.numpy(), 1)
    assert seen[[0, 1, 5]].tolist() == [0, 0, 0]
    expected = np.array([1 / 0.5, 1 / 0.7, 1 / 1.0])  # the nearest counts as 0.5 away
    assert chisquare(seen[2:5], 3000 * expected / expected.sum()).pvalue > 1e-4


def test_distance_weighted_draws_alike_where_all_are_too_far():
    embeddings = torch.tensor([[10.0, 0.0, 0.0], [10.0, 0.0, 0.0], [-10.0, 0.0, 0.0], [-9.0, 19**0.5, 0.0]])
    labels = torch.tensor([0, 0, 1, 2])
    drawn = [
        triplets.distance_weighted(embeddings, triplets.pairs_of(labels), 2.0, generator(i)).negatives
        for i in range(500)
    ]
    counts = torch.bincount(torch.cat(drawn), minlength=4).tolist()
    assert counts[:2] == [0, 0]
    assert chisquare(counts[2:]).pvalue > 1e-4


def test_distance_weighted_is_repeatable():
    embeddings, labels = on_sphere(40, 8), torch.arange(40) % 4

    def draw(key):
        return rows(triplets.distance_weighted(embeddings, triplets.pairs_of(labels), 2.0, generator(key)))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


# A batch that holds an image twice


def test_a_positive_is_another_image():
    embeddings = on_sphere(6)[TWICE - 10]  # copies are equal points
    pairs = triplets.pairs_of(OF_TWICE, TWICE)
    everyone = [
        (a, p, n)
        for a, p, n in itertools.product(range(len(TWICE)), repeat=3)
        if TWICE[a] != TWICE[p] and OF_TWICE[a] == OF_TWICE[p] and OF_TWICE[a] != OF_TWICE[n]
    ]
    assert rows(triplets.all_valid(embeddings, pairs, 2.0, generator(0))) == everyone
    for name, rule in FROM_LABELS.items():
        chosen = rule(embeddings, pairs, 8.0, generator(0))
        assert len(chosen.anchors), name
        assert set(rows(chosen)) <= set(everyone), name


def test_anchors_with_copies_of_themselves_only_are_left_out():
    images = torch.tensor([3, 3, 4, 4])
    pairs = triplets.pairs_of(images, images)
    for name, rule in FROM_LABELS.items():
        assert len(rule(on_sphere(4), pairs, 2.0, generator(0)).anchors) == 0, name
    embeddings = on_sphere(4).requires_grad_()
    loss = triplets.supervised_contrastive_loss(embeddings, pairs, 0.1)
    loss.backward()
    assert loss.item() == 0
    assert not embeddings.grad.any()
