"""The losses of a batch by objective, selection and epoch; the loss of images that are not learnt from."""

import math

import numpy as np
import pytest
import torch

from core.learning import objectives, sampling, triplets
from core.learning.sampling import generator
from core.networks.build import Outputs
from core.settings.choices import OBJECTIVES, SELECTIONS, load
from core.settings.config import RunConfig

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = torch.tensor([0, 1, 2] * 4)  # read as four drawn triplets, the positives are of the anchor's class
DRAWN = torch.tensor([0, 1, 2, 0, 0, 1, 2, 0, 1, 2, 0, 2])


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs_of(count: int = 12, classes: int = 3, grad: bool = False) -> Outputs:
    embeddings = 10 * torch.nn.functional.normalize(some(count, 4), dim=1)
    return Outputs(embeddings.requires_grad_(grad), some(count, classes, seed=1).requires_grad_(grad))


def loss_of(config: RunConfig, labels=LABELS, epoch: int = 1, outputs: Outputs | None = None):
    loss, diagnostics = objectives.batch_loss(outputs or outputs_of(), labels, config, epoch, generator(5))
    return loss.item(), diagnostics


# Cross-entropy


def cross_entropy_loop(logits, labels, smoothing: float = 0.0) -> float:
    losses = []
    for row, label in zip(logits.double().numpy(), labels.tolist(), strict=True):
        log_probability = row - np.log(np.exp(row).sum())
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        losses.append(-(target * log_probability).sum())
    return float(np.mean(losses))


def naming_loss(outputs: Outputs, labels: torch.Tensor, smoothing: float = 0.0):
    """Loss and diagnostics of cross-entropy."""
    config = RunConfig(objective="cross_entropy", label_smoothing=smoothing)
    return objectives.batch_loss(outputs, labels, config, 1, sampling.generator(0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_against_numpy(smoothing):
    logits, labels = some(12, 5), torch.arange(12) % 2
    loss, diagnostics = naming_loss(Outputs(some(12, 2), logits), labels, smoothing)
    assert loss.item() == pytest.approx(cross_entropy_loop(logits, labels, smoothing), rel=1e-5)
    right = sum(row.argmax() == label for row, label in zip(logits, labels, strict=True))
    assert diagnostics == {"batch_accuracy": pytest.approx(float(right) / 12)}
    assert 0 < right < 12


def test_cross_entropy_of_bfloat16_logits_is_computed_in_float32():
    logits, labels = some(12, 5).bfloat16(), torch.arange(12) % 5
    loss, _ = naming_loss(Outputs(some(12, 2), logits), labels)
    assert loss.dtype == torch.float32
    assert loss == naming_loss(Outputs(some(12, 2), logits.float()), labels)[0]


# The objective of a batch


def test_cross_entropy():
    outputs = outputs_of()
    found = loss_of(RunConfig(objective="cross_entropy", label_smoothing=0.2))
    assert found[0] == naming_loss(outputs, LABELS, 0.2)[0].item()
    assert set(found[1]) == {"batch_accuracy"}


def test_supervised_contrastive():
    embeddings = outputs_of().embeddings
    loss, diagnostics = loss_of(RunConfig(objective="supervised_contrastive", temperature=0.3))
    assert loss == triplets.supervised_contrastive_loss(embeddings, triplets.pairs_of(LABELS), 0.3).item()
    assert diagnostics == {"spread": triplets.spread(embeddings)}


@pytest.mark.parametrize("mean_over", ["all", "active"])
@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
@pytest.mark.parametrize("selection", sorted(set(SELECTIONS) - {"drawn"}))
def test_triplets_by_selection(selection, kind, mean_over):
    config = RunConfig(selection=selection, triplet_loss=kind, triplet_mean=mean_over, margin=6.0)
    embeddings = outputs_of().embeddings
    chosen = load(SELECTIONS[selection].rule)(embeddings, triplets.pairs_of(LABELS), 6.0, generator(5))
    expected, more = triplets.triplet_loss(embeddings, chosen, 6.0, kind, mean_over)
    loss, diagnostics = loss_of(config)
    assert loss == expected.item() > 0
    assert diagnostics == more | {
        "triplet_loss": loss,
        "anchors_left_out": 12 - len(set(chosen.anchors.tolist())),
        "spread": triplets.spread(embeddings),
        **triplets.valid_shares(embeddings, triplets.pairs_of(LABELS), 6.0),
    }


def test_drawn_triplets_are_the_thirds():
    places = [[0.0], [10.0], [1.0], [13.0], [5.0], [11.0]]  # two anchors, their positives, their negatives
    outputs = Outputs(torch.tensor(places), None)
    loss, diagnostics = loss_of(RunConfig(), torch.tensor([0, 1, 0, 1, 2, 2]), outputs=outputs)
    assert loss == pytest.approx((0 + 4) / 2)  # 1 - 5 + 2 and 3 - 1 + 2
    assert diagnostics["active_fraction"] == 0.5
    assert (diagnostics["positive_distance"], diagnostics["negative_distance"]) == (2.0, 3.0)
    assert diagnostics["anchors_left_out"] == 0  # of two


def test_anchors_left_out_are_counted():
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5])  # the last three have no positive
    for selection in ("all", "batch_hard", "distance_weighted"):
        assert loss_of(RunConfig(selection=selection), labels)[1]["anchors_left_out"] == 3
    assert loss_of(RunConfig(selection="all"), torch.zeros_like(labels))[1]["anchors_left_out"] == 12


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_cross_entropy_plus_triplet_loss(weight):
    config = RunConfig(objective="cross_entropy_triplet", triplet_weight=weight, label_smoothing=0.1)
    naming = naming_loss(outputs_of(), LABELS, 0.1)
    pulling = loss_of(config.changed(objective="triplet", selection="all"))
    loss, diagnostics = loss_of(config)
    assert loss == pytest.approx(naming[0].item() + weight * pulling[0])
    assert diagnostics == pulling[1] | naming[1]
    assert diagnostics["triplet_loss"] == pulling[0] > 0  # without its weight


