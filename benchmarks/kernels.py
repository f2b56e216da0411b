"""What a training step's time goes to: python -m benchmarks.kernels PRESET [--threads N] [--compile]

A few steps of the preset's network on random images under PyTorch's profiler, without augmentation and evaluation. Do
nothing else meanwhile: the profiler counts the time in which another program had the core. `--compile` then says what
torch.compile, which merges the kernels and needs a C++ compiler, would gain and what it costs.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from core.learning import machine, objectives, sampling
from core.learning.training import optimiser
from core.networks import build
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset

KINDS = {
    "convolution": ("convolution",),
    "batch normalisation": ("batch_norm",),
    "ReLU": ("clamp_min", "threshold_backward", "relu"),
    "concatenation": ("aten::cat",),
    "optimiser": ("Optimizer.step", "_foreach", "_fused", "addcdiv", "addcmul", "lerp"),
}
WARM_UP, STEPS, CLASSES = 3, 4, 10
TIMED = 9  # steps


def main() -> None:
    """Prints a line for each kind of kernel."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET")
    parser.add_argument("--threads", type=int, default=0, help="default: as the preset")
    parser.add_argument("--compile", action="store_true", help="compare with the compiled network as well")
    options = parser.parse_args()
    config = from_preset(options.preset, threads=options.threads)
    for kind, share in shares(config).items():
        print(f"{share:6.1%}  {kind}")
    if options.compile:
        eager = speed(step := stepper(config), images_of(config))
        begun = time.perf_counter()
        (compiled_step := stepper(config, compiled=True))()
        seconds = time.perf_counter() - begun
        compiled, again = speed(compiled_step, images_of(config)), speed(step, images_of(config))
        print(f"{eager:.0f} and {again:.0f} images/s; compiled, which took {seconds:.0f} s, {compiled:.0f}")


def images_of(config: RunConfig) -> int:
    """How many images a step learns from."""
    return config.images_a_batch(class_count=10)


def stepper(config: RunConfig, compiled: bool = False) -> Callable[[], None]:
    """A function that makes a training step, always on the same random images."""
    used = machine.choose(config)
    network = build.build(config, CLASSES).to(used.device, memory_format=torch.channels_last)
    descent = optimiser(network, config)
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(images_of(config), 1, config.image_size, config.image_size, generator=draw).to(used.device)
    labels = torch.randint(CLASSES, (len(images),), generator=draw).to(used.device)
    forward = torch.compile(network) if compiled else network

    def step() -> None:
        with used.autocast():
            outputs = forward(build.repeated(images, config.channels))
        loss, _ = objectives.batch_loss(outputs, labels, config, 1, sampling.generator(0))
        descent.zero_grad()
        loss.backward()
        descent.step()

    return step


def shares(config: RunConfig) -> dict[str, float]:
    """The share of each kind of kernel in the time of a step, the largest one first; they add up to 1."""
    step = stepper(config)
    for _ in range(WARM_UP):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        for _ in range(STEPS):
            step()
    spent = Counter()
    for event in measured.key_averages():
        kind = next((kind for kind, names in KINDS.items() if any(name in event.key for name in names)), "the rest")
        spent[kind] += event.self_cpu_time_total
    return {kind: microseconds / spent.total() for kind, microseconds in spent.most_common()}


def speed(step: Callable[[], None], images: int) -> float:
    """Images a second, by the median of some steps."""
    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    return images / statistics.median(seconds)


if __name__ == "__main__":
    main()
