"""What settings mean where `auto` leaves it open; each function takes the values of all settings, by name."""

from core.settings.choices import OBJECTIVES, SELECTIONS, TRIPLET_SAMPLINGS


def sampling_of(values: dict) -> str:
    """Which images form a batch, with `auto` resolved to what the objective needs."""
    if values["sampling"] != "auto":
        return values["sampling"]
    wanted = OBJECTIVES[values["objective"]].sampling
    mined = values["selection"] not in ("auto", "drawn")
    return "balanced" if wanted in TRIPLET_SAMPLINGS and mined else wanted


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


def has_triplet_loss(values: dict) -> bool:
    """Whether triplets are formed, and their loss is part of the objective."""
    return OBJECTIVES[values["objective"]].triplets


def needs_margin(values: dict) -> bool:
    """Whether the loss, or the mining, looks at the margin."""
    of_triplets = values["triplet_loss"] == "margin" or SELECTIONS[selection_of(values)].uses_margin
    return (has_triplet_loss(values) and of_triplets) or "margin" in OBJECTIVES[values["objective"]].settings
