"""What a run is made of: every setting with its default, bounds, unit and help text.

This is the one place for these facts: the command line (`--set key=value`) and the form on the Train page are made
from the fields of `RunConfig`. What can be chosen among is listed in choices.py, the recipes in presets.py.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from core.settings.choices import (
    ARCHITECTURES,
    AUGMENTATIONS,
    CLASSIFIERS,
    OBJECTIVES,
    OPTIMISERS,
    PRECISIONS,
    SAMPLINGS,
    SCHEDULES,
    SELECTIONS,
    TRIPLET_SAMPLINGS,
)
from core.settings.words import nearest

SPHERE_RADIUS = 10.0  # alpha in arXiv:1703.09507: embeddings are scaled to this length, so no distance exceeds 20
MOST_STAGES = 6  # each but the first halves the side of a 32x32 image
MOST_CLASSES_A_BATCH = 16  # where the number is left open
MOST_IMAGES_FOR_ALL_TRIPLETS = 256  # two classes make 4 million triplets of them; a thousand images would fill memory
GROUPS = {"network": "Network", "objective": "Objective", "training": "Training", "run": "Prediction and machine"}


_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")


class ConfigError(ValueError):
    """A setting that cannot be used: `reason` says what to change, `setting` which one it is, if it is one."""

    def __init__(self, reason: str, setting: str = ""):
        super().__init__(f"{setting}: {reason}" if setting else reason)
        self.reason = reason
        self.setting = setting


def always(_values: dict) -> bool:
    """The condition of a setting that has an effect whatever the others are."""
    return True


def setting(default, label, help, *, group, low=None, high=None, step=1, unit="", choices=None, when=always):
    """A dataclass field that carries what a form and a command line need to know about it.

    `low` and `high` are inclusive, `step` is what a click on + adds. `when` takes the values of all settings and says
    whether this one has an effect; otherwise it is ignored and forms do not show it.
    """
    facts = {"label": label, "help": help, "group": group, "low": low, "high": high, "step": step, "unit": unit}
    return dataclasses.field(default=default, metadata=facts | {"choices": choices, "when": when})


def _only(name: str, *wanted) -> Callable[[dict], bool]:
    """The condition that the setting `name` has one of these values."""
    return lambda values: values[name] in wanted


def _of_architecture(name: str) -> Callable[[dict], bool]:
    return lambda values: name in ARCHITECTURES[values["architecture"]].settings


def sampling_of(values: dict) -> str:
    """Which images form a batch, with `auto` resolved to what the objective needs."""
    if values["sampling"] != "auto":
        return values["sampling"]
    if values["objective"] == "cross_entropy":
        return "shuffled"
    if values["objective"] == "triplet" and values["selection"] in ("auto", "drawn"):
        return "random_triplets"
    return "balanced"


def selection_of(values: dict) -> str:
    """Which triplets count, with `auto` resolved: the drawn ones where batches are triplets, else all valid ones."""
    if values["selection"] != "auto":
        return values["selection"]
    return "drawn" if sampling_of(values) in TRIPLET_SAMPLINGS else "all"


def classifier_of(values: dict) -> str:
    """How a class is predicted, with `auto` resolved: softmax if there is a class head, else kNN."""
    if values["classifier"] != "auto":
        return values["classifier"]
    return "softmax" if OBJECTIVES[values["objective"]].classifies else "knn"


def _has_triplet_loss(values: dict) -> bool:
    return OBJECTIVES[values["objective"]].triplets


def _needs_margin(values: dict) -> bool:
    used = values["triplet_loss"] == "margin" or SELECTIONS[selection_of(values)].uses_margin
    return _has_triplet_loss(values) and used


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of one run. Frozen, checked when made, and saved with the weights.

    Raises ConfigError from the constructor if a value is out of bounds or two values contradict each other.
    """

    preset: str = "custom"  # the recipe it started from; what was changed since is in the other fields

    # The network
    architecture: str = setting(
        "resnet",
        "Architecture",
        "The kind of network. Any of them can be trained with any objective.",
        group="network",
        choices={name: kind.title for name, kind in ARCHITECTURES.items()},
    )
    blocks: tuple[int, ...] = setting(
        (2, 2, 2, 2),
        "Blocks in each stage",
        "How many blocks every stage has, from the input to the output. DenseNet-52 is 2, 2, 4, 16; "
        "DenseNet-39 is 2, 5, 4, 6; ResNeXt-32 is 3, 3, 3; ResNet-18 is 2, 2, 2, 2.",
        group="network",
        low=1,
        high=64,
    )
    growth_rate: int = setting(
        12,
        "Growth rate k",
        "Feature maps that each DenseNet layer adds to those before it (k in arXiv:1608.06993).",
        group="network",
        low=2,
        high=64,
        unit="channels",
        when=_of_architecture("growth_rate"),
    )
    cardinality: int = setting(
        16,
        "Cardinality",
        "Parallel paths in each ResNeXt block: the groups of its 3x3 convolution (C in arXiv:1611.05431).",
        group="network",
        low=1,
        high=64,
        unit="paths",
        when=_of_architecture("cardinality"),
    )
    bottleneck_width: int = setting(
        8,
        "Bottleneck width",
        "Channels of each of the parallel paths in the first stage; doubled after each stage (d in arXiv:1611.05431).",
        group="network",
        low=1,
        high=64,
        unit="channels",
        when=_of_architecture("bottleneck_width"),
    )
    width: int = setting(
        64,
        "Width",
        "Channels of the first ResNet stage; doubled after each stage. 64 is ResNet-18; 16 learns much faster.",
        group="network",
        low=8,  # with fewer, oneDNN's backward pass for AVX2 processors writes beyond its memory (PyTorch 2.15)
        high=128,
        unit="channels",
        when=_of_architecture("width"),
    )
    stem_stride: int = setting(
        1,
        "Stride of the stem",
        "2 makes the first convolution of a ResNet look at every second pixel only, so that all that follows has a "
        "quarter of the work; the weights are as many.",
        group="network",
        choices={1: "1 (every pixel)", 2: "2 (every second pixel)"},
        when=_of_architecture("stem_stride"),
    )
    channels: int = setting(
        3,
        "Input channels",
        "3 repeats the grey image, as networks for colour photographs expect it; 1 feeds it once.",
        group="network",
        choices={1: "1 (grey)", 3: "3 (grey repeated)"},
    )
    image_size: int = setting(
        32,
        "Image size",
        "Side of the square that the network sees. MNIST's 28x28 pixels get a border of background in 32x32, as in "
        "the lab sheet; without it a step takes about a quarter less time, with the images shrunk to 24x24 about two "
        "fifths less.",
        group="network",
        choices={32: "32x32 pixels", 28: "28x28 pixels", 24: "24x24 pixels, shrunk"},
    )

    # What is learnt
    objective: str = setting(
        "triplet",
        "Objective",
        "Cross-entropy learns to name the class. The triplet loss learns distances: an anchor shall be closer to an "
        "image of its own class than to one of another class, by at least the margin. The supervised contrastive loss "
        "(arXiv:2004.11362) compares each image with all others of the batch at once.",
        group="objective",
        choices={name: objective.title for name, objective in OBJECTIVES.items()},
    )
    embedding_size: int = setting(
        128,
        "Embedding size",
        "Numbers that describe one image: the length of the vector between which distances are measured.",
        group="objective",
        low=2,
        high=1024,
        unit="numbers",
        when=lambda values: OBJECTIVES[values["objective"]].embeds,
    )
    sampling: str = setting(
        "auto",
        "Batch sampler",
        "Which images form a batch. Shuffled images; triplets (anchor, positive, negative) of random images, of "
        "classes that you choose, or of the pairs of classes that the last epoch confused most among the training "
        "images; or K images of each of P classes, from which triplets are formed. Automatic takes what the "
        "objective needs.",
        group="objective",
        choices=SAMPLINGS,
    )
    selection: str = setting(
        "auto",
        "Triplet mining",
        "Of the triplets that the images of a batch can form: the drawn ones; all; for each anchor the furthest "
        "positive with the closest negative (batch-hard, arXiv:1703.07737); those whose negative is further away "
        "than the positive, but by less than the margin (semi-hard, FaceNet); or for each pair a negative drawn so "
        "that all distances are equally likely (distance-weighted, arXiv:1706.07567). Automatic: the drawn ones, "
        "else all.",
        group="objective",
        choices={"auto": "Automatic"} | {name: selection.title for name, selection in SELECTIONS.items()},
        when=_has_triplet_loss,
    )
    all_first: int = setting(
        0,
        "Begin with all triplets for",
        "Epochs in which all valid triplets count before the choice above does. The hardest ones of a network that "
        "knows nothing pull all images into one point.",
        group="objective",
        low=0,
        high=1000,
        unit="epochs",
        when=lambda values: _has_triplet_loss(values) and selection_of(values) not in ("drawn", "all"),
    )
    triplets: int = setting(
        8000,
        "Triplets an epoch",
        "How many triplets (anchor, positive, negative) are drawn for one epoch; each shows three images.",
        group="objective",
        low=1,
        high=1_000_000,
        step=500,
        unit="triplets",
        when=lambda values: sampling_of(values) in TRIPLET_SAMPLINGS,
    )
    positive_classes: tuple[int, ...] = setting(
        (),
        "Classes of the positives",
        "Anchors and positives come from these classes (their numbers, e.g. 4 or 3, 5).",
        group="objective",
        low=-999_999_999,
        high=999_999_999,
        when=_only("sampling", "chosen_triplets"),
    )
    negative_classes: tuple[int, ...] = setting(
        (),
        "Classes of the negatives",
        "Negatives come from these classes (their numbers, e.g. 9 or 8, 9).",
        group="objective",
        low=-999_999_999,
        high=999_999_999,
        when=_only("sampling", "chosen_triplets"),
    )
    chosen_share: float = setting(
        1.0,
        "Share of such triplets",
        "Fraction of the triplets that come from the chosen or confused classes; the others are random, so that the "
        "other classes are not forgotten.",
        group="objective",
        low=0.0,
        high=1.0,
        step=0.1,
        when=_only("sampling", "chosen_triplets", "confused_triplets"),
    )
    classes_per_batch: int = setting(
        0,
        "Classes in a batch P",
        f"Different classes in one batch; 0 takes all of them, but at most {MOST_CLASSES_A_BATCH}.",
        group="objective",
        low=0,
        high=256,
        unit="classes",
        when=lambda values: sampling_of(values) == "balanced",
    )
    images_per_class: int = setting(
        8,
        "Images of each class K",
        "Different images of each class in one batch; all of a class that has fewer.",
        group="objective",
        low=2,
        high=256,
        unit="images",
        when=lambda values: sampling_of(values) == "balanced",
    )
    triplet_loss: str = setting(
        "margin",
        "Loss of a triplet",
        "Margin: max(0, d(a, p) - d(a, n) + margin), which lets go of a triplet once it is right by the margin. Soft "
        "margin: ln(1 + exp(d(a, p) - d(a, n))), which never lets go completely.",
        group="objective",
        choices={"margin": "Margin", "soft_margin": "Soft margin"},
        when=_has_triplet_loss,
    )
    margin: float = setting(
        2.0,
        "Margin",
        "How much further away than the positive the negative has to be. Embeddings lie on a sphere of radius 10, "
        "so distances run from 0 to 20; 2.0 here is 0.2 on the unit sphere.",
        group="objective",
        low=0.0,
        high=20.0,
        step=0.5,
        unit="distance",
        when=_needs_margin,
    )
    triplet_mean: str = setting(
        "all",
        "Mean over",
        "All triplets: the steps become small when most triplets are right, which calms the end of the training. "
        "Active ones: only triplets with a loss above zero count, so that the few wrong ones are not drowned by the "
        "many right ones.",
        group="objective",
        choices={"all": "All triplets", "active": "Active triplets"},
        when=lambda values: _has_triplet_loss(values) and values["triplet_loss"] == "margin",
    )
    triplet_weight: float = setting(
        0.5,
        "Weight of the triplet loss",
        "The sum is cross-entropy + this weight x triplet loss.",
        group="objective",
        low=0.0,
        high=100.0,
        step=0.1,
        when=_only("objective", "cross_entropy_triplet"),
    )
    temperature: float = setting(
        0.1,
        "Temperature",
        "Divides the cosines before they are compared (tau in arXiv:2004.11362); a small one looks at near images "
        "only.",
        group="objective",
        low=0.01,
        high=10.0,
        step=0.05,
        when=_only("objective", "supervised_contrastive"),
    )
    label_smoothing: float = setting(
        0.0,
        "Label smoothing",
        "Share of the target probability that is spread evenly over all classes, so that the network is not driven to "
        "certainty.",
        group="objective",
        low=0.0,
        high=0.9,
        step=0.05,
        when=lambda values: OBJECTIVES[values["objective"]].classifies,
    )

    # Training
    epochs: int = setting(
        5,
        "Epochs",
        "How many times the training goes through its images (or its triplets).",
        group="training",
        low=1,
        high=1000,
        unit="epochs",
    )
    batch_size: int = setting(
        16,
        "Batch size",
        "What one step looks at: images, or triplets (three images each) if batches are triplets.",
        group="training",
        low=1,
        high=1024,
        unit="images or triplets",
        when=lambda values: sampling_of(values) != "balanced",
    )
    optimiser: str = setting(
        "sgd",
        "Optimiser",
        "How a gradient becomes a step. AdamW (arXiv:1711.05101) scales the step of every weight by the recent size of "
        "its gradients and wants a much smaller learning rate, around 0.001.",
        group="training",
        choices=OPTIMISERS,
    )
    learning_rate: float = setting(
        0.008,
        "Learning rate",
        "Length of a step of gradient descent, at its longest.",
        group="training",
        low=1e-6,
        high=10.0,
        step=0.001,
    )
    schedule: str = setting(
        "step",
        "Schedule",
        "Steps: divided at regular intervals. Cosine: falls to zero along half a wave. One cycle (arXiv:1708.07120): "
        "rises for the first 30 % of the training, then falls to zero.",
        group="training",
        choices=SCHEDULES,
    )
    warm_up: float = setting(
        0.0,
        "Warm-up",
        "Epochs in which the learning rate rises from 4 % of its length to all of it.",
        group="training",
        low=0.0,
        high=100.0,
        step=0.5,
        unit="epochs",
        when=_only("schedule", "step", "cosine"),
    )
    decay_factor: float = setting(
        3.0,
        "Divide the learning rate by",
        "The learning rate is divided by this number at regular intervals; 1 keeps it.",
        group="training",
        low=1.0,
        high=100.0,
        step=1.0,
        when=_only("schedule", "step"),
    )
    decay_every: int = setting(
        4,
        "… every",
        "Epochs after which the learning rate is divided once more.",
        group="training",
        low=1,
        high=1000,
        unit="epochs",
        when=_only("schedule", "step"),
    )
    momentum: float = setting(
        0.9,
        "Momentum",
        "Share of the previous step that is kept in the next one (stochastic gradient descent with momentum).",
        group="training",
        low=0.0,
        high=0.999,
        step=0.05,
        when=_only("optimiser", "sgd"),
    )
    weight_decay: float = setting(
        0.0,
        "Weight decay",
        "Pulls every weight towards zero, against overfitting.",
        group="training",
        low=0.0,
        high=1.0,
        step=0.0001,
    )
    weight_average: float = setting(
        0.0,
        "Weight averaging",
        "The network that predicts has the moving average of the weights; this is the share of the old average that is "
        "kept at each step, e.g. 0.99, and less of it in the first steps. 0 switches it off.",
        group="training",
        low=0.0,
        high=0.9999,
        step=0.01,
    )
    norm_momentum: float = setting(
        0.1,
        "Momentum of batch normalisation",
        "Weight of a new batch in the running mean and variance that are used for prediction. Short runs want more.",
        group="training",
        low=0.001,
        high=1.0,
        step=0.1,
    )
    augmentation: str = setting(
        "none",
        "Augmentation",
        "Random changes to the training images, new in every epoch. Test images are never changed. (The flip is the "
        "lab sheet's recipe; hardly a digit looks the same in a mirror. Turns and bends keep a digit readable.)",
        group="training",
        choices=AUGMENTATIONS,
    )
    validation_share: float = setting(
        0.0,
        "Validation share",
        "Fraction of the training images of every class that is kept from learning and tells how well the network "
        "does on images it has not seen. Settings are chosen with these, not with the test images. 0 learns from all.",
        group="training",
        low=0.0,
        high=0.95,
        step=0.1,
    )
    patience: int = setting(
        0,
        "Stop early after",
        "Epochs without a better validation accuracy after which the training ends; 0 never ends early.",
        group="training",
        low=0,
        high=1000,
        unit="epochs",
        when=lambda values: values["validation_share"] > 0,
    )

    # Prediction and the machine
    classifier: str = setting(
        "auto",
        "Prediction",
        "Softmax reads the class head. The others compare embeddings with those of the training images: a vote of "
        "the k nearest; the nearest representative, which is the training image closest to its class's mean; or the "
        "nearest mean. Automatic: softmax if there is a class head, otherwise the k nearest.",
        group="run",
        choices={"auto": "Automatic"} | CLASSIFIERS,
    )
    neighbours: int = setting(
        5,
        "Neighbours k",
        "Training images that vote on the class of an image.",
        group="run",
        low=1,
        high=100_000,
        unit="images",
        when=lambda values: classifier_of(values) in ("knn", "knn_weighted"),
    )
    seed: int = setting(
        0,
        "Seed",
        "Start of every random draw. The same settings with the same seed give the same run on the same machine.",
        group="run",
        low=0,
        high=2**31 - 1,
    )
    precision: str = setting(
        "auto",
        "Precision",
        "Automatic takes bfloat16 where the processor has it in hardware, otherwise float32. What was used is kept "
        "with the run.",
        group="run",
        choices=PRECISIONS,
    )
    threads: int = setting(
        0,
        "Processor threads",
        "Threads of the training; 0 chooses: every core with float32, all but one with bfloat16. What was used is kept "
        "with the run.",
        group="run",
        low=0,
        high=64,
        unit="threads",
    )

    def __post_init__(self):
        for field in settings():
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.architecture == "densenet" and len(self.blocks) != 4:
            raise ConfigError(
                f"a DenseNet has four dense blocks, e.g. 2,2,4,16; given were {len(self.blocks)}", "blocks"
            )
        if self.batches == "shuffled" and self.batch_size < 2:
            raise ConfigError("batch normalisation needs at least 2 images in a batch; use 2 or more", "batch_size")
        if self.warm_up >= self.epochs and self.schedule != "one_cycle":  # which has a rise of its own
            raise ConfigError(
                f"{self.warm_up:g} epochs of warm-up in a training of {self.epochs} only ever raise the learning rate; "
                f"use less than {self.epochs}",
                "warm_up",
            )
        if self.batches == "shuffled" and self.batch_size < 3 and OBJECTIVES[self.objective].compares:
            raise ConfigError(
                "two shuffled images are hardly ever a pair with something to compare it with, and the loss "
                "stays at 0; use 3 or more, better 30",
                "batch_size",
            )
        if self.predicts == "softmax" and not OBJECTIVES[self.objective].classifies:
            raise ConfigError("softmax needs a class head; use knn or centre, or another objective", "classifier")
        if self.batches == "balanced" and self.classes_per_batch == 1 and OBJECTIVES[self.objective].compares:
            raise ConfigError("a batch of one class has no negatives; use 2 or more, or 0 for all", "classes_per_batch")
        if OBJECTIVES[self.objective].triplets:
            self._check_selection()
        if self.batches == "chosen_triplets":
            self._check_chosen()

    def _check_selection(self):
        if self.counted == "semi_hard" and self.margin == 0:
            raise ConfigError("without one no triplet is semi-hard, and nothing is learnt; use more than 0", "margin")
        if self.counted == "drawn":
            if self.batches not in TRIPLET_SAMPLINGS:
                raise ConfigError(f"{self.batches} batches hold no drawn triplets; use all, batch_hard, …", "selection")
            return
        if self.batches == "balanced":
            images = self.classes_per_batch * self.images_per_class  # 0 until the data set is known, see check_data
        else:
            images = self.batch_size * (3 if self.batches in TRIPLET_SAMPLINGS else 1)
        _check_room(self, images)

    def _check_chosen(self):
        for name in ("positive_classes", "negative_classes"):
            if not getattr(self, name):
                raise ConfigError("name at least one class, e.g. 4", name)
        if both := sorted(set(self.positive_classes) & set(self.negative_classes)):
            raise ConfigError(
                f"{both[0]} is a positive class as well; a negative has to be of another class", "negative_classes"
            )

    @property
    def batches(self) -> str:
        """Which images form a batch: one of SAMPLINGS, `auto` resolved."""
        return sampling_of(vars(self))

    @property
    def counted(self) -> str:
        """Which triplets count: one of SELECTIONS, `auto` resolved."""
        return selection_of(vars(self))

    @property
    def predicts(self) -> str:
        """How a class is predicted: one of CLASSIFIERS, `auto` resolved."""
        return classifier_of(vars(self))

    def held_out(self, class_size: int) -> int:
        """How many of a class's training images are kept for validation."""
        return round(self.validation_share * class_size)


