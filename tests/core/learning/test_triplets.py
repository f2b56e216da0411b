"""Distances, selection rules and losses against plain loops, by hand and against pytorch-metric-learning.

Embeddings lie on the sphere of radius 10, as those of a network do; pytorch-metric-learning makes them length 1 unless
it is told not to.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner, DistanceWeightedMiner, TripletMarginMiner
from pytorch_metric_learning.reducers import AvgNonZeroReducer, MeanReducer
from pytorch_metric_learning.utils import loss_and_miner_utils
from scipy.stats import chisquare

from core.analysis.distances import pairwise_distances
from core.learning import triplets
from core.learning.sampling import generator
from core.learning.triplets import Triplets, triplet_loss
from core.settings.choices import SELECTIONS, load

pytestmark = pytest.mark.usefixtures("one_thread")

# One image of class 0, three of 1, two of 2, five of 3, one of 7
LABELS = torch.tensor([2, 0, 1, 2, 3, 3, 1, 3, 1, 3, 3, 7])
RULES = {name: load(selection.rule) for name, selection in SELECTIONS.items()}
FROM_LABELS = {name: rule for name, rule in RULES.items() if name != "drawn"}
HAND_OUT = [  # label vectors with something missing
    pytest.param([4, 4, 4], id="one class only"),
    pytest.param([0, 1, 2, 3], id="no positive"),
    pytest.param([5], id="one image"),
]


def points(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return 10 * torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def on_sphere(count: int, size: int = 3, seed: int = 0) -> torch.Tensor:
    return 10 * torch.nn.functional.normalize(points(count, size, seed), dim=1)


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Plain Euclidean, one number after the other."""
    total = 0.0
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        total += (one - other) ** 2
    return math.sqrt(total)


def table(embeddings: torch.Tensor) -> list[list[float]]:
    """All distances by loops."""
    return [[distance(row, column) for column in embeddings] for row in embeddings]


def loop(labels) -> list[tuple[int, int, int]]:
    """Every valid triplet by a triple loop."""
    labels, found = list(map(int, labels)), []
    for anchor in range(len(labels)):
        for positive in range(len(labels)):
            for negative in range(len(labels)):
                if anchor == positive or labels[anchor] != labels[positive] or labels[anchor] == labels[negative]:
                    continue
                found.append((anchor, positive, negative))
    return found


def rows(chosen) -> list[tuple[int, int, int]]:
    return sorted(zip(*(places.tolist() for places in chosen), strict=True))


def as_triplets(listed) -> Triplets:
    return Triplets(*torch.tensor(listed, dtype=torch.int64).view(-1, 3).T)


# Distances


@pytest.mark.parametrize("size", [1, 2, 7, 128])
def test_distances_against_loops(size):
    some, others = points(30, size), points(29, size, seed=1)
    pairwise = pairwise_distances(some, others)  # more than 25 rows: where cdist would change its method
    assert pairwise.shape == (30, 29)
    expected = [[distance(row, column) for column in others] for row in some]
    np.testing.assert_allclose(pairwise, expected, rtol=1e-5)


def test_small_distances_are_not_lost():
    some = torch.full((30, 100), 1.0)  # length 10, as all embeddings
    others = some.clone()
    others[:, 0] += 1e-3  # |a|^2 - 2ab + |b|^2 gives 0 or 0.01 here
    torch.testing.assert_close(pairwise_distances(some, others), torch.full((30, 30), 1e-3), rtol=1e-3, atol=0)


def test_the_gradient_of_a_distance_has_length_one_and_that_of_none_is_zero():
    some = points(20, 5).requires_grad_()
    pairwise_distances(some, points(20, 5, seed=1)).diagonal().sum().backward()
    torch.testing.assert_close(some.grad.norm(dim=1), torch.ones(20))
    same = points(20, 5).requires_grad_()
    pairwise_distances(same, same.detach()).diagonal().sum().backward()
    assert torch.equal(same.grad, torch.zeros(20, 5))


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


