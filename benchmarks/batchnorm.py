"""What the moving statistics of batch normalisation cost a run: python -m benchmarks.batchnorm RUN [--runs DIR].

A network is evaluated with means and variances that trail behind its weights. Here they are counted anew over one epoch
of the run's own training batches, with its last weights, and the run's accuracy is compared with that (arXiv:2105.07576
calls it precise batch normalisation). For runs that classify.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from core import experiment, places
from core.learning import machine, sampling
from core.learning.augment import augment
from core.learning.evaluate import LabelledImages, accuracy, embed_all
from core.networks import build
from core.runs import store
from core.settings.choices import OBJECTIVES
from core.settings.config import RunConfig


def main() -> None:
    """Prints training and test accuracy with both kinds of statistics."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batchnorm", description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN", help="id of a run, or latest")
    parser.add_argument("--runs", type=Path, default=places.runs_folder(), help="the folder of runs")
    options = parser.parse_args()
    run = store.find(options.runs, options.run)
    if not OBJECTIVES[run.config.objective].classifies:
        parser.error(f"run {run.id} learnt distances and has no class head; name one that classifies")
    images, used = store.data_of(run), machine.Machine("cpu", "float32", torch.get_num_threads())
    known, asked = (experiment.labelled(images, split) for split in (images.train, images.test))
    learnt = known.rows(~sampling.held_out(run.config, known.labels))
    network = build.build(run.config, len(images.classes)).to(memory_format=torch.channels_last)
    network.load_state_dict(store.load_checkpoint(run)["network"])
    for kind in ("moving statistics", "counted anew"):
        if kind == "counted anew":
            count_anew(network, learnt, run.config)
        shares = [
            accuracy(embed_all(network, each.images, run.config, used).logits.argmax(dim=1), each.labels)
            for each in (learnt, asked)
        ]
        print(f"{run.id}, {kind}: {shares[0]:.2%} training, {shares[1]:.2%} test accuracy")


def count_anew(network: nn.Module, images: LabelledImages, config: RunConfig) -> None:
    """Replaces the moving statistics by the mean of those of an epoch's batches; the weights stay."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean over all batches
    network.train()
    batches = sampling.batches(config, images.labels, images.class_numbers, None, epoch=1)
    with torch.no_grad():
        for step, batch in enumerate(batches, start=1):
            prepared = build.prepare(images.images[batch], 1, config.image_size)
            draw = sampling.generator(config.seed, "augment", 1, step)
            network(build.repeated(augment(prepared, config.augmentation, draw), config.channels))


if __name__ == "__main__":
    main()
