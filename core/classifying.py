"""The network of a run asked about single images, such as a digit that somebody drew just now.

C classes, D numbers an embedding, N training images (the gallery).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from core.analysis import classify, explain, projection
from core.analysis.neighbours import nearest
from core.dataset.loader import DataSet
from core.learning import evaluate, machine
from core.networks import build
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run


@dataclass(frozen=True)
class Answer:
    """What a run makes of one image. Labels are places among the classes, training images are named by their rows."""

    label: int  # by the run's own rule
    score: float  # a fraction: that of `label` in `scores`
    scores: np.ndarray  # (C,) fractions: probabilities of softmax, shares of the votes, or softmax over -distances
    voters: list[tuple[int, int, float]]  # the k nearest training images: row, label, distance, the nearest first
    embedding: np.ndarray  # (D,) float32

    @property
    def votes(self) -> dict[int, int]:
        """How many of the neighbours are of each class, most first."""
        return dict(Counter(label for _, label, _ in self.voters).most_common())

    def place(self, frame: np.ndarray) -> np.ndarray:
        """Where it lies on a map (N or more, 2) of the training images: at the weighted mean of its neighbours (2,)."""
        rows, _, distances = zip(*self.voters, strict=True)
        return projection.weighted_place(frame[list(rows)], np.array(distances))


class Classifier:
    """A run's network after its last epoch, with its gallery. Raises StoreError if there is none that can be read."""

    def __init__(self, run: Run, images: DataSet):
        images = store.as_learnt(run, images)
        if not run.result:
            raise StoreError(f"run {run.id} cannot classify yet: its first epoch was not finished")
        self.run, self.images = run, images
        self.network, self.machine, epoch = network_of(run, images)
        self.gallery = torch.tensor(store.embedded(run, epoch).train)
        self.labels = torch.tensor(images.train.labels)

    @property
    def most_neighbours(self) -> int:
        """The largest k."""
        return len(self.gallery)

    def classify(self, pixels: np.ndarray, k: int | None = None) -> list[Answer]:
        """What the run makes of images (B, H, W) uint8; k is that of kNN and of the neighbours, by default the run's.

        Raises StoreError if there are fewer than k training images.
        """
        config = self.run.config
        k = k or config.neighbours
        if k > self.most_neighbours:
            raise StoreError(f"{k} neighbours: there are only {self.most_neighbours} training images")
        outputs = evaluate.embed_all(self.network, torch.from_numpy(pixels.copy()), config, self.machine)
        said = classify.predict(config.predicts, outputs, self.gallery, self.labels, k)
        scores = classify.scores_by_class(config.predicts, outputs, self.gallery, self.labels, k)
        scores = torch.nn.functional.pad(scores, (0, len(self.images.classes) - scores.shape[1]))
        distances, rows = nearest(outputs.embeddings, self.gallery, k)
        return [
            Answer(
                label=int(said.labels[each]),
                score=float(said.scores[each]),
                scores=scores[each].numpy(),
                voters=list(zip(rows[each].tolist(), self.labels[rows[each]].tolist(), distances[each].tolist(),
                                strict=True)),
                embedding=outputs.embeddings[each].numpy(),
            )
            for each in range(len(pixels))
        ]  # fmt: skip

    def why(self, answer: Answer, true: int) -> explain.Why:
        """Why the image was called what it was, if it is of the class `true`; see core/analysis/explain.py."""
        return explain.why(
            answer.embedding,
            self.gallery.numpy(),
            self.images.train.labels,
            true,
            len(answer.voters),
            own_rule=self.run.config.predicts,
            stored=answer.label,
            own_k=len(answer.voters),
        )


def network_of(run: Run, images: DataSet) -> tuple[build.Network, machine.Machine, int]:
    """A run's network with its last weights, what it is computed on, and the epoch of the weights.

    Raises StoreError if the weights cannot be read or are those of another network.
    """
    config = run.config
    checkpoint = store.load_checkpoint(run)
    used = machine.choose(config.changed(precision=run.machine.precision))  # like the stored gallery
    network = build.build(config, len(images.classes))
    try:
        network.load_state_dict(checkpoint["network"])
        epoch = checkpoint["epoch"]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise StoreError(f"{run.folder / 'last.pt'} does not fit the run's settings; train the run again") from error
    network.to(used.device, memory_format=torch.channels_last)
    return network, machine.trusted(used, network, torch.tensor(images.train.images), config), epoch


def to_json(answer: Answer, images: DataSet) -> dict:
    """An answer as `python -m core classify --json` prints it: classes as their integers, images as their ids."""
    numbers, ids = images.class_numbers, images.train.ids
    return {
        "class": numbers[answer.label],
        "score": answer.score,
        "scores": {str(number): float(score) for number, score in zip(numbers, answer.scores, strict=True)},
        "votes": {str(numbers[label]): count for label, count in answer.votes.items()},
        "neighbours": [
            {"id": ids[row], "class": numbers[label], "distance": distance} for row, label, distance in answer.voters
        ],
    }