# The losses


@pytest.mark.parametrize(
    ("positive", "negative", "margin", "loss", "active"),
    [
        (1, 3, 2.0, 0.0, 0.0),  # 5 - 10 + 2
        (1, 2, 2.0, 5.0, 1.0),  # 5 - 2 + 2
        (3, 1, 0.0, 5.0, 1.0),  # 10 - 5
        (2, 1, 3.5, 0.5, 1.0),  # 2 - 5 + 3.5
        (2, 1, 3.0, 0.0, 0.0),  # 2 - 5 + 3: exactly at the margin
        (1, 1, 0.0, 0.0, 0.0),
    ],
)
def test_one_triplet_by_hand(positive, negative, margin, loss, active):
    square = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0], [6.0, 8.0]])  # distances from the first: 0, 5, 2, 10
    found, diagnostics = triplet_loss(square, as_triplets([(0, positive, negative)]), margin)
    assert found.item() == pytest.approx(loss, abs=1e-6)
    assert diagnostics["active_fraction"] == active
    assert diagnostics["positive_distance"] == pytest.approx(distance(square[0], square[positive]))
    assert diagnostics["negative_distance"] == pytest.approx(distance(square[0], square[negative]))


def expected_loss(apart, listed, margin, kind, mean_over) -> float:
    if kind == "margin":
        losses = [max(0.0, apart[a][p] - apart[a][n] + margin) for a, p, n in listed]
        count = sum(loss > 0 for loss in losses) if mean_over == "active" else len(losses)
    else:
        losses = [math.log(1 + math.exp(apart[a][p] - apart[a][n])) for a, p, n in listed]
        count = len(losses)
    return sum(losses) / max(count, 1)


