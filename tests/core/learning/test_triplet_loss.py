"""The triplet losses and what is told of them, by hand, against loops and against pytorch-metric-learning."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import AvgNonZeroReducer, MeanReducer

from core.analysis.distances import pairwise_distances
from core.learning import triplets
from core.learning.sampling import generator
from core.learning.triplets import Triplets, triplet_loss
from core.settings.choices import SELECTIONS, load
from tests.core.learning.points import FROM_LABELS, LABELS, as_triplets, distance, loop, on_sphere, rows, table

pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.mark.parametrize("classes", [3, 10])
def test_shares_of_a_large_batch_are_of_every_triplet_too(classes):
    """Classes of different sizes, one of a single image: it has no positive, and is a negative all the same."""
    labels = torch.cat([torch.randint(classes, (299,), generator=generator(1)), torch.tensor([classes])])
    embeddings, pairs = on_sphere(300, 8), triplets.pairs_of(labels)
    found = triplets.valid_shares(embeddings, pairs, 2.0)
    _, every = triplet_loss(embeddings, triplets.all_valid(embeddings, pairs, 2.0, generator(0)), 2.0)
    assert found == pytest.approx({f"valid_{kind}": every[kind] for kind in ("easy", "semi_hard", "hard")}, abs=1e-6)


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
