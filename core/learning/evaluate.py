"""How good a network is at one moment: embeddings of all images, predictions, accuracy and losses.

Q query images, N gallery images (the training images), D numbers an embedding, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from core.analysis import classify
from core.analysis.metrics import accuracy, confusion_matrix
from core.learning import objectives
from core.learning.machine import Machine
from core.networks.build import Network, Outputs, prepare
from core.settings.config import RunConfig

# On a processor their feature maps fit its cache (250 took 20 % longer); a GPU wants enough to do at each call
_IMAGES_AT_ONCE = {"cpu": 100, "cuda": 500}


BeforeBatch = Callable[[int], None]


def embed_all(
    network: Network, images: Tensor, config: RunConfig, machine: Machine, before: BeforeBatch = lambda count: None
) -> Outputs:
    """Embeddings (N, D) and logits (N, C) or None of all `images` (N, H, W), on the CPU, with the network in eval mode.

    The embeddings are rounded to float16, as the run's folder stores them, so that every distance on a page can be
    computed again from the stored files. `before` is told how many images the next batch has; what it raises ends it.
    """
    network.eval()
    # Made before the first batch: small results kept between the feature maps of two batches would tear the memory
    # into holes that no further feature map fits in (70,000 images: 4.9 GB)
    embeddings = torch.empty(len(images), network.embedding_size)
    logits = torch.empty(len(images), network.classifier.out_features) if network.classifier else None
    with torch.inference_mode():
        for rows in torch.arange(len(images)).split(_IMAGES_AT_ONCE[machine.device]):
            before(len(rows))
            with machine.autocast():
                outputs = network(prepare(images[rows].to(machine.device), config.channels, config.image_size))
            embeddings[rows] = outputs.embeddings.half().float().cpu()
            if logits is not None:
                logits[rows] = outputs.logits.float().cpu()
    return Outputs(embeddings, logits)


class LabelledImages(NamedTuple):
    """Images (N, H, W) uint8 and labels (N,) int64: places in `class_numbers`, the integers of the CSV."""

    images: Tensor
    labels: Tensor
    class_numbers: tuple[int, ...]

    def rows(self, which: Tensor) -> "LabelledImages":
        """Those of the images that `which` (N,) bool marks."""
        return LabelledImages(self.images[which], self.labels[which], self.class_numbers)


class Evaluation(NamedTuple):
    """A network on the training and on the test images, at one moment. Accuracies are fractions."""

    train_embeddings: Tensor  # (N, D) of all training images
    test_embeddings: Tensor  # (Q, D)
    test_prediction: classify.Prediction  # (Q,)
    train_accuracy: float  # of the training images that are learnt from
    train_confusion: Tensor  # (C, C) the same, counts: row = true, column = predicted
    validation_accuracy: float | None  # of the training images that are not; None if there are none
    validation_loss: float | None
    test_accuracy: float
    test_loss: float | None


def evaluate(
    network: Network,
    train: LabelledImages,
    held: Tensor,
    test: LabelledImages,
    config: RunConfig,
    machine: Machine,
    before: BeforeBatch = lambda count: None,
) -> Evaluation:
    """The network on all images by the run's own rule. `held` (N,) says which training images are for validation.

    A training image has no say on itself, as a neighbour or in the centre of its class, or all would know the answer.
    The gallery for validation images are the images learnt from, that for test images all training images.
    `before` as in `embed_all`.
    """
    known = embed_all(network, train.images, config, machine, before)
    asked = embed_all(network, test.images, config, machine, before)
    k, rule = config.neighbours, config.predicts

    learnt, learnt_labels = _rows(known, ~held), train.labels[~held]
    gallery = learnt.embeddings
    of_train = classify.predict(rule, learnt, gallery, learnt_labels, k, leave_one_out=True)
    of_test = classify.predict(rule, asked, known.embeddings, train.labels, k)
    validation_accuracy = validation_loss = None
    if held.any():
        kept, kept_labels = _rows(known, held), train.labels[held]
        of_kept = classify.predict(rule, kept, gallery, learnt_labels, k)
        validation_accuracy = accuracy(of_kept.labels, kept_labels)
        validation_loss = objectives.held_back_loss(kept, kept_labels, config)
    return Evaluation(
        train_embeddings=known.embeddings,
        test_embeddings=asked.embeddings,
        test_prediction=of_test,
        train_accuracy=accuracy(of_train.labels, learnt_labels),
        train_confusion=confusion_matrix(of_train.labels, learnt_labels, len(train.class_numbers)),
        validation_accuracy=validation_accuracy,
        validation_loss=validation_loss,
        test_accuracy=accuracy(of_test.labels, test.labels),
        test_loss=objectives.held_back_loss(asked, test.labels, config),
    )


def _rows(outputs: Outputs, which: Tensor) -> Outputs:
    return Outputs(outputs.embeddings[which], None if outputs.logits is None else outputs.logits[which])
