"""The settings of the training, of prediction and of the machine."""

from functools import partial
from typing import Annotated

from core.settings.choices import AUGMENTATIONS, OPTIMISERS, SCHEDULES
from core.settings.objective import ObjectiveSettings
from core.settings.resolved import sampling_of
from core.settings.setting import IDS, Setting, only

_setting = partial(Setting, group="training")
MOST_LEFT_OUT = 200  # images: their ids stand in the address of the form


class TrainingSettings(ObjectiveSettings):
    """How it is learnt."""

    epochs: Annotated[
        int,
        _setting(
            "Epochs",
            "How many times the training goes through its images (or its triplets).",
            low=1,
            high=1000,
            unit="epochs",
        ),
    ] = 5
    batch_size: Annotated[
        int,
        _setting(
            "Batch size",
            "What one step looks at: images, or triplets (three images each) if batches are triplets.",
            low=1,
            high=1024,
            unit="images or triplets",
            when=lambda values: sampling_of(values) != "balanced",
        ),
    ] = 16
    optimiser: Annotated[
        str,
        _setting(
            "Optimiser",
            "How a gradient becomes a step. AdamW (arXiv:1711.05101) scales the step of every weight by the recent "
            "size of its gradients and wants a much smaller learning rate, around 0.001.",
            choices=OPTIMISERS,
        ),
    ] = "sgd"
    learning_rate: Annotated[
        float,
        _setting(
            "Learning rate", "Length of a step of gradient descent, at its longest.", low=1e-6, high=10.0, step=0.001
        ),
    ] = 0.008
    schedule: Annotated[
        str,
        _setting(
            "Schedule",
            "Steps: divided at regular intervals. Cosine: falls to zero along half a wave. One cycle "
            "(arXiv:1708.07120): rises for the first 30 % of the training, then falls to zero.",
            choices=SCHEDULES,
        ),
    ] = "step"
    warm_up: Annotated[
        float,
        _setting(
            "Warm-up",
            "Epochs in which the learning rate rises from 4 % of its length to all of it.",
            low=0.0,
            high=100.0,
            step=0.5,
            unit="epochs",
            when=only("schedule", "step", "cosine"),
            rare=True,
        ),
    ] = 0.0
    decay_factor: Annotated[
        float,
        _setting(
            "Divide the learning rate by",
            "The learning rate is divided by this number at regular intervals; 1 keeps it.",
            low=1.0,
            high=100.0,
            step=1.0,
            when=only("schedule", "step"),
            rare=True,
        ),
    ] = 3.0
    decay_every: Annotated[
        int,
        _setting(
            "… every",
            "Epochs after which the learning rate is divided once more.",
            low=1,
            high=1000,
            unit="epochs",
            when=only("schedule", "step"),
            rare=True,
        ),
    ] = 4
    momentum: Annotated[
        float,
        _setting(
            "Momentum",
            "Share of the previous step that is kept in the next one (stochastic gradient descent with momentum).",
            low=0.0,
            high=0.999,
            step=0.05,
            when=only("optimiser", "sgd"),
            rare=True,
        ),
    ] = 0.9
    weight_decay: Annotated[
        float,
        _setting(
            "Weight decay",
            "Pulls every weight towards zero, against overfitting.",
            low=0.0,
            high=1.0,
            step=0.0001,
            rare=True,
        ),
    ] = 0.0
    weight_average: Annotated[
        float,
        _setting(
            "Weight averaging",
            "The network that predicts has the moving average of the weights; this is the share of the old average "
            "that is kept at each step, e.g. 0.99, and less of it in the first steps. 0 switches it off.",
            low=0.0,
            high=0.9999,
            step=0.01,
            rare=True,
        ),
    ] = 0.0
    norm_momentum: Annotated[
        float,
        _setting(
            "Momentum of batch normalisation",
            "Weight of a new batch in the running mean and variance that are used for prediction. Short runs want "
            "more.",
            low=0.001,
            high=1.0,
            step=0.1,
            rare=True,
        ),
    ] = 0.1
    augmentation: Annotated[
        str,
        _setting(
            "Augmentation",
            "Random changes to the training images, new in every epoch. Test images are never changed. (The flip is "
            "the lab sheet's recipe; hardly a digit looks the same in a mirror. Turns and bends keep a digit "
            "readable.)",
            choices=AUGMENTATIONS,
        ),
    ] = "none"
    exclude: Annotated[
        IDS,
        _setting(
            "Images left out",
            "Ids of training images that the run does without, as if the set did not hold them: they are not learnt "
            "from, do not vote, and are no neighbour and no centre. E.g. images whose label is wrong. Test images "
            "stay as they are.",
            items=(0, MOST_LEFT_OUT),
            too_many="images are too many to leave out",
            rare=True,
        ),
    ] = ()
    validation_share: Annotated[
        float,
        _setting(
            "Validation share",
            "Fraction of the training images of every class that is kept from learning and tells how well the network "
            "does on images it has not seen. Settings are chosen with these, not with the test images. 0 learns from "
            "all.",
            low=0.0,
            high=0.95,
            step=0.1,
        ),
    ] = 0.0
    patience: Annotated[
        int,
        _setting(
            "Stop early after",
            "Epochs without a better validation accuracy after which the training ends; 0 never ends early.",
            low=0,
            high=1000,
            unit="epochs",
            when=lambda values: values["validation_share"] > 0,
        ),
    ] = 0
