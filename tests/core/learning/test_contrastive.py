"""The supervised contrastive loss against a loop, at its edges and against pytorch-metric-learning."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from core.learning import triplets
from tests.core.learning.points import (
    HAND_OUT,
    LABELS,
    OF_TWICE,
    TWICE,
    on_sphere,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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
