"""What the lab adds to a training: python -m benchmarks.overhead [loop] [dashboard] [clicks] [--preset NAME]

loop: a run as `python -m core train` does it, against a plain PyTorch loop with the same settings: what the generator,
the events, the control, the diagnostics and the store cost. Both are in this process, start from the same seed and must
end with the same weights, bit for bit. The processor's time is compared as well.

dashboard and clicks: see benchmarks/live_page.py. How pairs are made: benchmarks/pairs.py. Median and range of several
pairs go to standard output as Markdown; a row a pair is added to results/overhead.csv, clicks to results/clicks.csv.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks import live_page, pairs, results
from benchmarks.pairs import Weights
from core import experiment, places
from core.dataset import loader
from core.dataset.loader import DataSet
from core.learning import evaluate, loop, machine, objectives, sampling
from core.learning.batch import prepared
from core.learning.evaluate import LabelledImages
from core.learning.events import EpochDone
from core.learning.states import Control
from core.learning.training import moving_average, optimiser
from core.networks.build import build
from core.runs import store, writing
from core.settings.config import RunConfig
from core.settings.presets import PRESETS


def plain_loop(config: RunConfig, images: DataSet) -> Iterator[Weights]:
    """What one would write without the lab, with its parts for network, batches and evaluation: the weights after each
    epoch."""
    used = machine.choose(config)
    known, asked = (
        LabelledImages(torch.tensor(split.images), torch.tensor(split.labels), images.class_numbers)
        for split in (images.train, images.test)
    )
    held = sampling.held_out(config, known.labels)
    learnt = known.rows(~held)
    labels, steps, confused = learnt.labels.to(used.device), sampling.steps_per_epoch(config, learnt.labels), None
    torch.manual_seed(config.seed)
    network = judged = build(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
    descent = optimiser(network, config)
    if config.weight_average:
        average = moving_average(network, config.weight_average)
        judged = average.module
    for epoch in range(1, config.epochs + 1):
        network.train()
        batches = sampling.batches(config, learnt.labels, learnt.class_numbers, confused, epoch)
        for step, batch in enumerate(batches, start=1):
            for group in descent.param_groups:
                group["lr"] = loop.learning_rate(config, epoch, step, steps)
            draw = sampling.generator(config.seed, "augment", epoch, step)
            inputs = prepared(learnt.images[batch], config, used.device, draw)
            with used.autocast():
                outputs = network(inputs)
            if config.objective == "cross_entropy":
                loss = F.cross_entropy(outputs.logits.float(), labels[batch], label_smoothing=config.label_smoothing)
            else:  # the triplets' losses come with their diagnostics
                draw = sampling.generator(config.seed, "select", epoch, step)
                loss, _ = objectives.batch_loss(outputs, labels[batch], config, epoch, draw)
            descent.zero_grad()
            loss.backward()
            descent.step()
            if config.weight_average:
                average.update_parameters(network)
        confused = evaluate.evaluate(judged, known, held, asked, config, used).train_confusion
        yield judged.state_dict()


def our_run(config: RunConfig, images: DataSet, control: Control = lambda: None) -> Iterator[Weights]:
    """The same as a run of the lab, in a folder of its own: nothing after each epoch, the weights in the end."""
    with tempfile.TemporaryDirectory(prefix="tripletlab-overhead-") as runs:
        with writing.create(config, images, Path(runs)) as writer:
            for event in experiment.run(writer, images, control):
                if isinstance(event, EpochDone):
                    yield {}
        yield store.load_checkpoint(store.read(writer.folder))["network"]


def measure_loop(preset: str = "quick", epochs: int | None = None, count: int = 3, folder: Path | None = None) -> dict:
    """Our run against the plain loop, in `count` pairs: see pairs.summary. `folder`: the set, by default the lab's."""
    images = loader.load(folder or places.data_folder())
    config = pairs.config_of(preset, epochs)
    for _ in our_run(config.changed(epochs=1, warm_up=0), images):  # what the first epoch of a process loads
        pass
    rows = []
    for _ in range(count):
        load = os.getloadavg()[0]
        ours, plain = pairs.in_turns(our_run(config, images), plain_loop(config, images))
        if not all(torch.equal(ours.weights[name], plain.weights[name]) for name in ours.weights | plain.weights):
            raise RuntimeError("the plain loop ends with other weights: the two are not the same training")
        row = pairs.row("loop", config, ours.seconds, plain.seconds, load)
        rows.append(row | {"processor_ratio": round(ours.processor / plain.processor, 4)})
    return pairs.summary("loop", rows)


def main() -> int:
    """Measures what was asked for and prints the table."""
    measures = {"loop": measure_loop, "dashboard": live_page.measure_dashboard}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="loop|dashboard|clicks", help="default: all")
    parser.add_argument("--preset", choices=PRESETS, default="quick", metavar="NAME", help="default: quick")
    parser.add_argument("--epochs", type=int, help=f"default: the preset's; on the page {1 + 2 * live_page.TURN}")
    parser.add_argument("--pairs", type=int, default=3, help="default: 3")
    parser.add_argument("--data", type=Path, help="the data set (default: the lab's own)")
    options = parser.parse_args()
    if wrong := set(options.what) - {*measures, "clicks"}:
        parser.error(f"there is no {min(wrong)!r}; there are loop, dashboard and clicks")
    if "clicks" in (options.what or ["clicks"]):
        results.append("clicks", [live_page.measure_clicks(options.preset, folder=options.data)])
    summaries = []
    for what in [each for each in options.what if each in measures] or ([] if options.what else measures):
        found = measures[what](options.preset, options.epochs, options.pairs, options.data)
        if found["rows"]:
            results.append("overhead", found["rows"])
        summaries.append(found)
    print(pairs.table(summaries) if summaries else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