@pytest.mark.parametrize("mean_over", ["all", "active"])
@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
@pytest.mark.parametrize("margin", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("name", FROM_LABELS)
def test_loss_against_a_loop(name, margin, kind, mean_over):
    embeddings = on_sphere(len(LABELS), 4)
    chosen = FROM_LABELS[name](embeddings, triplets.pairs_of(LABELS), margin, generator(0))
    loss, _ = triplet_loss(embeddings, chosen, margin, kind, mean_over)
    expected = expected_loss(table(embeddings), rows(chosen), margin, kind, mean_over)
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert (expected > 0) == (name != "semi_hard" or margin > 0)


@pytest.mark.parametrize("mean_over", ["all", "active"])
@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_loss_and_gradient_against_pytorch_metric_learning(margin, kind, mean_over):
    labels = torch.arange(24) % 4
    ours, theirs = on_sphere(24, 5).requires_grad_(), on_sphere(24, 5).requires_grad_()
    chosen = triplets.all_valid(ours, triplets.pairs_of(labels), margin, generator(0))
    loss, _ = triplet_loss(ours, chosen, margin, kind, mean_over)
    second = TripletMarginLoss(
        margin=margin if kind == "margin" else 0.0,  # theirs adds the margin inside the softplus, the paper does not
        smooth_loss=kind == "soft_margin",
        distance=LpDistance(normalize_embeddings=False),
        reducer=AvgNonZeroReducer() if mean_over == "active" else MeanReducer(),
    )(theirs, labels)
    torch.testing.assert_close(loss, second)
    loss.backward()
    second.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    assert ours.grad.abs().max() > 0


def test_the_margin_is_a_tenth_on_the_unit_sphere():
    labels, embeddings = torch.arange(24) % 4, on_sphere(24, 5)
    loss, _ = triplet_loss(
        embeddings, triplets.all_valid(embeddings, triplets.pairs_of(labels), 2.0, generator(0)), 2.0, "margin", "all"
    )
    second = TripletMarginLoss(margin=0.2, reducer=MeanReducer())(embeddings, labels)  # makes them length 1
    torch.testing.assert_close(loss, 10 * second)


def test_descent_pulls_the_positive_and_pushes_the_negative():
    embeddings = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [9.0, 9.0]], requires_grad=True)
    loss, _ = triplet_loss(embeddings, as_triplets([(0, 1, 2)]), margin=2.0)
    loss.backward()
    expected = torch.tensor([[-1.0, 1.0], [1.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    torch.testing.assert_close(embeddings.grad, expected)


@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
def test_collapsed_triplets_have_a_finite_gradient(kind):
    embeddings = torch.zeros(3, 4, requires_grad=True)
    loss, diagnostics = triplet_loss(embeddings, as_triplets([(0, 1, 2)]), 2.0, kind)
    loss.backward()
    assert loss.item() == pytest.approx({"margin": 2.0, "soft_margin": math.log(2)}[kind])
    assert diagnostics["active_fraction"] == 1.0
    assert torch.equal(embeddings.grad, torch.zeros(3, 4))


def test_the_soft_margin_of_far_points_is_finite():
    embeddings = torch.tensor([[0.0], [1e4], [0.0]], requires_grad=True)
    loss, _ = triplet_loss(embeddings, as_triplets([(0, 1, 2)]), 2.0, "soft_margin")
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
def test_the_gradient_is_the_same_bit_for_bit(kind):
    """With two threads, as a training uses: sums in an order that depends on them would make runs differ."""
    torch.set_num_threads(2)
    try:
        labels = torch.arange(10).repeat_interleave(8)
        chosen = triplets.all_valid(on_sphere(80), triplets.pairs_of(labels), 2.0, generator(0))
        assert len(chosen.anchors) > 40_000
        # In random order and often, so that both threads would have parts of the same sums
        order = torch.randint(len(chosen.anchors), (200_000,), generator=generator(0))
        chosen = Triplets(*(places[order] for places in chosen))
        gradients = []
        for _ in range(20):
            embeddings = on_sphere(80, 64).requires_grad_()
            triplet_loss(embeddings, chosen, 2.0, kind, "active")[0].backward()
            gradients.append(embeddings.grad)
        assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
    finally:
        torch.set_num_threads(1)


# Diagnostics


@pytest.mark.parametrize("margin", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
def test_diagnostics_against_loops(kind, margin):
    embeddings = on_sphere(len(LABELS), 4)
    apart, listed = table(embeddings), loop(LABELS)
    _, found = triplet_loss(embeddings, as_triplets(listed), margin, kind)
    to_positive = np.array([apart[a][p] for a, p, _ in listed])
    to_negative = np.array([apart[a][n] for a, _, n in listed])
    force = 1 / (1 + np.exp(to_negative - to_positive))
    hard = to_negative <= to_positive
    easy = (to_negative >= to_positive + margin) & ~hard
    expected = {
        "active_fraction": np.mean(to_positive - to_negative + margin > 0 if kind == "margin" else force >= 0.01),
        "easy": easy.mean(),
        "semi_hard": (~easy & ~hard).mean(),
        "hard": hard.mean(),
        "positive_distance": to_positive.mean(),
        "negative_distance": to_negative.mean(),
    }
    for which, values in (("positive", to_positive), ("negative", to_negative)):
        for percent in (10, 50, 90):
            expected[f"{which}_distance_q{percent}"] = np.percentile(values, percent)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert all(type(value) is float for value in found.values())


def test_shares_sum_to_one_and_none_is_negative():
    draw = torch.Generator().manual_seed(0)
    for count in range(1, 120):
        embeddings = torch.rand(12, 1, generator=draw)
        listed = torch.randint(12, (3, count), generator=draw)
        _, found = triplet_loss(embeddings, Triplets(*listed), margin=0.0 if count % 2 else 0.3)
        shares = [found[name] for name in ("easy", "semi_hard", "hard")]
        assert min(shares) >= 0
        assert sum(shares) == pytest.approx(1)
        assert found["active_fraction"] <= 1


def test_equal_distances_are_hard_whatever_the_margin():
    embeddings = torch.tensor([[0.0], [1.0], [-1.0]])
    for margin in (0.0, 2.0):
        _, found = triplet_loss(embeddings, as_triplets([(0, 1, 2)]), margin)
        assert (found["easy"], found["semi_hard"], found["hard"]) == (0, 0, 1)


def test_quantiles_of_very_many_triplets_come_from_a_fair_part_of_them():
    labels = torch.arange(10).repeat_interleave(8)
    embeddings = on_sphere(80, 8)
    chosen = triplets.all_valid(embeddings, triplets.pairs_of(labels), 2.0, generator(0))
    _, found = triplet_loss(embeddings, chosen, 2.0)
    to_negative = pairwise_distances(embeddings, embeddings)[chosen.anchors, chosen.negatives]
    for percent in (10, 50, 90):
        assert found[f"negative_distance_q{percent}"] == pytest.approx(np.percentile(to_negative, percent), rel=0.02)
    assert found["negative_distance"] == pytest.approx(to_negative.mean().item())  # the mean is over all


@pytest.mark.parametrize("margin", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("name", sorted(set(SELECTIONS) - {"drawn"}))
def test_shares_are_those_of_all_valid_triplets_whatever_is_mined(name, margin):
    """Counted, against the same triplets made one by one; whole numbers make equal distances."""
    for embeddings in (on_sphere(len(LABELS), 4), on_sphere(len(LABELS), 3).round()):
        pairs = triplets.pairs_of(torch.as_tensor(LABELS))
        found = triplets.valid_shares(embeddings, pairs, margin)
        _, every = triplet_loss(embeddings, as_triplets(loop(LABELS)), margin)
        expected = {f"valid_{kind}": every[kind] for kind in ("easy", "semi_hard", "hard")}
        assert found == pytest.approx(expected, abs=1e-6)
    mined = load(SELECTIONS[name].rule)(embeddings, pairs, margin, generator(0))
    if name == "semi_hard" and len(mined.anchors):
        assert triplet_loss(embeddings, mined, margin)[1]["semi_hard"] == 1  # which says nothing of the batch


def test_shares_of_a_large_batch_come_from_a_fair_part_of_its_anchors():
    embeddings = on_sphere(400, 8)
    pairs = triplets.pairs_of(torch.randint(10, (400,), generator=generator(1)))
    found = triplets.valid_shares(embeddings, pairs, 2.0)
    _, every = triplet_loss(embeddings, triplets.all_valid(embeddings, pairs, 2.0, generator(0)), 2.0)
    assert found["valid_semi_hard"] == pytest.approx(every["semi_hard"], abs=0.02)
    assert sum(found.values()) == pytest.approx(1)


def test_without_a_valid_triplet_there_are_no_shares():
    found = triplets.valid_shares(on_sphere(4), triplets.pairs_of(torch.zeros(4, dtype=torch.long)), 2.0)
    assert found == dict.fromkeys(("valid_easy", "valid_semi_hard", "valid_hard"))


def test_spread():
    embeddings = on_sphere(30, 6)
    mean = embeddings.double().mean(dim=0)
    expected = np.sqrt(np.mean([distance(row, mean) ** 2 for row in embeddings]))
    assert triplets.spread(embeddings) == pytest.approx(expected, rel=1e-5)
    assert triplets.spread(torch.full((8, 3), 4.0, requires_grad=True)) == 0
    assert triplets.spread(torch.tensor([[10.0, 0.0], [-10.0, 0.0]])) == pytest.approx(10)
    assert triplets.spread(embeddings[:1]) == 0


# A batch that holds an image twice

TWICE = torch.tensor([10, 11, 12, 13, 10, 14, 11, 10, 15, 13])  # numbers of images
OF_TWICE = torch.tensor([0, 0, 1, 1, 0, 1, 0, 0, 2, 1])  # their classes


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


def test_contrastive_loss_knows_copies():
    embeddings, unit = on_sphere(6)[TWICE - 10], on_sphere(6).double()[TWICE - 10] / 10
    losses = []
    for a in range(len(TWICE)):
        others = [k for k in range(len(TWICE)) if TWICE[k] != TWICE[a]]
        below = sum(math.exp(unit[a] @ unit[k] / 0.3) for k in others)
        of_anchor = [-math.log(math.exp(unit[a] @ unit[p] / 0.3) / below) for p in others if OF_TWICE[p] == OF_TWICE[a]]
        losses += [sum(of_anchor) / len(of_anchor)] if of_anchor else []
    loss = triplets.supervised_contrastive_loss(embeddings, triplets.pairs_of(OF_TWICE, TWICE), 0.3)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


# The supervised contrastive loss


def contrastive_loop(embeddings, labels, temperature) -> float:
    """arXiv:2004.11362, eq. 2, one number after the other; the mean over anchors that have a positive."""
    unit = embeddings.double().numpy() / 10
    losses = []
    for anchor, label in enumerate(labels.tolist()):
        others = [other for other in range(len(labels)) if other != anchor]
        likeness = {other: math.exp(float(unit[anchor] @ unit[other]) / temperature) for other in others}
        positives = [other for other in others if labels[other] == label]
        if positives:
            parts = [-math.log(likeness[positive] / sum(likeness.values())) for positive in positives]
            losses.append(sum(parts) / len(parts))
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("labels", [LABELS, torch.arange(24) % 4, torch.arange(20) // 10])
def test_contrastive_loss_against_a_loop_and_pytorch_metric_learning(labels, temperature):
    ours, theirs = on_sphere(len(labels), 6).requires_grad_(), on_sphere(len(labels), 6).requires_grad_()
    loss = triplets.supervised_contrastive_loss(ours, triplets.pairs_of(labels), temperature)
    assert loss.item() == pytest.approx(contrastive_loop(ours.detach(), labels, temperature), rel=1e-4)
    second = SupConLoss(temperature=temperature)(theirs, labels)
    torch.testing.assert_close(loss, second, rtol=1e-4, atol=1e-5)
    loss.backward()
    # Theirs has the length-1 embeddings as variables and divides by the length: no gradient along the embedding
    along = (ours.grad * ours.detach()).sum(dim=1, keepdim=True) * ours.detach() / 100
    second.backward()
    torch.testing.assert_close(ours.grad - along, theirs.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("labels", HAND_OUT)
@pytest.mark.parametrize("equal_points", [False, True])
def test_contrastive_loss_without_positives_or_negatives(labels, equal_points):
    labels = torch.tensor(labels, dtype=torch.int64)
    embeddings = torch.full((len(labels), 4), 5.0) if equal_points else on_sphere(len(labels), 4)
    embeddings.requires_grad_()
    loss = triplets.supervised_contrastive_loss(embeddings, triplets.pairs_of(labels), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(contrastive_loop(embeddings.detach(), labels, 0.1), rel=1e-4)
    assert embeddings.grad.isfinite().all()
    if len(labels.unique()) == len(labels):
        assert loss.item() == 0
        assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


def test_contrastive_loss_of_one_point_is_that_of_chance():
    embeddings = torch.full((12, 4), 5.0, requires_grad=True)
    loss = triplets.supervised_contrastive_loss(embeddings, triplets.pairs_of(torch.arange(12) % 3), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(11))
    assert embeddings.grad.isfinite().all()


def test_contrastive_loss_at_a_small_temperature_is_finite():
    embeddings = on_sphere(20, 3).requires_grad_()
    loss = triplets.supervised_contrastive_loss(embeddings, triplets.pairs_of(torch.arange(20) % 4), 0.01)
    loss.backward()
    assert loss.isfinite()
    assert embeddings.grad.isfinite().all()