def settings() -> tuple[dataclasses.Field, ...]:
    """The fields of RunConfig that a user can set, in the order of forms and help."""
    return tuple(field for field in dataclasses.fields(RunConfig) if field.metadata)


def applies(field: dataclasses.Field, values: dict) -> bool:
    """Whether a setting has an effect beside the other `values`."""
    return field.metadata["when"](values)


def without_effect(config: RunConfig) -> dict[str, str]:
    """Why settings that could have an effect have none with these values, by name."""
    found = {}
    if config.patience >= config.epochs and config.validation_share:
        found["patience"] = f"a training of {config.epochs} epochs cannot go {config.patience} without a better one"
    if config.schedule == "step" and config.decay_factor > 1 and config.decay_every >= config.epochs:
        found["decay_every"] = f"the learning rate is never divided within {config.epochs} epochs"
    mines = OBJECTIVES[config.objective].triplets and config.counted not in ("drawn", "all")
    if mines and config.all_first >= config.epochs:
        found["all_first"] = f"all {config.epochs} epochs learn from all triplets, none from {config.counted} ones"
    if config.objective == "cross_entropy_triplet" and config.triplet_weight == 0:
        found["triplet_weight"] = "a triplet loss of weight 0 teaches nothing"
    if config.batches in ("chosen_triplets", "confused_triplets") and round(config.chosen_share * config.triplets) == 0:
        found["chosen_share"] = "none of the triplets comes from these classes"
    if config.batches == "chosen_triplets" and config.chosen_share == 1 and OBJECTIVES[config.objective].classifies:
        found["chosen_share"] = "classes that are not chosen are never seen; they cannot be named"
    return found


