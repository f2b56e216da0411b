"""What can be chosen among: architectures, objectives, batches, triplets that count, and the rest.

A new architecture, objective or selection rule is a new file and one entry here. No torch in this file: what a choice
needs is named by a text such as "core.networks.densenet:DenseNet" and imported when it is used.
"""

import pkgutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A kind of network. `make` names a class whose constructor takes blocks, channels and the named settings."""

    title: str
    make: str
    blocks: tuple[int, ...]  # unless others are given
    settings: tuple[str, ...]
    stages: tuple[int, str] | None = None  # how many numbers `blocks` has, also in words; None: any


ARCHITECTURES = {
    "densenet": Architecture(
        "DenseNet", "core.networks.densenet:DenseNet", (2, 2, 4, 16), ("growth_rate",), stages=(4, "four dense blocks")
    ),
    "resnext": Architecture("ResNeXt", "core.networks.resnext:ResNeXt", (3, 3, 3), ("cardinality", "bottleneck_width")),
    "resnet": Architecture(
        "ResNet (FaceNet embedder)", "core.networks.resnet:ResNet", (2, 2, 2, 2), ("width", "stem_stride")
    ),
}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised, and what it needs. `module` names one with the two functions of learning/objectives/."""

    title: str
    module: str
    sampling: str  # the batches that it gets unless others are chosen
    classifies: bool = False  # needs a fully connected layer to the classes
    embeds: bool = False  # needs one to an embedding; without it the features are the embedding
    triplets: bool = False  # has a triplet loss in it
    compares: bool = True  # needs images of the same and of other classes in a batch
    settings: tuple[str, ...] = ()  # that it uses, besides those of all triplet losses
    about: str = ""  # what the form and the command line say of it, in a sentence or two


OBJECTIVES = {
    "cross_entropy": Objective(
        title="Cross-entropy (classification)",
        module="core.learning.objectives.cross_entropy",
        sampling="shuffled",
        classifies=True,
        compares=False,
        settings=("label_smoothing",),
        about="Cross-entropy learns to name the class.",
    ),
    "triplet": Objective(
        title="Triplet loss (metric learning)",
        module="core.learning.objectives.triplet",
        sampling="random_triplets",
        embeds=True,
        triplets=True,
        about="The triplet loss learns distances: an anchor shall be closer to an image of its own class than to one "
        "of another class, by at least the margin.",
    ),
    "supervised_contrastive": Objective(
        title="Supervised contrastive loss (metric learning)",
        module="core.learning.objectives.supervised_contrastive",
        sampling="balanced",
        embeds=True,
        settings=("temperature",),
        about="The supervised contrastive loss (arXiv:2004.11362) compares each image with all others of the batch at "
        "once.",
    ),
    "cross_entropy_triplet": Objective(
        title="Cross-entropy plus triplet loss",
        module="core.learning.objectives.cross_entropy_triplet",
        sampling="balanced",
        classifies=True,
        embeds=True,
        triplets=True,
        settings=("label_smoothing", "triplet_weight"),
    ),
}

SAMPLINGS = {
    "auto": "Automatic",
    "shuffled": "Shuffled images",
    "random_triplets": "Random triplets",
    "chosen_triplets": "Triplets of chosen classes",
    "confused_triplets": "Triplets of the classes confused most",
    "balanced": "P classes x K images",
}
TRIPLET_SAMPLINGS = ("random_triplets", "chosen_triplets", "confused_triplets")


@dataclass(frozen=True)
class Selection:
    """Which triplets of a batch count. `rule` names a function as described in core/learning/triplets.py."""

    title: str
    rule: str
    goes_through_all: bool = False  # looks at every triplet of the batch, which takes memory
    uses_margin: bool = False  # whatever the loss


SELECTIONS = {
    "drawn": Selection("The drawn ones", "core.learning.triplets:drawn"),
    "all": Selection("All valid ones", "core.learning.triplets:all_valid", goes_through_all=True),
    "batch_hard": Selection("Batch-hard", "core.learning.triplets:batch_hard"),
    "semi_hard": Selection("Semi-hard", "core.learning.triplets:semi_hard", goes_through_all=True, uses_margin=True),
    "distance_weighted": Selection("Distance-weighted", "core.learning.triplets:distance_weighted"),
}

AUGMENTATIONS = {
    "none": "None",
    "crop_flip": "Random crop (padding 4) and horizontal flip",
    "affine": "Turn, scale, shear and shift",
    "affine_elastic": "Turn, scale, shear, shift and bend",
}
OPTIMISERS = {"sgd": "SGD with momentum", "adamw": "AdamW"}
SCHEDULES = {"step": "Steps", "cosine": "Cosine to zero", "one_cycle": "One cycle"}
CLASSIFIERS = {
    "softmax": "Softmax",
    "knn": "k nearest neighbours, a vote each",
    "knn_weighted": "k nearest neighbours, votes weighted by 1 / distance",
    "centre": "Class centre: the nearest representative",
    "nearest_mean": "The nearest class mean",
}
PRECISIONS = {"auto": "Automatic", "float32": "float32", "bfloat16": "bfloat16"}


def load(name: str):
    """The class or function that a text such as "core.networks.densenet:DenseNet" names."""
    return pkgutil.resolve_name(name)
