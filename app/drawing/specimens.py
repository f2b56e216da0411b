"""The microscope's triplets and images as HTML: pictures, and the distances on a line. All text is escaped."""

import html

import numpy as np

from app.drawing.charts import NEGATIVE, POSITIVE
from app.drawing.pictures import png_uri

_SIZE = 52  # CSS pixels of a picture


def drawn(told: dict, pixels: np.ndarray) -> str:
    """What core/runs/latest_step.py describes; `pixels` (S, M, H, W) are its pictures."""
    of_triplets = told["what"] == "triplets"
    draw = _triplet if of_triplets else _image
    cards = "".join(draw(item, pictures, told) for item, pictures in zip(told["items"], pixels, strict=True))
    what = "triplets learnt from" if of_triplets else "the images with the highest loss"
    when = f"epoch {told['epoch']}, step {told['step']}"
    heading = f"Microscope: {when} · loss of the batch {change(told['loss'])}"
    nothing = "" if cards else "<p>No triplet was mined in this step: none of the batch is semi-hard.</p>"
    return (
        f'<section class="lab-scope" aria-label="Microscope, {when}"><b>{heading}</b>'
        f"<small>{what}, as the network saw them</small>{nothing}"
        f'<div class="{told["what"]}">{cards}</div></section>'
    )


def change(value: dict, form: str = ".2f") -> str:
    """A number before and, where it is known, after the step, e.g. "0.40 → 0.12"."""
    if value["before"] is None:
        return "–"
    after = "" if value["after"] is None else f" → {value['after']:{form}}"
    return f"{value['before']:{form}}{after}"


def _triplet(item: dict, pictures: np.ndarray, told: dict) -> str:
    shown = "".join(
        _picture(picture, f"{letter}: {item[name]['class']}", item[name]["id"])
        for picture, (letter, name) in zip(
            pictures, (("a", "anchor"), ("p", "positive"), ("n", "negative")), strict=True
        )
    )
    before, after = item["kind"]["before"], item["kind"]["after"]
    kind = before if after in (None, before) else f"{before} → {after}"
    words = f"{item['role']} · <b>{kind}</b> · loss {change(item['loss'])}"
    distances = f"d(a,p) {change(item['to_positive'])} · d(a,n) {change(item['to_negative'])}"
    line = _line(item["to_positive"], item["to_negative"], told["margin"])
    side = f"<span>{words}</span>{line}<span>{distances}</span>"
    return f'<article>{shown}<div class="lab-scope-side">{side}</div></article>'


def _line(to_positive: dict, to_negative: dict, margin: float) -> str:
    """Distances from the anchor, at the left end, on a line; a full dot before the step, a ring after it.

    The band is the margin: a negative beyond it is easy.
    """
    known = [value for pair in (to_positive, to_negative) for value in pair.values() if value is not None]
    scale = 96 / max(*known, to_positive["before"] + margin, 1e-6)
    start, end = scale * to_positive["before"], scale * margin
    marks = "".join(
        f'<i class="{when}" style="left:{scale * pair[when]:.1f}%;border-color:{colour};'
        f'{f"background:{colour}" if when == "before" else ""}"></i>'
        for pair, colour in ((to_positive, POSITIVE), (to_negative, NEGATIVE))
        for when in ("before", "after")
        if pair[when] is not None
    )
    band = f'<u style="left:{start:.1f}%;width:{end:.1f}%"></u>'
    return f'<div class="lab-scope-line" title="the band is the margin of {margin:g}">{band}{marks}</div>'


def _image(item: dict, pictures: np.ndarray, told: dict) -> str:
    shown = _picture(pictures[0], f"labelled {item['image']['class']}", item["image"]["id"])
    words = f"loss <b>{change(item['loss'])}</b>"
    if item["predicted"]["before"] is None:
        return f'<article>{shown}<div class="lab-scope-side"><span>{words}</span></div></article>'
    before, after = item["predicted"]["before"], item["predicted"]["after"]
    called = html.escape(before if after in (None, before) else f"{before} → {after}")
    share = f"p(true) {change(item['true_probability'])}"
    side = f"<span>{words}</span><span>called {called}</span><span>{share}</span>"
    return f'<article>{shown}<div class="lab-scope-side">{side}</div></article>'


def _picture(pixels: np.ndarray, caption: str, name: str) -> str:
    style = f"width:{_SIZE}px;height:{_SIZE}px;image-rendering:pixelated"
    alt = html.escape(f"{caption}, {name}")
    return (
        f'<figure title="{alt}"><img src="{png_uri(pixels)}" alt="{alt}" style="{style}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
