"""Plotly charts that Streamlit updates in place: a zoom and hidden curves survive new data, points can show pictures.

`st.plotly_chart` builds its chart anew whenever the data change; these two functions keep it (`Plotly.react`).
The browser's half is browser/plotly_chart.js. It draws with the plotly.js inside the installed plotly package and
takes font, text, grid and background colours from Streamlit's theme, so figures should not set those.
"""

import base64
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly
import plotly.graph_objects as go
import plotly.io
import streamlit as st
import streamlit.components.v1

from app import session

BROWSER_FOLDER = Path(__file__).parent / "browser"
PLOTLY_FOLDER = Path(plotly.__file__).parent / "package_data"

# Streamlit sends a component's script with every update, so this is only the line that fetches the real one.
_mount = st.components.v2.component(
    "tripletlab_chart",
    js="""
    export default async (component) => {
      const script = await import(new URL(component.data.script, document.baseURI));
      return script.default(component);
    }
    """,
    isolate_styles=False,  # Plotly puts its style sheet into the page's head, out of a shadow root's sight
)


@functools.cache
def _version(script: str) -> str:
    return hashlib.sha256((BROWSER_FOLDER / script).read_bytes()).hexdigest()[:12]


def addresses(*more: str) -> dict[str, str]:
    """The paths on this server of the chart's script, of plotly.js, and of `more` scripts of this folder, each under
    its stem; they carry a version, so that a browser may keep its copy.

    Declaring a component folder (components v1) is the one public way to serve files from any folder: it needs no
    copy of plotly.js and no setting. It is repeated at every call because it holds only for the running server.
    """
    declare = streamlit.components.v1.declare_component
    base = "/" + st.get_option("server.baseUrlPath").strip("/")
    root = base.rstrip("/") + "/component"
    ours = f"{root}/{declare('browser', BROWSER_FOLDER).name}"
    return {
        "script": f"{ours}/plotly_chart.js?v={_version('plotly_chart.js')}",
        "plotly": f"{root}/{declare('plotly', PLOTLY_FOLDER).name}/plotly.min.js?v={plotly.__version__}",
        **{Path(name).stem: f"{ours}/{name}?v={_version(name)}" for name in more},
    }


def figure_json(figure: go.Figure | dict) -> str:
    """Traces and layout as JSON, numpy arrays in plotly's binary form; without the template, 7 kB that are replaced."""
    spec = figure if isinstance(figure, dict) else figure.to_dict()
    layout = {name: value for name, value in spec.get("layout", {}).items() if name != "template"}
    return plotly.io.to_json({"data": spec["data"], "layout": layout}, validate=False)


def live_chart(
    figure: go.Figure | dict | str, key: str, height: int = 320, *, alt: str = "chart", scale: float = 1
) -> None:
    """Draw a figure (its `to_dict()`, or what `figure_json` made of it), and later ones with the same key into the
    same chart.

    height: in CSS pixels; the width is the container's.  alt: what the chart shows, for screen readers.
    scale: how many times larger type and lines are than on a desk.
    A zoom and hidden curves are kept as long as `figure.layout.uirevision` stays the same (unset counts as the same).
    Curves are recognised by their names. Numpy arrays travel in binary form: float32 takes 40 % of the bytes of a list.
    """
    drawn = figure if isinstance(figure, str) else figure_json(figure)
    data = {"key": key, "figure": drawn, "height": height, "alt": alt, "scale": scale, **addresses()}
    _mount(key=key, data=data)


