"""What can be chosen among: architectures, objectives, batches, triplets that count, and the rest.

A new architecture or selection rule is a new file and one line here. No torch in this file: what a choice needs is
named by a text such as "core.networks.densenet:DenseNet" and imported when it is used.
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


ARCHITECTURES = {
    "densenet": Architecture("DenseNet", "core.networks.densenet:DenseNet", (2, 2, 4, 16), ("growth_rate",)),
    "resnext": Architecture("ResNeXt", "core.networks.resnext:ResNeXt", (3, 3, 3), ("cardinality", "bottleneck_width")),
    "resnet": Architecture(
        "ResNet (FaceNet embedder)", "core.networks.resnet:ResNet", (2, 2, 2, 2), ("width", "stem_stride")
    ),
}


@dataclass(frozen=True)
class Objective:
    """What is minimised, and which heads the network needs for it."""

    title: str
    classifies: bool  # needs a fully connected layer to the classes
    embeds: bool  # needs one to an embedding; without it the features are the embedding
    triplets: bool  # has a triplet loss in it
    compares: bool = True  # needs images of the same and of other classes in a batch


OBJECTIVES = {
    "cross_entropy": Objective("Cross-entropy (classification)", True, False, False, compares=False),
    "triplet": Objective("Triplet loss (metric learning)", False, True, True),
    "supervised_contrastive": Objective("Supervised contrastive loss (metric learning)", False, True, False),
    "cross_entropy_triplet": Objective("Cross-entropy plus triplet loss", True, True, True),
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