def _checked(field: dataclasses.Field, value):
    """`value` in the type of its field, or ConfigError."""
    name, facts = field.name, field.metadata
    if facts["choices"]:
        if type(value) is not field.type or value not in facts["choices"]:  # True and 3.0 equal a choice, but are none
            raise ConfigError(f"{value!r} is not one of {', '.join(map(str, facts['choices']))}", name)
        return value
    if field.type == tuple[int, ...]:
        empty_is_bad = bool(field.default)
        if (
            not isinstance(value, list | tuple)
            or (empty_is_bad and not value)
            or any(type(i) is not int for i in value)
        ):
            raise ConfigError(f"{value!r} is not a list of whole numbers, e.g. 2,2,4,16", name)
        if name == "blocks" and len(value) > MOST_STAGES:
            raise ConfigError(f"{len(value)} stages shrink an image to nothing; use at most {MOST_STAGES}", name)
        for item in value:
            _check_bounds(field, item)
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        raise ConfigError(f"{value!r} is not a number", name)
    if field.type is int and value != int(value):
        raise ConfigError(f"{value!r} is not a whole number", name)
    _check_bounds(field, value)
    return field.type(value)


def _check_bounds(field: dataclasses.Field, value: float):
    low, high = field.metadata["low"], field.metadata["high"]
    if not low <= value <= high:
        raise ConfigError(f"{value} is out of bounds; use {low} to {high}", field.name)