@pytest.mark.parametrize("selection", ["batch_hard", "semi_hard", "distance_weighted"])
@pytest.mark.parametrize("objective", ["triplet", "cross_entropy_triplet"])
def test_all_triplets_first(objective, selection):
    made = RunConfig(objective=objective, selection=selection, all_first=2, margin=6.0)
    everything = loss_of(made.changed(selection="all"))
    chosen = loss_of(made.changed(all_first=0))
    assert [loss_of(made, epoch=epoch) for epoch in (1, 2, 3, 9)] == [everything, everything, chosen, chosen]
    assert everything != chosen


def test_all_first_has_no_effect_on_drawn_triplets():
    assert loss_of(RunConfig(all_first=5), DRAWN) == loss_of(RunConfig(), DRAWN)


@pytest.mark.parametrize(
    ("values", "ignored"),
    [
        (dict(objective="cross_entropy"), dict(margin=7.0, temperature=2.0, triplet_weight=9.0, selection="all")),
        (dict(objective="triplet", selection="all"), dict(temperature=2.0, label_smoothing=0.5, triplet_weight=9.0)),
        (dict(objective="triplet", selection="all", triplet_loss="soft_margin"), dict(triplet_mean="active")),
        (dict(objective="supervised_contrastive"), dict(margin=7.0, label_smoothing=0.5, triplet_mean="active")),
    ],
)
def test_settings_that_do_not_apply_are_ignored(values, ignored):
    assert loss_of(RunConfig(**values | ignored))[0] == loss_of(RunConfig(**values))[0]


@pytest.mark.parametrize("selection", ["auto", *SELECTIONS])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_gives_the_network_a_gradient(objective, selection):
    sampled = dict(sampling="random_triplets") if selection == "drawn" else {}
    config = RunConfig(objective=objective, selection=selection, margin=6.0, **sampled)
    outputs = outputs_of(grad=True)
    before = torch.get_rng_state()
    loss, diagnostics = objectives.batch_loss(outputs, DRAWN, config, 1, generator(5))
    loss.backward()
    needs = OBJECTIVES[objective]
    for values, wanted in ((outputs.logits, needs.classifies), (outputs.embeddings, needs.compares)):
        assert (values.grad is not None) == wanted
        assert not wanted or (values.grad.isfinite().all() and values.grad.abs().max() > 0)
    assert all(math.isfinite(value) for value in diagnostics.values())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_without_a_triplet_has_no_loss_and_no_gradient():
    for selection in set(SELECTIONS) - {"drawn"}:
        outputs = outputs_of(grad=True)
        loss, _ = objectives.batch_loss(outputs, torch.zeros_like(LABELS), RunConfig(selection=selection), 1, None)
        loss.backward()
        assert loss.item() == 0
        assert not outputs.embeddings.grad.any()


# Images that are not learnt from


@pytest.mark.parametrize("kind", ["margin", "soft_margin"])
@pytest.mark.parametrize("count", [12, 500, 501, 1203])
def test_held_back_triplets_in_parts_against_the_whole(count, kind):
    outputs, labels = outputs_of(count), torch.arange(count) % 3
    config = RunConfig(triplet_loss=kind, triplet_mean="active", selection="batch_hard", seed=9)
    picked = triplets.Triplets(*sampling.random_triplets(labels, count, generator(9, "test")).T)
    whole, _ = triplets.triplet_loss(outputs.embeddings, picked, 2.0, kind)
    found = objectives.held_back_loss(outputs, labels, config)
    assert found == pytest.approx(whole.item(), rel=1e-5)
    assert found == objectives.held_back_loss(outputs, labels, config)  # always the same triplets


def test_held_back_cross_entropy_is_not_smoothed():
    config = RunConfig(objective="cross_entropy", label_smoothing=0.3)
    expected = cross_entropy_loop(outputs_of().logits, LABELS)
    assert objectives.held_back_loss(outputs_of(), LABELS, config) == pytest.approx(expected, rel=1e-5)


def test_held_back_sum():
    config = RunConfig(objective="cross_entropy_triplet", triplet_weight=3.0, label_smoothing=0.3)
    naming = objectives.held_back_loss(outputs_of(), LABELS, config.changed(objective="cross_entropy"))
    pulling = objectives.held_back_loss(outputs_of(), LABELS, config.changed(objective="triplet"))
    assert objectives.held_back_loss(outputs_of(), LABELS, config) == pytest.approx(naming + 3 * pulling)


@pytest.mark.parametrize("count", [30, 80, 81, 200])
def test_held_back_contrastive_loss(count):
    outputs, labels = outputs_of(count), torch.arange(count) % 3
    config = RunConfig(objective="supervised_contrastive", temperature=0.2, seed=9)
    batches = sampling.shuffled(count, 80, generator(9, "test"))
    expected = [
        triplets.supervised_contrastive_loss(outputs.embeddings[batch], triplets.pairs_of(labels[batch]), 0.2).item()
        for batch in batches
    ]
    assert objectives.held_back_loss(outputs, labels, config) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_image_a_class_makes_no_triplet(objective):
    outputs = outputs_of(3)
    found = objectives.held_back_loss(outputs, torch.tensor([0, 1, 2]), RunConfig(objective=objective))
    assert (found is None) == OBJECTIVES[objective].compares
