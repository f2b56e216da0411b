"""The figures of a lab report as SVG and HTML text: curves, confusion matrix, map. Nothing in them is fetched."""

import base64
import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.exchange import pictures
from core.settings.colours import WRONG, class_colour

_TRAIN, _TEST = "#2389bd", "#c2571a"
_LINES = ("#2389bd", "#c2571a", "#1b7f5c", "#6a4c93", "#7a6a00", "#a23b72", "#4059ad", "#7d4f50")


_PAGE = 500  # points: an A4 page within its margins
_CELL, _LETTER = 2.0, 0.65  # of the matrix, in its own font size: a cell's width, and about that of a letter
_LONGEST = 16  # letters of a class's name in the matrix and on the map


def short(name: str) -> str:
    """A class's name for a narrow place."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"


def text(value) -> str:
    """Any value as text that HTML shows as it is."""
    return html.escape(str(value))


def table(names: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A plain table; texts stand at the left, numbers at the right."""
    first = rows[0] if rows else names
    head = "".join(f"<th{_of_text(value)}>{text(name)}</th>" for name, value in zip(names, first, strict=True))
    lines = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _cell(value) -> str:
    return f"<td{_of_text(value)}>{text(value)}</td>"


def _of_text(value) -> str:
    return ' class="text"' if isinstance(value, str) else ""


def image(pixels: np.ndarray, caption: str, below: str = "") -> str:
    """One grey image (H, W) with words under it."""
    uri = f"data:image/png;base64,{base64.b64encode(pictures.png(pixels)).decode()}"
    lines = f"<b>{text(caption)}</b>" + "".join(f"<br>{text(line)}" for line in below.splitlines())
    alt = text(f"{caption} {below}".strip())
    return f'<figure><img src="{uri}" alt="{alt}"><figcaption>{lines}</figcaption></figure>'


def curves(history: pd.DataFrame) -> str:
    """Accuracy and loss of training (dashed) and test images over the epochs, side by side."""
    if history.empty:
        return "<p>No epoch was finished.</p>"
    epochs = history["epoch"].to_numpy(float)
    found = []
    for name, scale, unit in (("accuracy", 100, " %"), ("loss", 1, "")):
        lines = []
        for split, colour, dash in (("train", _TRAIN, "6 4"), ("test", _TEST, "")):
            if f"{split}_{name}" in history:
                lines.append((split, colour, dash, epochs, scale * history[f"{split}_{name}"].to_numpy(float)))
        found.append(chart(lines, name, unit))
    return f'<div class="side">{"".join(found)}</div>'


