"""The learning rate of every step. No torch here: the pages draw it as a curve."""

import math

from core.settings.config import RunConfig

_FIRST_RATE = 0.04  # of the full learning rate, where a warm-up begins
_RISE = 0.3  # share of the training in which the one-cycle schedule rises (arXiv:1708.07120)


def learning_rate(config: RunConfig, epoch: int, step: int = 1, steps: int = 1) -> float:
    """The learning rate of a step; `epoch` and `step` count from 1, `steps` is how many an epoch has.

    step: divided by `decay_factor` after every `decay_every` epochs. cosine: half a wave from 1 to 0. Both rise
    linearly during the warm-up. one_cycle: linear up during the first 30 % of the training, then half a wave down to 0.
    """
    passed = epoch - 1 + (step - 1) / steps  # epochs
    if config.schedule == "one_cycle":
        share = passed / config.epochs
        if share < _RISE:
            return config.learning_rate * _rising(share / _RISE)
        return config.learning_rate * _falling((share - _RISE) / (1 - _RISE))
    if passed < config.warm_up:
        return config.learning_rate * _rising(passed / config.warm_up)
    if config.schedule == "cosine":
        return config.learning_rate * _falling((passed - config.warm_up) / (config.epochs - config.warm_up))
    return config.learning_rate / config.decay_factor ** ((epoch - 1) // config.decay_every)


def _rising(share: float) -> float:
    return _FIRST_RATE + (1 - _FIRST_RATE) * share


def _falling(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2
