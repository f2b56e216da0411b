"""Epoch 0 of a run: what its network made of all images before the first step.

The first weights are drawn by the run's seed, so nothing has to be kept while it is trained: who wants to look at them
makes them again. What they make of the images is kept in the run's folder from then on.
"""

import torch

from core.analysis import classify
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.learning import evaluate, machine
from core.networks import build
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.store import Run


def embedded(run: Run, images: DataSet) -> Embedded:
    """Embeddings and predictions of all images as the run's evaluation would have made them before its first step.

    Raises StoreError if these are not the run's images, or nothing is known yet of the machine that trains it.
    """
    store.check_same_data(run, images)
    if not run.machine:
        raise StoreError(f"run {run.id} has not begun yet; its first weights are drawn when it does")
    config = run.config
    used = machine.choose(config.changed(precision=run.machine.precision))
    network = build.seeded(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
    train, test = (torch.tensor(split.images) for split in (images.train, images.test))
    used = machine.trusted(used, network, train, config)
    known, asked = (evaluate.embed_all(network, each, config, used) for each in (train, test))
    labels = torch.tensor(images.train.labels)
    said = classify.predict(config.predicts, asked, known.embeddings, labels, config.neighbours)
    return Embedded(*(each.numpy() for each in (known.embeddings, asked.embeddings, *said)))


def keep(run: Run, images: DataSet) -> None:
    """From now on `store.embedded(run, 0)` is there. Raises StoreError."""
    writing.save_embedded(store.embeddings_file(run, 0), embedded(run, images))
