"""What the microscope shows is the step that was learnt from, and looking changes nothing."""

import copy
import math

import numpy as np
import pytest
import torch

from core.learning import loop, objectives, sampling, triplets
from core.learning.evaluate import Evaluation, LabelledImages
from core.learning.machine import Machine
from core.learning.microscope import Microscope
from core.learning.objectives import triplet
from core.learning.training import Training
from core.networks import build
from core.settings.config import RunConfig

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = Machine("cpu", "float32", 1)
CONFIG = RunConfig(
    blocks=(1, 1), width=8, embedding_size=8, sampling="balanced", images_per_class=4, epochs=1, learning_rate=0.05
)
CONFIGS = {
    "drawn": CONFIG.changed(sampling="random_triplets", triplets=24, batch_size=8),
    "semi_hard": CONFIG.changed(selection="semi_hard", margin=4.0),
    "distance_weighted": CONFIG.changed(selection="distance_weighted", triplet_loss="soft_margin"),
    "classes": CONFIG.changed(objective="cross_entropy", sampling="shuffled", batch_size=8),
    "contrastive": CONFIG.changed(objective="supervised_contrastive"),
}


def learnt() -> LabelledImages:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (32, 28, 28), generator=draw, dtype=torch.uint8)
    return LabelledImages(images, torch.arange(32) % 4, (0, 1, 2, 3))


def evaluation(epoch: int) -> Evaluation:
    nothing = torch.zeros(4, 4)
    return Evaluation(None, None, None, 0.5, nothing, None, None, 0.5, 1.0)


def trained(config: RunConfig, look=lambda seen: None) -> Training:
    training = Training(build.seeded(config, 4), config)
    for _ in loop.fit(training, learnt(), config, CPU, evaluation, look=look):
        pass
    return training


@pytest.mark.parametrize("name", CONFIGS)
def test_looking_changes_no_weight_and_no_generator(name):
    scope = Microscope(CONFIGS[name], CPU, np.arange(32))
    plain = trained(CONFIGS[name])

    def look(seen):
        scope.look(seen)
        scope.specimens(seen_by.network)

    seen_by = Training(build.seeded(CONFIGS[name], 4), CONFIGS[name])
    before = torch.get_rng_state()
    for _ in loop.fit(seen_by, learnt(), CONFIGS[name], CPU, evaluation, look=look):
        pass
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in plain.network.state_dict().items():
        assert torch.equal(value, seen_by.network.state_dict()[key]), key


@pytest.mark.parametrize("name", ["distance_weighted", "drawn", "semi_hard"])
def test_triplets_are_those_mined_in_the_step_with_their_distances(name):
    config, steps = CONFIGS[name], []
    trained(config, steps.append)
    for seen in steps:
        scope = Microscope(config, CPU, np.arange(100, 132))
        scope.look(seen)
        found = scope.specimens()
        draw = sampling.generator(config.seed, "select", seen.epoch, seen.step)
        pairs = triplets.pairs_of(seen.labels, seen.batch)
        _, mined = triplet.mined(seen.outputs.embeddings, pairs, config, seen.epoch, draw)
        listed = {tuple(100 + seen.batch[torch.stack(each)].numpy()) for each in zip(*mined, strict=True)}
        shown = [tuple(row) for row in found.images]
        assert set(shown) <= listed
        points = {100 + image.item(): point for image, point in zip(seen.batch, seen.outputs.embeddings, strict=True)}
        for (a, p, n), (to_positive, to_negative), loss in zip(shown, found.measures[0], found.losses[0], strict=True):
            if name != "drawn":  # a drawn batch may hold an image twice, warped differently
                assert to_positive == pytest.approx((points[a] - points[p]).norm().item(), rel=1e-4)
                assert to_negative == pytest.approx((points[a] - points[n]).norm().item(), rel=1e-4)
            excess = to_positive - to_negative
            expected = (
                max(0, excess + config.margin) if config.triplet_loss == "margin" else math.log1p(math.exp(excess))
            )
            assert loss == pytest.approx(expected, abs=1e-4)
        if "hardest" in found.roles:
            apart = found.measures[0, :, 0] - found.measures[0, :, 1]
            assert apart[0] == pytest.approx(apart.max())
        assert found.batch_loss[0] == pytest.approx(float(seen.loss), rel=1e-6)


def test_images_are_those_with_the_highest_loss():
    config, steps = CONFIGS["classes"], []
    trained(config, steps.append)
    seen = steps[-1]
    scope = Microscope(config, CPU, np.arange(32))
    scope.look(seen)
    found = scope.specimens()
    losses = -seen.outputs.logits.log_softmax(dim=1)[torch.arange(len(seen.labels)), seen.labels]
    assert found.losses[0] == pytest.approx(losses.sort(descending=True).values[:6].numpy(), rel=1e-5)
    np.testing.assert_allclose(found.measures[0, :, 0], np.exp(-found.losses[0]), rtol=1e-4)
    assert (found.measures[0, :, 1] >= found.measures[0, :, 0]).all()
    place = losses.argmax()
    assert found.images[0, 0] == seen.batch[place]
    np.testing.assert_allclose(found.pixels[0, 0], ((seen.images[place, 0] + 1) * 127.5).round().numpy(), atol=1)


@pytest.mark.parametrize("name", CONFIGS)
def test_after_the_step_is_the_same_batch_with_the_new_weights(name):
    config, steps = CONFIGS[name], []
    training = Training(build.seeded(config, 4), config)
    scope = Microscope(config, CPU, np.arange(32))
    running = loop.fit(
        training, learnt(), config, CPU, evaluation, look=lambda seen: (scope.look(seen), steps.append(seen))
    )
    next(running)
    assert np.isnan(scope.specimens().batch_loss[1])
    found = scope.specimens(training.network)
    seen = steps[0]
    again = copy.deepcopy(training.network).train()(build.repeated(seen.images, config.channels))
    draw = sampling.generator(config.seed, "select", 1, 1)
    loss, _ = objectives.batch_loss(again, seen.labels, config, 1, draw, seen.batch)
    assert found.batch_loss[1] == pytest.approx(loss.item(), rel=1e-5)
    assert found.batch_loss[1] != found.batch_loss[0]
    if len(found.roles):
        assert not np.allclose(found.losses[0], found.losses[1])


def test_a_step_without_a_triplet_has_none_to_show():
    config = CONFIGS["semi_hard"].changed(margin=1e-6)
    scope = Microscope(config, CPU, np.arange(32))
    assert scope.specimens() is None  # before the first step
    trained(config, scope.look)
    found = scope.specimens()
    assert found.images.shape == (0, 3)
    assert found.pixels.shape[:2] == (0, 3)
    assert found.batch_loss[0] == 0


def test_the_microscope_module_keeps_no_gradient():
    steps = []
    trained(CONFIGS["classes"], steps.append)
    tensors = [steps[0].outputs.embeddings, steps[0].outputs.logits, steps[0].loss, steps[0].images]
    assert not any(tensor.requires_grad for tensor in tensors)
