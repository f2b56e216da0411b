"""The settings of prediction and of the machine."""

from functools import partial
from typing import Annotated

from core.settings.choices import CLASSIFIERS, PRECISIONS
from core.settings.resolved import classifier_of
from core.settings.setting import Setting
from core.settings.training import TrainingSettings

_setting = partial(Setting, group="run")


class PredictionSettings(TrainingSettings):
    """How classes are predicted, and what computes."""

    classifier: Annotated[
        str,
        _setting(
            "Prediction",
            "Softmax reads the class head. The others compare embeddings with those of the training images: a vote of "
            "the k nearest; the nearest representative, which is the training image closest to its class's mean; or "
            "the nearest mean. Automatic: softmax if there is a class head, otherwise the k nearest.",
            choices={"auto": "Automatic"} | CLASSIFIERS,
            rare=True,
        ),
    ] = "auto"
    neighbours: Annotated[
        int,
        _setting(
            "Neighbours k",
            "Training images that vote on the class of an image.",
            low=1,
            high=100_000,
            unit="images",
            when=lambda values: classifier_of(values) in ("knn", "knn_weighted"),
            rare=True,
        ),
    ] = 5
    seed: Annotated[
        int,
        _setting(
            "Seed",
            "Start of every random draw. The same settings with the same seed give the same run on the same machine.",
            low=0,
            high=2**31 - 1,
            rare=True,
        ),
    ] = 0
    precision: Annotated[
        str,
        _setting(
            "Precision",
            "Automatic takes bfloat16 where the processor has it in hardware, otherwise float32. What was used is kept "
            "with the run.",
            choices=PRECISIONS,
            rare=True,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        _setting(
            "Processor threads",
            "Threads of the training; 0 chooses: every core with float32, all but one with bfloat16. What was used is "
            "kept with the run.",
            low=0,
            high=64,
            unit="threads",
            rare=True,
        ),
    ] = 0
