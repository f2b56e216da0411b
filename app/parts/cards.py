"""Cards and rows of images without blur. Text is escaped here."""

import html

import numpy as np
import pandas as pd
import streamlit as st

from app.drawing.pictures import png_uri, tile
from core.dataset.loader import DataSet


def mistake_grid(mistakes: pd.DataFrame, images: DataSet) -> None:
    """Cards of wrong test images, each beside its nearest training image of the true and of the predicted class.

    A card's number is that of the exported pictures: the row of store.mistakes, from 1.
    """
    name_of = dict(zip(images.class_numbers, images.classes, strict=True))
    cards = []
    for row in mistakes.itertuples():
        true, predicted = name_of[row.true], name_of[row.predicted]
        tiles = (
            tile(images.test.images[row.test_index], "test image", row.id, f"score of {predicted}: {row.score:.0%}")
            + tile(
                images.train.images[row.nearest_true_index],
                f"nearest {true}",
                row.nearest_true_id,
                f"distance {row.nearest_true_distance:.3f}",
            )
            + tile(
                images.train.images[row.nearest_predicted_index],
                f"nearest {predicted}",
                row.nearest_predicted_id,
                f"distance {row.nearest_predicted_distance:.3f}",
            )
        )
        heading = html.escape(f"Mistake {row.Index + 1}: {true} taken for {predicted}")
        cards.append(f'<div class="lab-card"><h4>{heading}</h4><div class="lab-row">{tiles}</div></div>')
    st.html(f'<div class="lab-grid">{"".join(cards)}</div>')


def tiles(*parts: str) -> None:
    """Shows tiles side by side."""
    st.html(f'<div class="lab-row">{"".join(parts)}</div>')


def small_tiles(rows: list[tuple]) -> None:
    """Many small images in a grid, each with a heading and lines under it: (pixels, heading, line, …)."""
    st.html(f'<div class="lab-tiles">{"".join(tile(*row) for row in rows)}</div>')


def strip(images: list[np.ndarray], names: list[str]) -> None:
    """A row of small images."""
    tags = [
        f'<img src="{png_uri(pixels)}" alt="{html.escape(name)}">' for pixels, name in zip(images, names, strict=True)
    ]
    st.html(f'<div class="lab-strip">{"".join(tags)}</div>')
