"""What a run is made of: all its settings, as one record.

The command line (`--set key=value`) and the form on the Train page are made from its fields, which stand in
network.py, objective.py, training.py and prediction.py. What can be chosen among is in choices.py, the recipes are in
presets.py.
"""

from dataclasses import replace
from functools import cache
from typing import Self

from pydantic import model_validator

from core.settings.choices import ARCHITECTURES, OBJECTIVES, SELECTIONS, TRIPLET_SAMPLINGS, Objective
from core.settings.objective import MOST_CLASSES_A_BATCH
from core.settings.prediction import PredictionSettings
from core.settings.resolved import classifier_of, sampling_of, selection_of
from core.settings.setting import ConfigError, Setting

SPHERE_RADIUS = 10.0  # alpha in arXiv:1703.09507: embeddings are scaled to this length, so no distance exceeds 20
MOST_IMAGES_FOR_ALL_TRIPLETS = 256  # two classes make 4 million triplets of them; a thousand images would fill memory
IMAGES_A_TRIPLET = 3  # anchor, positive, negative
GROUPS = {"network": "Network", "objective": "Objective", "training": "Training", "run": "Prediction and machine"}


class RunConfig(PredictionSettings):
    """All settings of one run. Frozen, checked when made, and saved with the weights.

    Raises ConfigError from the constructor if a value is out of bounds or two values contradict each other.
    """

    @property
    def learns(self) -> Objective:
        """What is known of its objective."""
        return OBJECTIVES[self.objective]

    @property
    def batches(self) -> str:
        """Which images form a batch: one of SAMPLINGS, `auto` resolved."""
        return sampling_of(vars(self))

    @property
    def draws_triplets(self) -> bool:
        """Whether a batch is made of triplets: `batch_size` of them, `triplets` an epoch."""
        return self.batches in TRIPLET_SAMPLINGS

    @property
    def counted(self) -> str:
        """Which triplets count: one of SELECTIONS, `auto` resolved."""
        return selection_of(vars(self))

    @property
    def predicts(self) -> str:
        """How a class is predicted: one of CLASSIFIERS, `auto` resolved."""
        return classifier_of(vars(self))

    def held_out(self, class_size: float) -> int:
        """How many of a class's training images are kept for validation."""
        return round(self.validation_share * class_size)

    def classes_a_batch(self, class_count: int) -> int:
        """The P of balanced batches of a set with so many classes."""
        return self.classes_per_batch or min(class_count, MOST_CLASSES_A_BATCH)

    def images_a_batch(self, class_count: int) -> int:
        """How many images pass through the network at once, at most."""
        if self.batches == "balanced":
            return self.classes_a_batch(class_count) * self.images_per_class
        return self.batch_size * (IMAGES_A_TRIPLET if self.draws_triplets else 1)

    def images_an_epoch(self, count: int, class_count: int, steps: int) -> int:
        """How many images pass through the network in an epoch of so many steps, an image as often as it is shown.

        `count` is how many there are to learn from.
        """
        if self.draws_triplets:
            return IMAGES_A_TRIPLET * self.triplets
        if self.batches == "balanced":
            return steps * self.images_a_batch(class_count)
        return min(count, steps * self.batch_size)  # a single image that is left over is dropped

    def check_room(self, images: int) -> None:
        """Raises ConfigError if the triplets of a batch of so many images take too much memory."""
        through_all = SELECTIONS[self.counted].goes_through_all or self.all_first
        if through_all and images > MOST_IMAGES_FOR_ALL_TRIPLETS:
            raise ConfigError(
                f"all triplets of {images} images do not fit into memory; use batches of at most "
                f"{MOST_IMAGES_FOR_ALL_TRIPLETS} images, or batch_hard without all_first",
                "selection",
            )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        network = ARCHITECTURES[self.architecture]
        if network.stages and len(self.blocks) != network.stages[0]:
            example = ",".join(map(str, network.blocks))
            raise ConfigError(
                f"a {network.title} has {network.stages[1]}, e.g. {example}; given were {len(self.blocks)}", "blocks"
            )
        self._check_training()
        if self.batches == "balanced" and self.classes_per_batch == 1 and self.learns.compares:
            raise ConfigError("a batch of one class has no negatives; use 2 or more, or 0 for all", "classes_per_batch")
        if self.learns.triplets:
            self._check_selection()
        if self.batches == "chosen_triplets":
            self._check_chosen()
        return self

    def _check_training(self) -> None:
        if self.batches == "shuffled" and self.batch_size < 2:
            raise ConfigError("batch normalisation needs at least 2 images in a batch; use 2 or more", "batch_size")
        if self.warm_up >= self.epochs and self.schedule != "one_cycle":  # which has a rise of its own
            raise ConfigError(
                f"{self.warm_up:g} epochs of warm-up in a training of {self.epochs} only ever raise the learning rate; "
                f"use less than {self.epochs}",
                "warm_up",
            )
        if self.batches == "shuffled" and self.batch_size < 3 and self.learns.compares:
            raise ConfigError(
                "two shuffled images are hardly ever a pair with something to compare it with, and the loss "
                "stays at 0; use 3 or more, better 30",
                "batch_size",
            )
        if self.predicts == "softmax" and not self.learns.classifies:
            raise ConfigError("softmax needs a class head; use knn or centre, or another objective", "classifier")

    def _check_selection(self) -> None:
        if SELECTIONS[self.counted].uses_margin and self.margin == 0:
            title = SELECTIONS[self.counted].title.lower()
            raise ConfigError(f"without one no triplet is {title}, and nothing is learnt; use more than 0", "margin")
        if self.counted == "drawn" and not self.draws_triplets:
            raise ConfigError(f"{self.batches} batches hold no drawn triplets; use all, batch_hard, …", "selection")
        if self.counted != "drawn":
            self.check_room(self.images_a_batch(0))  # of balanced ones 0 until the data set is known, see check_data

    def _check_chosen(self) -> None:
        for name in ("positive_classes", "negative_classes"):
            if not getattr(self, name):
                raise ConfigError("name at least one class, e.g. 4", name)
        if both := sorted(set(self.positive_classes) & set(self.negative_classes)):
            raise ConfigError(
                f"{both[0]} is a positive class as well; a negative has to be of another class", "negative_classes"
            )


@cache
def settings() -> tuple[Setting, ...]:
    """What a user can set, in the order of forms and help, each with the name, type and default of its field."""
    return tuple(
        replace(facts, name=name, type=field.annotation, default=field.default)
        for name, field in RunConfig.model_fields.items()
        for facts in field.metadata
        if isinstance(facts, Setting)
    )


def applies(setting: Setting, values: dict) -> bool:
    """Whether a setting has an effect beside the other `values`."""
    return setting.when(values)


def label(name: str) -> str:
    """What the form calls a setting."""
    return next(each.label for each in settings() if each.name == name)
