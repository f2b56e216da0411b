"""Whether an imported run's weights give the numbers that it states: measured where its images are known."""

import numpy as np
import torch

from core import experiment
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.exchange.archives import UploadError
from core.exchange.foreign import named
from core.learning import evaluate, machine, sampling
from core.networks import build
from core.networks.build import Network
from core.runs import store
from core.runs.progress import Progress
from core.runs.store import Run
from core.settings.config import RunConfig

_MOST = 0.01  # share of images that another processor or precision may see differently; one of a few
_NEAR = 1.0  # distance, of at most 20, by which it may move an embedding

CURVES_UNCHECKED = (
    "This run was brought in. What it says of epoch {} was measured here; the curves are as the file has them."
)


def measured(run: Run, known: DataSet, judged: Network, progress: Progress, best: dict | None) -> str:
    """Checks the weights after the last and after the best epoch against what is stated; says what was checked."""

    def check_row(network: Network, row: dict) -> None:
        stored = store.embeddings_file(run, row["epoch"]).exists()  # of the last epoch it is
        check(network, run.config, known, row, store.embedded(run, row["epoch"]) if stored else None)

    last = progress.rows[-1]
    with named("last.pt"):
        check_row(judged, last)
    row = max(progress.history, key=lambda row: row["test_accuracy"], default=last)
    if best and row["epoch"] != best["epoch"]:
        raise UploadError("best.pt: not of the epoch with the best test accuracy; export the run anew")
    if not best or row is last:
        return CURVES_UNCHECKED.format(last["epoch"])
    with named("best.pt"):
        with torch.device("meta"):
            network = build.build(run.config, len(run.data.classes))
        network.to_empty(device="cpu").load_state_dict(best["network"])
        check_row(network, row)
    return CURVES_UNCHECKED.format(f"{best['epoch']} and of epoch {last['epoch']}")


def check(network: Network, config: RunConfig, images: DataSet, row: dict, stored: Embedded | None) -> None:
    """Raises UploadError unless `network` gives on `images` what the run states for one epoch.

    `row` is that of history.csv; `stored` are embeddings and predictions. Computed in float32, which is right on every
    processor.
    """
    train, test = (experiment.labelled(images, split) for split in (images.train, images.test))
    held = sampling.held_out(config, train.labels)
    used = machine.planned(config.changed(precision="float32"))
    network.to(used.device, memory_format=torch.channels_last)
    found = evaluate.evaluate(network, train, held, test, config, used)
    network.to("cpu", memory_format=torch.contiguous_format)
    most = max(_MOST, 1.01 / len(test.labels))
    for name, images_of in (("test", "test"), ("train", "training"), ("validation", "validation")):
        stated, measured = row.get(f"{name}_accuracy"), getattr(found, f"{name}_accuracy")
        if (stated is None) != (measured is None) or (stated is not None and abs(stated - measured) > most):
            shares = [f"{100 * share:.1f} %" if share is not None else "none" for share in (measured, stated)]
            raise UploadError(
                f"these weights classify {shares[0]} of the {images_of} images correctly, not {shares[1]}, as the run "
                f"says of epoch {row['epoch']}; export the run anew"
            )
    if stored is None:
        return
    other = np.mean(found.test_prediction.labels.numpy() != stored.predicted)
    moved = [
        np.linalg.norm(measured.numpy() - kept, axis=1) > _NEAR
        for measured, kept in ((found.train_embeddings, stored.train), (found.test_embeddings, stored.test))
    ]
    if other > most or np.concatenate(moved).mean() > _MOST:
        raise UploadError(f"other predictions or embeddings of epoch {row['epoch']} than these weights give")
