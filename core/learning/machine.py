"""What a run computes on: the device, the number of threads and the precision."""

import os
import platform
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.learning import memory
from core.networks import build
from core.settings.config import RunConfig

_LOOKED_AT = 8  # images that a network is tried with
_ROUNDING = 0.05  # relative; bfloat16 is off by less than 0.01


@dataclass(frozen=True)
class Machine:
    """Device, precision and threads in use; stored with the run."""

    device: str  # "cpu" or "cuda"
    precision: str  # "float32" or "bfloat16"
    threads: int

    def autocast(self) -> torch.autocast:
        """The context in which the network runs forward: matrix products and convolutions in `precision`."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")


def choose(config: RunConfig) -> Machine:
    """The machine for a run, with its number of threads set for the calling thread, and memory kept for reuse."""
    machine = planned(config)
    torch.set_num_threads(machine.threads)
    memory.keep()
    return machine


def planned(config: RunConfig) -> Machine:
    """The machine that `choose` would choose; nothing is set."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(device) else "float32"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if (share := os.environ.get("TRIPLETLAB_CORES", "")).isdecimal():  # of a worker, see core/workers.py
        cores = min(cores, max(1, int(share)))
    if precision == "bfloat16" and device == "cpu":
        # The threads of a bfloat16 convolution's backward pass wait for each other without sleeping. With a core that
        # is busy otherwise (the browser) two threads on two cores made 14 images a second, one thread 290.
        cores = max(1, cores - 1)
    return Machine(device, precision, config.threads or cores)


def _has_bfloat16(device: str) -> bool:
    """Whether bfloat16 products are made in hardware; emulated ones are slower than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def agrees(network: nn.Module, images: Tensor, used: Machine) -> bool:
    """Whether every convolution of a network gives in `used.precision` what it gives in float32, but for rounding.

    Forward and backward, with what `images` (B, channels, S, S) become before each of them. oneDNN's bfloat16 kernels
    for AMX have been wrong for some shapes without a word (oneDNN issue 5494).
    """
    if used.precision == "float32":
        return True
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, _: seen.append((layer, inputs[0])))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    training = network.training
    with torch.no_grad():
        network.eval()(images)
    network.train(training)
    for hook in hooks:
        hook.remove()
    exactly = replace(used, precision="float32")
    return all(
        (exact - fast).norm() <= _ROUNDING * exact.norm()  # not so if one is no number
        for layer, inputs in seen
        for exact, fast in zip(_convolved(layer, inputs, exactly), _convolved(layer, inputs, used), strict=True)
    )


def trusted(used: Machine, network: nn.Module, images: Tensor, config: RunConfig) -> Machine:
    """`used`, or the same in float32 if a convolution of the network comes out wrong, seen on a few of these images
    (N, H, W)."""
    few = build.prepare(images[:_LOOKED_AT].to(used.device), config.channels, config.image_size)
    return used if agrees(network, few, used) else choose(config.changed(precision="float32"))


def _convolved(layer: nn.Conv2d, inputs: Tensor, used: Machine) -> tuple[Tensor, ...]:
    """What a convolution gives, and the gradients that half its square would have."""
    inputs = inputs.clone().requires_grad_()
    with used.autocast():
        outputs = layer(inputs)
    gradients = torch.autograd.grad(outputs, (inputs, layer.weight), outputs.detach())
    return tuple(each.detach().float() for each in (outputs, *gradients))


def versions() -> dict[str, str]:
    """What is stored with a run so that a difference between two machines can be explained."""
    return {"python": platform.python_version(), "torch": torch.__version__, "processor": _processor()}


def _processor() -> str:
    """The name of what computes: the GPU if there is one."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
