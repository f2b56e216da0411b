"""What a training step's time goes to: python -m benchmarks.kernels PRESET [--threads N]

A few steps of the preset's network on random images under PyTorch's profiler, without augmentation and evaluation. Do
nothing else meanwhile: the profiler counts the time in which another program had the core.
"""

import argparse
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from core import machine, models, objectives, sampling, train
from core.config import RunConfig
from core.presets import PRESETS, from_preset

KINDS = {
    "convolution": ("convolution",),
    "batch normalisation": ("batch_norm",),
    "ReLU": ("clamp_min", "threshold_backward", "relu"),
    "concatenation": ("aten::cat",),
    "optimiser": ("Optimizer.step", "_foreach", "addcdiv", "addcmul", "lerp"),
}
WARM_UP, STEPS, CLASSES = 3, 4, 10


def main() -> None:
    """Prints a line for each kind of kernel."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET")
    parser.add_argument("--threads", type=int, default=0, help="default: as the preset")
    options = parser.parse_args()
    for kind, share in shares(from_preset(options.preset, threads=options.threads)).items():
        print(f"{share:6.1%}  {kind}")


def shares(config: RunConfig) -> dict[str, float]:
    """The share of each kind of kernel in the time of a step, the largest one first; they add up to 1."""
    used = machine.choose(config)
    network = models.build(config, CLASSES).to(used.device, memory_format=torch.channels_last)
    descent = train.optimiser(network, config)
    draw = torch.Generator().manual_seed(0)
    count = 3 * config.batch_size if config.batches.endswith("triplets") else config.batch_size
    images = torch.rand(count, 1, config.image_size, config.image_size, generator=draw).to(used.device)
    labels = torch.randint(CLASSES, (count,), generator=draw).to(used.device)

    def step() -> None:
        with used.autocast():
            outputs = network(models.repeated(images, config.channels))
        loss, _ = objectives.batch_loss(outputs, labels, config, 1, sampling.generator(0))
        descent.zero_grad()
        loss.backward()
        descent.step()

    for _ in range(WARM_UP):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        for _ in range(STEPS):
            step()
    spent = Counter()
    for event in measured.key_averages():
        kind = next((kind for kind, names in KINDS.items() if any(name in event.key for name in names)), "the rest")
        spent[kind] += event.self_cpu_time_total
    return {kind: time / spent.total() for kind, time in spent.most_common()}


if __name__ == "__main__":
    main()
