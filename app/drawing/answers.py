"""What a run makes of one image, as HTML: bars of its scores, its neighbours, the picture itself. Text is escaped."""

import html

import numpy as np

from app.drawing.comparison import run_colour
from app.drawing.pictures import png_uri
from core.runs.store import Run
from core.settings.colours import class_colour

MOST_BARS = 10


def bars(scores: np.ndarray, classes: tuple[str, ...]) -> str:
    """A bar for each class, its score (C,) in percent; of many classes those with the highest scores."""
    shown = range(len(classes)) if len(classes) <= MOST_BARS else np.argsort(-scores, kind="stable")[:MOST_BARS]
    rows = "".join(
        f'<span class="{"most" if label == scores.argmax() else ""}">{html.escape(classes[label])}</span>'
        f'<i><b style="width:{100 * scores[label]:.1f}%;background:{class_colour(label)}"></b></i>'
        f"<em>{100 * scores[label]:.0f} %</em>"
        for label in map(int, shown)
    )
    return f'<div class="lab-scores">{rows}</div>'


def verdict(name: str, score: float, size: str = "") -> str:
    """The class in large letters, with its score."""
    return f'<div class="lab-verdict {size}"><b>{html.escape(name)}</b> {100 * score:.0f} %</div>'


def title(name: str, run: Run) -> str:
    """A run's name with its colour."""
    return (
        f'<div class="lab-title"><span class="lab-dot" style="background:{run_colour(run)}"></span>'
        f"<b>{html.escape(name)}</b></div>"
    )


def neighbours(said: str, votes: str, shown: list[tuple[np.ndarray, str, float]], size: int) -> str:
    """What the votes are, and the training images (H, W) with their class and distance, the nearest first."""
    figures = "".join(
        f'<figure><img src="{png_uri(pixels)}" alt="{html.escape(name)}" style="width:{size}px">'
        f"<figcaption><b>{html.escape(name)}</b> {distance:.2f}</figcaption></figure>"
        for pixels, name, distance in shown
    )
    return (
        f'<p class="lab-votes">{html.escape(said)}<b>{html.escape(votes)}</b></p><div class="lab-near">{figures}</div>'
    )


def seen(pixels: np.ndarray, said: str, scale: int) -> str:
    """An image (H, W) as the network sees it, `scale` CSS pixels a pixel, with a sentence beside it."""
    height, width = pixels.shape
    style = f"width:{width * scale}px;aspect-ratio:{width}/{height}"
    return (
        f'<div class="lab-seen"><img src="{png_uri(pixels)}" alt="as the network sees it" style="{style}">'
        f"<span>{html.escape(said)}</span></div>"
    )
