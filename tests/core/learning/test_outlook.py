"""What a form says of a training before it begins, against the training itself."""

import time

import pytest
import torch

from core.learning import outlook, sampling
from core.networks import build

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = {
    "triplets": {},
    "shuffled": dict(objective="cross_entropy", batch_size=7, validation_share=0.25),
    "balanced": dict(selection="all", sampling="balanced", images_per_class=4, classes_per_batch=3),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_epoch_is_counted_as_it_is_trained(tiny, digits, name):
    config = tiny.changed(**KINDS[name])
    found = outlook.outlook(config, digits)
    labels = torch.tensor(digits.train.labels)
    learnt = labels[~sampling.held_out(config, labels)]
    batches = list(sampling.batches(config, learnt, digits.class_numbers, None, 1))
    assert (found.steps, found.images) == (len(batches), sum(map(len, batches)))
    assert found.triplets == (24 if name == "triplets" else None)
    network = build.seeded(config, len(digits.classes))
    assert found.parameters == sum(weights.numel() for weights in network.parameters())
    assert found.fully_connected == 1


def test_seconds_are_measured_on_the_networks_own_copy(tiny, digits):
    config = tiny.changed(triplets=2400)
    before = torch.get_rng_state()
    begun = time.perf_counter()
    seconds = outlook.seconds_an_epoch(config, digits)
    took = time.perf_counter() - begun
    assert torch.equal(torch.get_rng_state(), before)
    assert 0 < seconds < 100 * took  # 300 steps, of which six at most were made
    assert outlook.seconds_an_epoch(config, digits, leave=lambda: True) is None
