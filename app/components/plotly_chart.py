"""Plotly charts that Streamlit updates in place: a zoom and hidden curves survive new data, points can show pictures.

`st.plotly_chart` builds its chart anew whenever the data change; these two functions keep it (`Plotly.react`).
The browser's half is browser/plotly_chart.js. It draws with the plotly.js inside the installed plotly package and
takes font, text, grid and background colours from Streamlit's theme, so figures should not set those.
"""

import base64
import hashlib
from pathlib import Path
from typing import NamedTuple

import plotly
import plotly.graph_objects as go
import plotly.io
import streamlit as st
import streamlit.components.v1

BROWSER_FOLDER = Path(__file__).parent / "browser"
PLOTLY_FOLDER = Path(plotly.__file__).parent / "package_data"
SCRIPT_VERSION = hashlib.sha256((BROWSER_FOLDER / "plotly_chart.js").read_bytes()).hexdigest()[:12]

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


def _addresses() -> dict[str, str]:
    """The paths of the two scripts on this server; each carries a version, so that a browser may keep its copy.

    Declaring a component folder (components v1) is the one public way to serve files from any folder: it needs no
    copy of plotly.js and no setting. It is repeated at every call because it holds only for the running server.
    """
    declare = streamlit.components.v1.declare_component
    base = "/" + st.get_option("server.baseUrlPath").strip("/")
    root = base.rstrip("/") + "/component"
    return {
        "script": f"{root}/{declare('browser', BROWSER_FOLDER).name}/plotly_chart.js?v={SCRIPT_VERSION}",
        "plotly": f"{root}/{declare('plotly', PLOTLY_FOLDER).name}/plotly.min.js?v={plotly.__version__}",
    }


def _figure_json(figure: go.Figure | dict) -> str:
    """Traces and layout as JSON, numpy arrays in plotly's binary form; without the template, 7 kB that are replaced."""
    spec = figure if isinstance(figure, dict) else figure.to_dict()
    layout = {name: value for name, value in spec.get("layout", {}).items() if name != "template"}
    return plotly.io.to_json({"data": spec["data"], "layout": layout}, validate=False)


def live_chart(figure: go.Figure | dict, key: str, height: int = 320, *, alt: str = "chart", scale: float = 1) -> None:
    """Draw a figure (or its `to_dict()`), and later ones with the same key into the same chart.

    height: in CSS pixels; the width is the container's.  alt: what the chart shows, for screen readers.
    scale: how many times larger type and lines are than on a desk.
    A zoom and hidden curves are kept as long as `figure.layout.uirevision` stays the same (unset counts as the same).
    Curves are recognised by their names. Numpy arrays travel in binary form: float32 takes 40 % of the bytes of a list.
    """
    data = {"key": key, "figure": _figure_json(figure), "height": height, "alt": alt, "scale": scale, **_addresses()}
    _mount(key=key, data=data)


class Picked(NamedTuple):
    """What the mouse just did on a map."""

    point: int | None  # the index of a point that was clicked
    lasso: list[int] | None  # the indices inside a lasso or box; empty when it was taken away


def embedding_map(
    figure: go.Figure | dict,
    sprite: bytes,
    tile: tuple[int, int],
    columns: int,
    captions: list[str],
    key: str,
    height: int | str = 620,
    *,
    alt: str = "map of the embeddings",
) -> Picked:
    """Draw a scatter figure whose points show an image when hovered; returns what the mouse just did.

    figure: each trace's `customdata` holds its points' indices into captions and sprite; traces without it (class
    centres, say) keep Plotly's own labels. The mouse drags the map and its wheel zooms, unless `dragmode` says else.
    sprite: a PNG of equal tiles of (width, height) pixels, `columns` tiles a row: image i is in row i // columns,
    column i % columns. It travels only when it changes, not with every new figure. Without one (b"") the captions
    stand alone.
    height: in CSS pixels, or a CSS length such as "max(24rem, calc(100vh - 15rem))".
    What was picked is returned in the one run that the mouse causes, then None again: keep it in the session state.
    """
    with st.container(gap=None):  # without it the invisible first element would leave a gap above the chart
        image = "data:image/png;base64," + base64.b64encode(sprite).decode() if sprite else ""
        _mount(key=f"{key}_sprite", data={"key": key, "sprite": image, **_addresses()})
        data = {
            "key": key,
            "figure": _figure_json(figure),
            "height": height,
            "alt": alt,
            "tile": list(tile),
            "columns": columns,
            "captions": list(captions),
            **_addresses(),
        }
        found = _mount(key=key, data=data, on_picked_change=lambda: None, on_lasso_change=lambda: None)
    # The values come from a browser, so they may be anything.
    point, lasso = found.get("picked"), found.get("lasso")

    def known(index) -> bool:
        return type(index) is int and 0 <= index < len(captions)

    return Picked(point if known(point) else None, [i for i in lasso if known(i)] if isinstance(lasso, list) else None)
