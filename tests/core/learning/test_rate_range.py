"""The learning-rate range test against a plain loop of its own, fastai's rules, and that no run is changed by it."""

import math

import numpy as np
import pytest
import torch

from core import experiment
from core.learning import objectives, rate_curve, rate_range, sampling
from core.learning.batch import prepared
from core.learning.rate_curve import RangeTest
from core.networks import build
from core.runs import store, writing
from tests.core.whole_runs import check_same

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = {
    "adamw": dict(objective="cross_entropy", optimiser="adamw", batch_size=6, augmentation="affine"),
    "sgd": {},
}


def plainly(config, images, count):
    """The losses of the first steps, by the book: no class, no loop of the lab's."""
    network = build.seeded(config, len(images.classes)).to(memory_format=torch.channels_last).train()
    if config.optimiser == "adamw":
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
    else:
        options = dict(momentum=config.momentum, weight_decay=config.weight_decay)
        optimiser = torch.optim.SGD(network.parameters(), **options)
    labels, pixels = torch.tensor(images.train.labels), torch.tensor(images.train.images)
    losses, epoch = [], 0
    while len(losses) < count:
        epoch += 1
        for batch in sampling.batches(config, labels, images.class_numbers, None, epoch):
            step = len(losses) + 1
            draw = sampling.generator(config.seed, "augment", 1, step)
            outputs = network(prepared(pixels[batch], config, "cpu", draw))
            draw = sampling.generator(config.seed, "select", 1, step)
            loss, _ = objectives.batch_loss(outputs, labels[batch], config, 1, draw, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = 1e-5 * 1e6 ** (len(losses) / 99)
            optimiser.step()
            losses.append(loss.item())
    return losses[:count]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_losses_are_those_of_a_plain_loop(kind, tiny, digits):
    config = tiny.changed(**KINDS[kind])
    *_, found = rate_range.find(config, digits)
    count = len(found.losses)
    assert count > 40
    np.testing.assert_allclose(found.losses[:30], plainly(config, digits, 30), rtol=1e-4)
    np.testing.assert_allclose(found.learning_rates, np.geomspace(1e-5, 10, 100)[:count])


def test_smoothing_and_its_end_as_fastai_has_it():
    losses = [2.0, 1.5, 1.0, 0.5, 90.0, 90.0]
    found, mean = RangeTest(), 0.0
    for number, loss in enumerate(losses, start=1):
        found = found.after(0.1 * number, loss)
        mean = torch.lerp(torch.tensor(loss, dtype=torch.float64), torch.tensor(mean, dtype=torch.float64), 0.98).item()
        assert found.smoothed[-1] == pytest.approx(mean / (1 - 0.98**number))
        assert found.grown == (number >= 5)


def fastai_valley(losses):
    """As it stands in fastai/callback/schedule.py, but for its last index."""
    n = len(losses)
    max_start, max_end, lds = 0, 0, [1] * n
    for i in range(1, n):
        for j in range(0, i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return max(max_start + int(sections) + int(sections / 2), 0)


@pytest.mark.parametrize("seed", range(20))
def test_suggestions_are_those_of_fastai(seed):
    draw = np.random.default_rng(seed)
    rates, losses = rate_curve.rates(), draw.random(100).cumsum() * draw.choice([-1, 1]) + draw.normal(size=100) * seed
    found = RangeTest(tuple(rates), tuple(losses), tuple(losses))
    kept, kept_rates = losses[10:-5], np.array(rates)[10:-5]
    slopes = np.diff(kept) / np.diff(np.log(kept_rates))
    falls = (np.diff(kept) < 0).any()
    assert found.suggestion == (float(f"{kept_rates[fastai_valley(kept)]:.2g}") if falls else None)
    assert found.steepest == (float(f"{kept_rates[slopes.argmin()]:.2g}") if falls else None)


def test_a_good_rate_is_found_on_a_loss_that_is_known():
    """It falls between 1e-3 and 1e-1 only."""
    losses = [2 - math.atan(3 * math.log10(rate / 1e-2)) for rate in rate_curve.rates()]
    found = RangeTest(tuple(rate_curve.rates()), tuple(losses), tuple(losses))
    assert found.steepest == pytest.approx(1e-2, rel=0.2)
    for few in (0, 1, 6, 7):
        assert RangeTest((0.1,) * few, (1.0,) * few, (1.0,) * few).suggestion is None


def test_a_run_is_bit_for_bit_the_one_without_a_test(tiny, digits, tmp_path):
    runs = []
    for tested in (False, True):
        with writing.create(tiny, digits, tmp_path) as writer:
            if tested:
                before = torch.get_rng_state()
                assert len(list(rate_range.find(tiny, digits))) > 10
                assert torch.equal(torch.get_rng_state(), before)
            list(experiment.run(writer, digits))
        runs.append(store.read(writer.folder))
    check_same(*runs, epochs=2)


def test_it_ends_when_asked_and_when_the_loss_is_not_finite(tiny, digits):
    assert list(rate_range.find(tiny, digits, lambda: "stop")) == []
    asked = []
    for found in rate_range.find(tiny, digits, lambda: "stop" if asked else None):
        if len(found.losses) == 3:
            asked.append(1)
    assert len(found.losses) == 3