def classes_a_batch(config: RunConfig, class_count: int) -> int:
    """The P of balanced batches of a set with so many classes."""
    return config.classes_per_batch or min(class_count, MOST_CLASSES_A_BATCH)


def _check_room(config: RunConfig, images: int) -> None:
    """Raises ConfigError if the triplets of a batch of so many images take too much memory."""
    through_all = SELECTIONS[config.counted].goes_through_all or config.all_first
    if through_all and images > MOST_IMAGES_FOR_ALL_TRIPLETS:
        raise ConfigError(
            f"all triplets of {images} images do not fit into memory; use batches of at most "
            f"{MOST_IMAGES_FOR_ALL_TRIPLETS} images, or batch_hard without all_first",
            "selection",
        )


def check_data(config: RunConfig, class_sizes: dict[int, int]) -> None:
    """Raises ConfigError if the settings ask more than a training set can give.

    `class_sizes` counts the training images of each class by its number in the CSV.
    """
    sizes = {number: size - config.held_out(size) for number, size in class_sizes.items()}
    if config.validation_share and sizes == class_sizes:
        raise ConfigError("that is not one image of any class; use a larger share, or 0", "validation_share")
    if min(sizes.values()) < 1:
        raise ConfigError("no image of some class would be left to learn from; use a smaller share", "validation_share")
    count = sum(sizes.values())
    if count < 2:
        raise ConfigError("the set has a single image to learn from, and a batch needs two; add images", "batch_size")
    if config.predicts in ("knn", "knn_weighted") and config.neighbours >= count:
        besides = " besides those for validation" * bool(config.validation_share)
        raise ConfigError(f"the set has {count} training images{besides}; use fewer than that", "neighbours")
    compares = OBJECTIVES[config.objective].compares or config.batches in TRIPLET_SAMPLINGS
    if compares and (len(sizes) < 2 or max(sizes.values()) < 2):
        raise ConfigError(
            "objective and sampling: triplets need at least two classes, one of them with two training images"
        )
    if config.batches == "balanced":
        if OBJECTIVES[config.objective].triplets:
            images = min(config.images_per_class, max(sizes.values()))
            _check_room(config, images * classes_a_batch(config, len(sizes)))
        if config.classes_per_batch > len(sizes):
            raise ConfigError(
                f"the set has {len(sizes)} classes; use {len(sizes)} or fewer, or 0 for all of them",
                "classes_per_batch",
            )
        if alone := [number for number, size in sizes.items() if size < 2]:
            raise ConfigError(
                f"class {alone[0]} has a single image to learn from, which cannot have a positive; "
                "add an image or use shuffled batches",
                "sampling",
            )
    if config.batches == "chosen_triplets":
        named = (*config.positive_classes, *config.negative_classes)
        if unknown := [number for number in named if number not in sizes]:
            raise ConfigError(
                f"positive_classes and negative_classes: the set has no class {unknown[0]}; "
                f"it has {', '.join(map(str, sizes))}"
            )
        if alone := [number for number in config.positive_classes if sizes[number] < 2]:
            raise ConfigError(f"class {alone[0]} has fewer than two images; choose another one", "positive_classes")


