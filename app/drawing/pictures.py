"""Images as PNG and as HTML. No Streamlit here; all text is escaped."""

import base64
import html
import io
from functools import lru_cache

import numpy as np
from PIL import Image

from core.dataset.loader import DataSet

SPRITE_COLUMNS = 60


def png_uri(pixels: np.ndarray) -> str:
    """An 8-bit grey image (H, W) as a data URI."""
    return _uri(pixels.tobytes(), pixels.shape)


@lru_cache(maxsize=1024)  # a click draws most pictures of a page again
def _uri(pixels: bytes, shape: tuple[int, int]) -> str:
    png = _png(np.frombuffer(pixels, np.uint8).reshape(shape))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def tile(pixels: np.ndarray, heading: str, *lines: str) -> str:
    """HTML of one enlarged image with a heading and small lines under it."""
    height, width = pixels.shape
    # <wbr>: an id may break after its underscores, and nowhere else
    below = "".join(f"<span>{html.escape(line).replace('_', '_<wbr>')}</span>" for line in lines)
    return (
        f'<div class="lab-tile" style="--shape:{width}/{height}"><img src="{png_uri(pixels)}" '
        f'alt="{html.escape(heading)}"><b>{html.escape(heading)}</b>{below}</div>'
    )


def large(pixels: np.ndarray, caption: str, scale: int = 8) -> str:
    """HTML of one image, `scale` times as large and without blur."""
    height, width = pixels.shape
    style = f"width:{width * scale}px;max-width:100%;aspect-ratio:{width}/{height};image-rendering:pixelated"
    return f'<img src="{png_uri(pixels)}" alt="{html.escape(caption)}" style="{style};background:#000;display:block">'


def sprite_sheet(images: DataSet) -> bytes:
    """All training, then all test images in one PNG, SPRITE_COLUMNS a row."""
    tiles = np.concatenate([images.train.images, images.test.images])  # (N + Q, H, W)
    count, height, width = tiles.shape
    rows = -(-count // SPRITE_COLUMNS)
    sheet = np.zeros((rows * SPRITE_COLUMNS, height, width), np.uint8)
    sheet[:count] = tiles
    sheet = sheet.reshape(rows, SPRITE_COLUMNS, height, width).swapaxes(1, 2)
    return _png(sheet.reshape(rows * height, SPRITE_COLUMNS * width))
