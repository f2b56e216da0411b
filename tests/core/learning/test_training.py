"""Optimisers, and what a checkpoint holds of a training: it comes back as it was, or is refused with the reason."""

import copy

import pytest
import torch

from core.learning.training import Training, optimiser
from core.networks import build
from core.settings.config import RunConfig
from tests.core.learning.trainings import CLASSIFIER, network

CONFIG = RunConfig(blocks=(1,), width=8, embedding_size=4, channels=1, image_size=24, weight_average=0.9)


def trained(config: RunConfig = CONFIG) -> Training:
    """After one step."""
    training = Training(build.seeded(config, 3), config)
    images = torch.rand(4, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    training.network(images).embeddings.sum().backward()
    training.optimiser.step()
    training.average.update_parameters(training.network)
    training.add_step(1.5, {"spread": 2.0, "easy": None})
    return training


def refusal(change) -> str:
    state = copy.deepcopy(trained().state_dict())
    change(state)
    with pytest.raises(ValueError, match=r".") as caught:
        Training(build.seeded(CONFIG, 3), CONFIG).load_state_dict(state)
    return str(caught.value)


def test_it_comes_back():
    before = trained()
    again = Training(build.seeded(CONFIG.changed(seed=1), 3), CONFIG)
    again.load_state_dict(copy.deepcopy(before.state_dict()))
    assert (again.epoch, again.step, again.loss_sum, again.diagnostics) == (1, 1, 1.5, before.diagnostics)
    for name, value in before.judged.state_dict().items():
        assert torch.equal(value, again.judged.state_dict()[name])
    momentum = [kept["momentum_buffer"] for kept in again.optimiser.state.values()]
    assert momentum
    assert all(
        torch.equal(first, second["momentum_buffer"])
        for first, second in zip(momentum, before.optimiser.state.values(), strict=True)
    )


def test_what_does_not_fit_is_refused():
    momentum = {"momentum_buffer": torch.zeros(2, 2)}
    assert "optimiser" in refusal(lambda state: state["optimiser"]["state"].update({0: momentum}))
    assert "optimiser" in refusal(lambda state: state["optimiser"].update(param_groups=[{"params": [0]}]))
    assert "means" in refusal(lambda state: state["diagnostic_counts"].pop("spread"))
    assert "history" in refusal(lambda state: state["diagnostic_sums"].update(spread="wide"))


def test_another_network_is_refused():
    other = Training(build.seeded(CONFIG.changed(width=16), 3), CONFIG)
    with pytest.raises(RuntimeError):
        other.load_state_dict(trained().state_dict())


def test_sums_of_strangers_lie_within_bounds():
    state, again = trained().state_dict(), Training(build.seeded(CONFIG, 3), CONFIG)
    again.load_state_dict(state, lambda name: (0, 2))
    with pytest.raises(ValueError, match="spread"):
        again.load_state_dict(state, lambda name: (0, 1.9))


def test_adamw():
    config = CLASSIFIER.changed(optimiser="adamw", learning_rate=0.001, weight_decay=0.3)
    made = optimiser(network(config), config)
    assert isinstance(made, torch.optim.AdamW)
    assert made.defaults["weight_decay"] == 0.3
    assert isinstance(optimiser(network(CLASSIFIER), CLASSIFIER), torch.optim.SGD)
