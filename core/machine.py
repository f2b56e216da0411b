"""What a run computes on: the device, the number of threads and the precision."""

import os
import platform
from dataclasses import dataclass

import torch

from core import memory
from core.config import RunConfig


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
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(device) else "float32"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if precision == "bfloat16" and device == "cpu":
        # The threads of a bfloat16 convolution's backward pass wait for each other without sleeping. With a core that
        # is busy otherwise (the browser) two threads on two cores made 14 images a second, one thread 290.
        cores = max(1, cores - 1)
    threads = config.threads or cores
    torch.set_num_threads(threads)
    memory.keep()
    return Machine(device, precision, threads)


def _has_bfloat16(device: str) -> bool:
    """Whether bfloat16 products are made in hardware; emulated ones are slower than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