class Film(NamedTuple):
    """The maps of several epochs, E of them, which the browser plays without asking the server."""

    epochs: list[int]
    frames: np.ndarray  # (E, N, 2): where each point is after each epoch
    names: np.ndarray  # (E, C, 2): where the figure's annotations are, in their order
    wrong: list[list[int]]  # by epoch: the points of traces with meta.rings
    said: list[str]  # by epoch, beside the slider
    epoch: int  # the one that the figure shows

    def data(self) -> dict:
        """As the browser gets it: places as 16-bit numbers, 4 bytes a point and epoch."""
        low, high = (self.frames.min(axis=(0, 1)), self.frames.max(axis=(0, 1)))
        shift, scale = (low + high) / 2, float(max((high - low).max(), 1e-9)) / 65000
        places = np.round((self.frames - shift) / scale).astype("<i2")
        return {
            "epochs": self.epochs,
            "count": self.frames.shape[1],
            "places": base64.b64encode(places.tobytes()).decode(),
            "shift": shift.tolist(),
            "scale": scale,
            "names": np.round(self.names, 4).tolist(),
            "wrong": self.wrong,
            "said": self.said,
            "epoch": self.epoch,
        }


def embedding_map(
    figure: go.Figure | dict,
    sprite: bytes,
    tile: tuple[int, int],
    columns: int,
    captions: list[str],
    key: str,
    height: int | str = 620,
    *,
    on_point: Callable[[int], None],
    on_lasso: Callable[[list[int]], None],
    on_epoch: Callable[[int], None],
    film: Film | None = None,
    alt: str = "map of the embeddings",
) -> None:
    """Draw a scatter figure whose points show an image when hovered.

    figure: each trace's `customdata` holds its points' indices into captions and sprite; traces without it (class
    centres, say) keep Plotly's own labels. The mouse drags the map and its wheel zooms, unless `dragmode` says else.
    sprite: a PNG of equal tiles of (width, height) pixels, `columns` tiles a row: image i is in row i // columns,
    column i % columns. It travels only when it changes, not with every new figure. Without one (b"") the captions
    stand alone.
    film: the maps of all epochs, for a slider and a play button under the map.
    height: in CSS pixels, or a CSS length such as "max(24rem, calc(100vh - 15rem))".
    on_point, on_lasso, on_epoch: told the index of a point that is clicked, those inside a lasso or box (none when it
    is taken away), and the epoch to which the slider is moved; before the page is drawn, so that it is drawn once.
    """
    with st.container(gap=None):  # without it the invisible first element would leave a gap above the chart
        image = "data:image/png;base64," + base64.b64encode(sprite).decode() if sprite else ""
        _mount(key=f"{key}_sprite", data={"key": key, "sprite": image, **addresses()})
        _mount(key=f"{key}_film", data={"key": key, "film": film and film.data(), **addresses()})
        data = {
            "key": key,
            "figure": figure_json(figure),
            "height": height,
            "alt": alt,
            "tile": list(tile),
            "columns": columns,
            "captions": list(captions),
            **addresses(),
        }
        _mount(
            key=key,
            data=data,
            on_picked_change=session.whole(lambda: _point(session.answered(key, "picked"), len(captions), on_point)),
            on_lasso_change=session.whole(lambda: _lasso(session.answered(key, "lasso"), len(captions), on_lasso)),
            on_epoch_change=session.whole(lambda: _epoch(session.answered(key, "epoch"), film, on_epoch)),
        )


def map_guest(key: str, place: np.ndarray | None, linked: np.ndarray | None) -> None:
    """Puts a star at a place (2,) of the embedding map with this key, with lines to places (k, 2); None takes it away.

    The map itself is not sent again.
    """
    guest = None if place is None else {"place": place.tolist(), "linked": linked.tolist()}
    _mount(key=f"{key}_guest", data={"key": key, "guest": guest, **addresses()})


# What a browser answers may be anything
def _point(index, count: int, told: Callable[[int], None]) -> None:
    if type(index) is int and 0 <= index < count:
        told(index)


def _lasso(indices, count: int, told: Callable[[list[int]], None]) -> None:
    if isinstance(indices, list):
        told([each for each in indices if type(each) is int and 0 <= each < count])


def _epoch(epoch, film: Film | None, told: Callable[[int], None]) -> None:
    if film and type(epoch) is int and epoch in film.epochs:
        told(epoch)
