"""The colours that the pages and the lab report share."""

# Ten that stay apart on a projector, on white and on black, also for eyes that do not tell red from green; none is red
CLASS_COLOURS = (
    "#0087ff",
    "#d25a0f",
    "#5ae178",
    "#870fa5",
    "#e1d200",
    "#005a2d",
    "#f0b4c8",
    "#4b4b69",
    "#00d2ff",
    "#1e00ff",
)
WRONG = "#e00024"  # red means misclassified and nothing else


def class_colour(label: int) -> str:
    """The colour of a class in every picture."""
    return CLASS_COLOURS[label % len(CLASS_COLOURS)]
