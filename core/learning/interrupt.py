"""Hearing a request while PyTorch is busy for long: a large network takes a minute to be built."""

from collections.abc import Callable

import torch
from torch.overrides import TorchFunctionMode


class Interruptible(TorchFunctionMode):
    """Within it `look` is called before every function of torch in this thread; what it raises ends the work there."""

    def __init__(self, look: Callable[[], None]):
        super().__init__()
        self._look = look

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function is not torch._C._set_grad_enabled:  # the end of torch.no_grad() must not be prevented
            self._look()
        return function(*arguments, **(options or {}))
