"""The settings of what is learnt: objective, batch sampler, triplet mining."""

from functools import partial
from typing import Annotated

from core.settings.choices import OBJECTIVES, SAMPLINGS, SELECTIONS, TRIPLET_SAMPLINGS
from core.settings.network import NetworkSettings
from core.settings.resolved import has_triplet_loss, needs_margin, sampling_of, selection_of
from core.settings.setting import Setting, of_objective, only

MOST_CLASSES_A_BATCH = 16  # where the number is left open

_setting = partial(Setting, group="objective")


class ObjectiveSettings(NetworkSettings):
    """What is minimised, and from which images."""

    objective: Annotated[
        str,
        _setting(
            "Objective",
            " ".join(objective.about for objective in OBJECTIVES.values() if objective.about),
            choices={name: objective.title for name, objective in OBJECTIVES.items()},
        ),
    ] = "triplet"
    embedding_size: Annotated[
        int,
        _setting(
            "Embedding size",
            "Numbers that describe one image: the length of the vector between which distances are measured.",
            low=2,
            high=1024,
            unit="numbers",
            when=lambda values: OBJECTIVES[values["objective"]].embeds,
            rare=True,
        ),
    ] = 128
    sampling: Annotated[
        str,
        _setting(
            "Batch sampler",
            "Which images form a batch. Shuffled images; triplets (anchor, positive, negative) of random images, of "
            "classes that you choose, or of the pairs of classes that the last epoch confused most among the training "
            "images; or K images of each of P classes, from which triplets are formed. Automatic takes what the "
            "objective needs.",
            choices=SAMPLINGS,
        ),
    ] = "auto"
    selection: Annotated[
        str,
        _setting(
            "Triplet mining",
            "Of the triplets that the images of a batch can form: the drawn ones; all; for each anchor the furthest "
            "positive with the closest negative (batch-hard, arXiv:1703.07737); those whose negative is further away "
            "than the positive, but by less than the margin (semi-hard, FaceNet); or for each pair a negative drawn so "
            "that all distances are equally likely (distance-weighted, arXiv:1706.07567). Automatic: the drawn ones, "
            "else all.",
            choices={"auto": "Automatic"} | {name: selection.title for name, selection in SELECTIONS.items()},
            when=has_triplet_loss,
        ),
    ] = "auto"
    all_first: Annotated[
        int,
        _setting(
            "Begin with all triplets for",
            "Epochs in which all valid triplets count before the choice above does. The hardest ones of a network that "
            "knows nothing pull all images into one point.",
            low=0,
            high=1000,
            unit="epochs",
            when=lambda values: has_triplet_loss(values) and selection_of(values) not in ("drawn", "all"),
            rare=True,
        ),
    ] = 0
    triplets: Annotated[
        int,
        _setting(
            "Triplets an epoch",
            "How many triplets (anchor, positive, negative) are drawn for one epoch; each shows three images.",
            low=1,
            high=1_000_000,
            step=500,
            unit="triplets",
            when=lambda values: sampling_of(values) in TRIPLET_SAMPLINGS,
        ),
    ] = 8000
    positive_classes: Annotated[
        tuple[int, ...],
        _setting(
            "Classes of the positives",
            "Anchors and positives come from these classes (their numbers, e.g. 4 or 3, 5).",
            low=-999_999_999,
            high=999_999_999,
            when=only("sampling", "chosen_triplets"),
        ),
    ] = ()
    negative_classes: Annotated[
        tuple[int, ...],
        _setting(
            "Classes of the negatives",
            "Negatives come from these classes (their numbers, e.g. 9 or 8, 9).",
            low=-999_999_999,
            high=999_999_999,
            when=only("sampling", "chosen_triplets"),
        ),
    ] = ()
    chosen_share: Annotated[
        float,
        _setting(
            "Share of such triplets",
            "Fraction of the triplets that come from the chosen or confused classes; the others are random, so that "
            "the other classes are not forgotten.",
            low=0.0,
            high=1.0,
            step=0.1,
            when=only("sampling", "chosen_triplets", "confused_triplets"),
        ),
    ] = 1.0
    classes_per_batch: Annotated[
        int,
        _setting(
            "Classes in a batch P",
            f"Different classes in one batch; 0 takes all of them, but at most {MOST_CLASSES_A_BATCH}.",
            low=0,
            high=256,
            unit="classes",
            when=lambda values: sampling_of(values) == "balanced",
            rare=True,
        ),
    ] = 0
    images_per_class: Annotated[
        int,
        _setting(
            "Images of each class K",
            "Different images of each class in one batch; all of a class that has fewer.",
            low=2,
            high=256,
            unit="images",
            when=lambda values: sampling_of(values) == "balanced",
        ),
    ] = 8
    triplet_loss: Annotated[
        str,
        _setting(
            "Loss of a triplet",
            "Margin: max(0, d(a, p) - d(a, n) + margin), which lets go of a triplet once it is right by the margin. "
            "Soft margin: ln(1 + exp(d(a, p) - d(a, n))), which never lets go completely.",
            choices={"margin": "Margin", "soft_margin": "Soft margin"},
            when=has_triplet_loss,
        ),
    ] = "margin"
    margin: Annotated[
        float,
        _setting(
            "Margin",
            "How much further away than the positive the negative has to be. Embeddings lie on a sphere of radius 10, "
            "so distances run from 0 to 20; 2.0 here is 0.2 on the unit sphere.",
            low=0.0,
            high=20.0,
            step=0.5,
            unit="distance",
            when=needs_margin,
        ),
    ] = 2.0
    triplet_mean: Annotated[
        str,
        _setting(
            "Mean over",
            "All triplets: the steps become small when most triplets are right, which calms the end of the training. "
            "Active ones: only triplets with a loss above zero count, so that the few wrong ones are not drowned by "
            "the many right ones.",
            choices={"all": "All triplets", "active": "Active triplets"},
            when=lambda values: has_triplet_loss(values) and values["triplet_loss"] == "margin",
            rare=True,
        ),
    ] = "all"
    triplet_weight: Annotated[
        float,
        _setting(
            "Weight of the triplet loss",
            "The sum is cross-entropy + this weight x triplet loss.",
            low=0.0,
            high=100.0,
            step=0.1,
            when=of_objective("triplet_weight"),
            rare=True,
        ),
    ] = 0.5
    temperature: Annotated[
        float,
        _setting(
            "Temperature",
            "Divides the cosines before they are compared (tau in arXiv:2004.11362); a small one looks at near images "
            "only.",
            low=0.01,
            high=10.0,
            step=0.05,
            when=of_objective("temperature"),
            rare=True,
        ),
    ] = 0.1
    label_smoothing: Annotated[
        float,
        _setting(
            "Label smoothing",
            "Share of the target probability that is spread evenly over all classes, so that the network is not "
            "driven to certainty.",
            low=0.0,
            high=0.9,
            step=0.05,
            when=of_objective("label_smoothing"),
            rare=True,
        ),
    ] = 0.0
