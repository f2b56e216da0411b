"""What a look raises ends the work of torch, and leaves torch as it was."""

import pytest
import torch
from torch import nn

from core.learning.interrupt import Interruptible


class Enough(Exception):
    pass


@pytest.mark.parametrize("after", range(12))
def test_building_ends_where_the_look_raises_and_gradients_stay_on(after):
    looks = []

    def look() -> None:
        looks.append(True)
        if len(looks) > after:
            raise Enough

    def build() -> None:
        with Interruptible(look):
            while True:
                nn.init.kaiming_normal_(nn.Conv2d(1, 2, 3).weight)

    with pytest.raises(Enough):
        build()
    assert torch.is_grad_enabled()
    assert nn.Linear(2, 2)(torch.ones(1, 2)).requires_grad


def test_the_weights_are_those_of_a_network_built_without_it():
    drawn = []
    for manager in (Interruptible(lambda: None), torch.enable_grad()):
        torch.manual_seed(3)
        with manager:
            drawn.append(nn.Conv2d(2, 4, 3).weight)
    assert torch.equal(*drawn)
