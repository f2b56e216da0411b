"""What a training needs of memory, estimated before anything is allocated, what there is, and what to lower.

No torch at import: a page asks as well, before a run is begun.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from core.settings.choices import ARCHITECTURES
from core.settings.config import RunConfig, label
from core.settings.setting import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.learning.machine import Machine

_NUMBER = 4  # bytes: weights, gradients and the optimiser's state are float32
_BESIDES = 200_000_000  # bytes of the libraries' work space (measured: quick, facenet and densenet52 fit within 15 %)
_MODEST = 3_000_000_000  # bytes free with which networks no larger than the lab sheet's need not be measured
_CGROUP = Path("/sys/fs/cgroup")  # the limit of a container
# What torch's allocators, and those of the libraries below it, say on the systems there are
_EXHAUSTED = re.compile(
    "can't allocate memory|not enough memory|out of memory|bad_?alloc|could not create a memory object|ENOMEM", re.I
)


class OutOfMemory(RuntimeError):
    """A training that the system gave no more memory; the message says what to lower."""


def needed(config: RunConfig, class_count: int, precision: str, room: int) -> tuple[int, int]:
    """How many parameters the network has, and the bytes that a training takes; `room` is what there is.

    The weights, their gradients, the optimiser's state and the moving average; and for a batch what the backward pass
    needs of the forward pass, and the largest of it a second time as a gradient: left out where the weights alone
    leave no room. Nothing is allocated: the network is on torch's device "meta", where tensors have shapes only.
    """
    import torch

    from core.networks import build

    with torch.device("meta"):
        network = build.build(config, class_count).train()
        images = torch.zeros(config.images_a_batch(class_count), config.channels, *[config.image_size] * 2)
    parameters = sum(weights.numel() for weights in network.parameters())
    state = 2 if config.optimiser == "adamw" else int(config.momentum > 0)
    for_weights = parameters * (2 + state + (config.weight_average > 0)) * _NUMBER + _BESIDES
    if for_weights > room:
        return parameters, for_weights
    kept = _kept(network, images)
    return parameters, for_weights + (sum(kept) + max(kept)) * (2 if precision == "bfloat16" else _NUMBER)


def modest(config: RunConfig, class_count: int) -> bool:
    """Whether the network and its batches are no larger than the lab sheet's, which need less than 3 GB."""
    sizes = (config.growth_rate <= 12, config.cardinality * config.bottleneck_width <= 128, config.width <= 64)
    return all(sizes) and sum(config.blocks) <= 24 and config.images_a_batch(class_count) <= 64


def _kept(network: "nn.Module", images: "Tensor") -> list[int]:
    """The sizes, in numbers, of the tensors that are kept for the backward pass, each once, the weights left out."""
    import torch

    own = {weights.untyped_storage()._cdata for weights in network.parameters()}
    found: dict[int, Tensor] = {}

    def keep(tensor: "Tensor") -> "Tensor":
        if tensor.untyped_storage()._cdata not in own:
            found[tensor.untyped_storage()._cdata] = tensor  # the tensor as well, or its place could be used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(images)
    del outputs
    return [tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in found.values()]


def free(device: str) -> int:
    """Bytes that a training can have: on a processor what the machine and its container have left."""
    if device != "cpu":
        import torch

        return torch.cuda.mem_get_info()[0]
    found = [psutil.virtual_memory().available]
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        cache = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        found.append(limit - used + int(cache.get("inactive_file", 0)))
    return min(found)


def check(config: RunConfig, class_count: int, machine: "Machine | None" = None) -> None:
    """Raises ConfigError, with what to lower, if a training needs more memory than there is.

    Without a `machine` it is the one that the settings choose here, and torch is loaded only for networks that have to
    be measured.
    """
    if modest(config, class_count) and free(machine.device if machine else "cpu") >= _MODEST:
        return  # the first estimate of a process takes a second or two
    if machine is None:
        from core.learning.machine import planned

        machine = planned(config)
    room = free(machine.device)
    parameters, wanted = needed(config, class_count, machine.precision, room)
    if wanted <= room:
        return
    raise ConfigError(
        f"{parameters:,} parameters and batches of {config.images_a_batch(class_count):,} images need at least "
        f"{wanted / 1e9:,.1f} GB of memory, and {room / 1e9:,.1f} GB are free; lower {to_lower(config)}",
        "blocks",
    )


def to_lower(config: RunConfig) -> str:
    """The settings that make a training smaller, by their labels, e.g. “Width” or “Batch size”."""
    own = ARCHITECTURES[config.architecture].settings
    names = ["blocks", *(name for name in ("width", "growth_rate", "cardinality", "bottleneck_width") if name in own)]
    batch = "images_per_class" if config.batches == "balanced" else "batch_size"
    return f"{', '.join(f'“{label(name)}”' for name in names)} or “{label(batch)}”"


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says that the system gave no more memory."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_EXHAUSTED.search(str(error))))


def names_lack_of_memory(run: Callable[..., Iterator]) -> Callable[..., Iterator]:
    """Decorates a generator over a run, whose writer is its first argument: it raises OutOfMemory for what means so."""

    @functools.wraps(run)
    def named(writer, *arguments, **options):
        try:
            yield from run(writer, *arguments, **options)
        except Exception as error:
            if not lacks_memory(error) or isinstance(error, OutOfMemory):
                raise
            raise OutOfMemory(
                f"out of memory: close other programs and resume the run, or begin anew with a lower "
                f"{to_lower(writer.record.config)}"
            ) from error

    return named
