"""Cross-entropy against NumPy; which third of a batch is what."""

import numpy as np
import pytest
import torch

from core import objectives
from core.config import RunConfig
from core.models import Outputs
from core.triplets import triplet_loss


def some(*shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_cross_entropy_against_numpy():
    logits, labels = some(12, 5), torch.arange(12) % 2
    loss, diagnostics = objectives.cross_entropy(Outputs(some(12, 2), logits), labels)
    expected, right = [], 0
    for row, label in zip(logits.double().numpy(), labels.tolist(), strict=True):
        expected.append(-np.log(np.exp(row[label]) / np.exp(row).sum()))
        right += row.argmax() == label
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert diagnostics == {"batch_accuracy": pytest.approx(right / 12)}
    assert 0 < right < 12


def test_cross_entropy_of_bfloat16_logits_is_computed_in_float32():
    logits, labels = some(12, 5).bfloat16(), torch.arange(12) % 5
    loss, _ = objectives.cross_entropy(Outputs(some(12, 2), logits), labels)
    assert loss.dtype == torch.float32
    assert loss == objectives.cross_entropy(Outputs(some(12, 2), logits.float()), labels)[0]


def test_drawn_triplets_takes_the_thirds():
    embeddings = torch.tensor(
        [[0.0], [10.0], [1.0], [13.0], [5.0], [11.0]]
    )  # two anchors, two positives, two negatives
    loss, diagnostics = objectives.drawn_triplets(Outputs(embeddings, None), torch.tensor([0, 1, 0, 1, 2, 2]), 2.0)
    assert loss.item() == pytest.approx((0 + 4) / 2)  # 1 - 5 + 2 and 3 - 1 + 2
    assert diagnostics == pytest.approx({"active_fraction": 0.5, "positive_distance": 2.0, "negative_distance": 3.0})


@pytest.mark.parametrize("margin", [0.5, 7.0])
def test_build(margin):
    outputs, labels = Outputs(some(6, 4), some(6, 3)), torch.tensor([0, 1, 0, 1, 2, 2])
    loss, _ = objectives.build(RunConfig(objective="cross_entropy", margin=margin))(outputs, labels)
    assert loss == objectives.cross_entropy(outputs, labels)[0]
    loss, _ = objectives.build(RunConfig(objective="triplet", margin=margin))(outputs, labels)
    assert loss == triplet_loss(outputs.embeddings, *torch.arange(6).view(3, 2), margin)[0]
