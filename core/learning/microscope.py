"""A look at the latest step of a training that changes nothing: its hardest, median and some random triplets.

Of a run without triplets, the images with the highest loss.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.learning import objectives, sampling, triplets
from core.learning.machine import Machine
from core.learning.objectives import triplet
from core.learning.specimens import Specimens
from core.networks.build import Network, Outputs, repeated
from core.settings.config import RunConfig

_HARDEST, _RANDOM, _IMAGES = 2, 3, 6  # how many are looked at


class Seen(NamedTuple):
    """A step before it changes the weights: B images."""

    epoch: int
    step: int
    batch: Tensor  # (B,) places in the images learnt from
    images: Tensor  # (B, 1, S, S) as the network saw them
    labels: Tensor  # (B,)
    outputs: Outputs  # without a gradient
    loss: float

    @classmethod
    def of(cls, epoch: int, step: int, batch: Tensor, images: Tensor, labels: Tensor, outputs: Outputs, loss: Tensor):
        """The same from what the loop has, whose gradients are not kept."""
        logits = None if outputs.logits is None else outputs.logits.detach()
        return cls(epoch, step, batch, images, labels, Outputs(outputs.embeddings.detach(), logits), loss.detach())


class _Measured(NamedTuple):
    """Specimens before or after the step."""

    losses: Tensor  # (S,)
    measures: Tensor  # (S, 2)
    predicted: Tensor  # (S,)
    batch_loss: float


class Microscope:
    """Remembers the latest step. `rows` are the training images that the images learnt from stand for."""

    def __init__(self, config: RunConfig, machine: Machine, rows: np.ndarray):
        self._config, self._machine, self._rows = config, machine, rows
        self._seen: Seen | None = None

    def look(self, seen: Seen) -> None:
        """Takes a step; nothing is computed until somebody asks."""
        self._seen = seen

    def specimens(self, network: Network | None = None) -> Specimens | None:
        """Some triplets or images of the latest step; with `network`, as it is after the step, also what changed.

        None before the first step. The network is copied: its running statistics stay as they are.
        """
        if self._seen is None:
            return None
        seen, config = self._seen, self._config
        with torch.no_grad():
            pick = _pick_triplets if config.learns.triplets else _pick_images
            places, roles = pick(seen, config)  # (S, M)
            before = _measured(seen, seen.outputs, places, config)
            after = _measured(seen, self._again(network), places, config) if network else _nothing(len(places))
        pixels = ((seen.images[places, 0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        losses, measures, predicted = (
            torch.stack([first, second]).cpu().numpy() for first, second in zip(before[:3], after[:3], strict=True)
        )
        return Specimens(
            epoch=seen.epoch,
            step=seen.step,
            roles=np.array(roles, dtype="U12"),
            images=self._rows[seen.batch.cpu().numpy()][places.cpu().numpy()],
            pixels=pixels.cpu().numpy(),
            losses=losses.astype(np.float32),
            measures=measures.astype(np.float32),
            predicted=predicted.astype(np.int64),
            batch_loss=np.array([before.batch_loss, after.batch_loss], dtype=np.float32),
        )

    def _again(self, network: Network) -> Outputs:
        """What a network makes of the step's batch; a copy in training mode, so that nothing of it changes."""
        with self._machine.autocast():
            return copy.deepcopy(network).train()(repeated(self._seen.images, self._config.channels))


def _pick_triplets(seen: Seen, config: RunConfig) -> tuple[Tensor, list[str]]:
    """Places in the batch (S, 3) of the hardest mined triplets, the median one and some random ones."""
    draw = sampling.generator(config.seed, "select", seen.epoch, seen.step)
    pairs = triplets.pairs_of(seen.labels, seen.batch)
    _, mined = triplet.mined(seen.outputs.embeddings, pairs, config, seen.epoch, draw)
    found = torch.stack(mined, dim=1)  # (T, 3)
    if not len(found):
        return found, []
    to_positive, to_negative = _distances(seen.outputs, found).unbind(dim=1)
    order = (to_negative - to_positive).argsort(stable=True)  # the hardest first
    hardest = order[:_HARDEST].tolist()
    median = order[len(order) // 2].item()
    draw = sampling.generator(config.seed, "microscope", seen.epoch, seen.step)
    roles = dict.fromkeys(hardest, "hardest") | ({median: "median"} if median not in hardest else {})
    for place in torch.randint(len(found), (8 * _RANDOM,), generator=draw).tolist():
        if place not in roles and list(roles.values()).count("random") < _RANDOM:
            roles[place] = "random"
    return found[list(roles)], list(roles.values())


def _pick_images(seen: Seen, config: RunConfig) -> tuple[Tensor, list[str]]:
    """Places in the batch (S, 1) of the images with the highest loss."""
    worst = _image_losses(seen, seen.outputs, config).argsort(descending=True, stable=True)[:_IMAGES]
    return worst[:, None], ["highest loss"] * len(worst)


def _measured(seen: Seen, outputs: Outputs, places: Tensor, config: RunConfig) -> _Measured:
    """The specimens at `places` (S, M) by what a network made of the batch."""
    draw = sampling.generator(config.seed, "select", seen.epoch, seen.step)
    loss = objectives.batch_loss(outputs, seen.labels, config, seen.epoch, draw, seen.batch)[0].item()
    if places.shape[1] == 3:
        distances = _distances(outputs, places)
        losses = triplets.losses_of(distances[:, 0] - distances[:, 1], config.margin, config.triplet_loss)
        return _Measured(losses, distances, torch.full((len(places),), -1), loss)
    which = places[:, 0]
    losses = _image_losses(seen, outputs, config)[which]
    if outputs.logits is None:
        return _Measured(losses, torch.full((len(which), 2), torch.nan), torch.full((len(which),), -1), loss)
    shares = outputs.logits.float().softmax(dim=1)[which]  # (S, C)
    highest, predicted = shares.max(dim=1)
    of_true = shares.gather(1, seen.labels[which][:, None])[:, 0]
    return _Measured(losses, torch.stack([of_true, highest], dim=1), predicted, loss)


def _nothing(count: int) -> _Measured:
    nan = torch.nan
    return _Measured(torch.full((count,), nan), torch.full((count, 2), nan), torch.full((count,), -1), nan)


def _distances(outputs: Outputs, places: Tensor) -> Tensor:
    """d(a, p) and d(a, n) of triplets (S, 3) -> (S, 2)."""
    anchors, positives, negatives = outputs.embeddings[places.T]  # (S, D) each
    return torch.stack([(anchors - positives).norm(dim=1), (anchors - negatives).norm(dim=1)], dim=1)


def _image_losses(seen: Seen, outputs: Outputs, config: RunConfig) -> Tensor:
    """The loss of every image of the batch (B,)."""
    if outputs.logits is None:
        pairs = triplets.pairs_of(seen.labels, seen.batch)
        return triplets.contrastive_losses(outputs.embeddings, pairs, config.temperature)
    return F.cross_entropy(
        outputs.logits.float(), seen.labels, label_smoothing=config.label_smoothing, reduction="none"
    )