def comparison(lines: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """Test accuracy of several runs over their epochs: (name, history) each."""
    drawn = [
        (name, _LINES[place % len(_LINES)], "", history["epoch"].to_numpy(float), 100 * history["test_accuracy"])
        for place, (name, history) in enumerate(lines)
    ]
    return chart([(*each[:4], each[4].to_numpy(float)) for each in drawn], "test accuracy", " %")


def chart(lines: Sequence[tuple[str, str, str, np.ndarray, np.ndarray]], title: str, unit: str) -> str:
    """Lines (name, colour, dash, x, y) over epochs as SVG, with their names beneath; what is not finite is left out."""
    lines = [(*head, x[np.isfinite(y)], y[np.isfinite(y)]) for *head, x, y in lines]
    values = np.concatenate([y for *_, y in lines]) if lines else np.zeros(0)
    if not len(values):
        return f"<p>{text(title)}: –</p>"
    low, high = _range(values, 100 if unit == " %" else np.inf)
    first, last = (
        each(float(pick(x)) for *_, x, y in lines if len(x)) for each, pick in ((min, np.min), (max, np.max))
    )

    def at(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 52 + 270 * (x - first) / max(last - first, 1), 178 - 150 * (y - low) / (high - low)

    marks = []
    for value, written in _ticks(low, high):
        _, height = at(first, value)
        written += unit
        marks.append(f'<line x1="52" x2="322" y1="{height:.1f}" y2="{height:.1f}" stroke="#ddd"/>')
        marks.append(f'<text x="47" y="{height + 4:.1f}" text-anchor="end">{written}</text>')
    for _name, colour, dash, x, y in lines:
        points = [f"{left:.1f},{top:.1f}" for left, top in zip(*at(x, y), strict=True)]
        style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        marks.append(f'<polyline points="{" ".join(points)}" fill="none" {style}/>')
        if len(points) == 1:  # a line of one point is not seen
            left, top = points[0].split(",")
            marks.append(f'<circle cx="{left}" cy="{top}" r="3" fill="{colour}"/>')
    ends = f'<text x="52" y="196">{first:.0f}</text><text x="322" y="196" text-anchor="end">{last:.0f}</text>'
    heading = f'<text x="52" y="16" font-weight="bold">{text(title)}</text>'
    axis = f'{ends}<text x="187" y="196" text-anchor="middle">epoch</text>'
    legend = " ".join(f'<span><i style="background:{colour}"></i>{text(name)}</span>' for name, colour, *_ in lines)
    drawn = f'<svg viewBox="0 0 330 202" role="img" aria-label="{text(title)}">{heading}{"".join(marks)}{axis}</svg>'
    return f'<div class="chart">{drawn}<div class="legend">{legend}</div></div>'


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Three to eight round values from `low` to `high`, and how they are written."""
    power = 10.0 ** np.floor(np.log10((high - low) / 3))
    step = next(each * power for each in (5, 2, 1) if each * power <= (high - low) / 3)
    places = max(0, -int(np.floor(np.log10(step))))
    values = step * np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    return [(float(value), f"{abs(value) if abs(value) < step / 2 else value:.{places}f}") for value in values]


def _range(values: np.ndarray, limit: float) -> tuple[float, float]:
    """The lowest and highest value with a little room, up to a limit; never nothing."""
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or max(0.01, abs(high) * 0.01)
    return (max(0.0, low - room) if low >= 0 else low - room), min(high + room, limit)


def matrix(counts: np.ndarray, classes: Sequence[str]) -> str:
    """The confusion matrix (C, C) as a table: the stronger the red, the more; what is right is dimmed."""
    most = max(1, int((counts * ~np.eye(len(counts), dtype=bool)).max()))
    names = [short(name) for name in classes]
    longest = max(map(len, names))
    upright = ' class="upright"' * (longest > 3)
    head = "<tr><th></th>" + "".join(f"<th><span{upright}>{text(name)}</span></th>" for name in names) + "</tr>"
    rows = []
    for true, row in enumerate(counts.tolist()):
        cells = [
            f'<td class="same">{count}</td>'
            if true == said
            else f'<td style="background:rgba(224,0,36,{0.15 + 0.5 * count / most:.2f})">{count}</td>'
            if count
            else "<td></td>"
            for said, count in enumerate(row)
        ]
        rows.append(f"<tr><th>{text(names[true])}</th>{''.join(cells)}</tr>")
    size = min(9.0, _PAGE / (_CELL * len(names) + _LETTER * longest + 1))
    return f'<table class="matrix" style="font-size:{size:.1f}pt">{head}{"".join(rows)}</table>'


def the_map(points: np.ndarray, labels: np.ndarray, train: int, wrong: np.ndarray, classes: Sequence[str]) -> str:
    """A map (N + Q, 2) of `train` training and then all test images as SVG: a dot each in the colour of its class.

    Training images are paler, `wrong` test images (their places among all) have a red ring, and a class's name
    stands at the median of its training images.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    placed = 12 + (points - low) / max(float((high - low).max()), 1e-9) * 576
    placed[:, 1] = placed[:, 1].max() + 12 - placed[:, 1]  # upwards, as on the page
    marks = []
    for part, width, opacity in ((slice(0, train), 3, 0.3), (slice(train, None), 5, 0.9)):
        for label in range(len(classes)):
            dots = placed[part][labels[part] == label]
            path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in dots)
            style = f'stroke="{class_colour(label)}" stroke-width="{width}" opacity="{opacity}"'
            marks.append(f'<path d="{path}" stroke-linecap="round" {style}/>' if path else "")
    marks += [
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="6" fill="none" stroke="{WRONG}" stroke-width="2"/>'
        for x, y in placed[wrong]
    ]
    size = 22 if len(classes) <= 12 else 12
    for label, name in enumerate(map(short, classes)):
        members = placed[:train][labels[:train] == label]
        x, y = np.median(members, axis=0)
        half = min(300.0, len(name) * size * _LETTER / 2)  # of its width: no name leaves the picture
        x = min(max(x, half), 600 - half)
        marks.append(f'<text x="{x:.0f}" y="{y:.0f}" class="name" style="font-size:{size}px">{text(name)}</text>')
    height = float(placed[:, 1].max()) + 12
    return f'<svg class="map" viewBox="0 0 600 {height:.0f}" role="img" aria-label="map">{"".join(marks)}</svg>'