def parse_setting(text: str) -> tuple[str, object]:
    """`"key=value"` of the command line as (name, value). Raises ConfigError for an unknown key or a bad value."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"--set {text}: write key=value, e.g. --set epochs=3")
    return parse_value(name, value)


def parse_value(name: str, text: str) -> tuple[str, object]:
    """The value of the setting `name` written as text; lists are `2,2,4,16`, with or without brackets.

    Raises ConfigError for an unknown name, what cannot be read, and a value out of bounds.
    """
    fields = {field.name: field for field in settings()}
    if name not in fields:
        raise ConfigError(f"no such setting{nearest(name, fields)}", name)
    field, text = fields[name], text.strip()
    try:
        if field.type == tuple[int, ...]:
            items = text.strip("[]() ")
            value = tuple(_number(int, item) for item in items.split(",")) if items else ()
        else:
            value = text if field.type is str else _number(field.type, text)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}.get(field.type, "a list of whole numbers, e.g. 2,2,4,16")
        raise ConfigError(f"{text!r} is not {wanted}", name) from None
    return name, _checked(field, value)


def _number(kind: type, text: str) -> float:
    """A number as people write it: of the digits 0 to 9, with a decimal point or comma. Raises ValueError."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return kind(text.replace(",", ".", 1) if kind is float else text)


def written(value) -> str:
    """A setting's value as `parse_value` reads it."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def to_dict(config: RunConfig) -> dict:
    """The configuration as plain values that JSON can hold."""
    values = dataclasses.asdict(config)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def from_dict(values: dict) -> RunConfig:
    """The inverse of `to_dict`; settings that an older version did not have get their defaults.

    Raises ConfigError for an unknown key (a run of a newer version) or a bad value.
    """
    known = {field.name for field in dataclasses.fields(RunConfig)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"unknown setting {', '.join(unknown)}: written by a newer version of the lab?")
    return RunConfig(**values)
