"""Rows of images without blur. Text is escaped here."""

import html

import numpy as np
import streamlit as st

from app.drawing.pictures import png_uri


def tiles(*parts: str) -> None:
    """Shows tiles side by side."""
    st.html(f'<div class="lab-row">{"".join(parts)}</div>')


def strip(images: list[np.ndarray], names: list[str]) -> None:
    """A row of small images."""
    tags = [
        f'<img src="{png_uri(pixels)}" alt="{html.escape(name)}">' for pixels, name in zip(images, names, strict=True)
    ]
    st.html(f'<div class="lab-strip">{"".join(tags)}</div>')
