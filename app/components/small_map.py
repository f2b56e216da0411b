"""A small map for a quick look: the training images as dots, a star for a new image, and lines to its neighbours.

It is drawn on a plain canvas, in milliseconds, because it follows every stroke of a drawing.
"""

import base64

import numpy as np
import streamlit as st

_MOST = 6000  # dots

_mount = st.components.v2.component(
    "tripletlab_small_map",
    html='<canvas role="img"></canvas>',
    css="canvas { width: 100%; display: block; }",
    js="""
    const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const draw = (root) => {
      const { data, canvas } = root.labMap, style = getComputedStyle(canvas);
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = data.height;
      if (!width) return;
      canvas.style.height = height + "px";
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const pen = canvas.getContext("2d"), ink = style.getPropertyValue("--st-text-color") || "#333";
      pen.scale(ratio, ratio);
      const scale = Math.min(width - 40, height - 40);
      const x = (v) => width / 2 + (v - 0.5) * scale, y = (v) => height / 2 - (v - 0.5) * scale;
      const places = floats(data.places), labels = bytes(data.labels);
      pen.globalAlpha = 0.55;
      labels.forEach((label, i) => {
        pen.fillStyle = data.colours[label];
        pen.fillRect(x(places[2 * i]) - 1.5, y(places[2 * i + 1]) - 1.5, 3, 3);
      });
      pen.globalAlpha = 1;
      pen.font = "600 15px " + (style.getPropertyValue("--st-font") || "sans-serif");
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      for (const [name, u, v] of data.names) {
        pen.lineWidth = 4;
        pen.strokeStyle = style.getPropertyValue("--st-background-color") || "#fff";
        pen.strokeText(name, x(u), y(v));
        pen.fillStyle = ink;
        pen.fillText(name, x(u), y(v));
      }
      if (!data.star) return;
      const [u, v] = data.star;
      pen.strokeStyle = ink;
      pen.lineWidth = 1.5;
      for (const [a, b] of data.linked) {
        pen.beginPath(); pen.moveTo(x(u), y(v)); pen.lineTo(x(a), y(b)); pen.stroke();
        pen.beginPath(); pen.arc(x(a), y(b), 5, 0, 7); pen.stroke();
      }
      pen.beginPath();
      for (let i = 0; i < 10; i++) {
        const reach = i % 2 ? 5 : 13, turn = Math.PI * (i / 5 - 0.5);
        pen.lineTo(x(u) + reach * Math.cos(turn), y(v) + reach * Math.sin(turn));
      }
      pen.closePath();
      pen.fillStyle = "#ffd21f";
      pen.fill();
      pen.strokeStyle = "#000";
      pen.lineWidth = 1.5;
      pen.stroke();
    };
    export default ({ parentElement, data }) => {
      const canvas = parentElement.querySelector("canvas");
      if (!parentElement.labMap) {
        parentElement.labMap = { canvas };
        parentElement.labMap.watch = new ResizeObserver(() => parentElement.isConnected && draw(parentElement));
        parentElement.labMap.watch.observe(canvas.parentElement ?? canvas);
      }
      parentElement.labMap.data = data;
      canvas.setAttribute("aria-label", data.alt);
      canvas.dataset.star = data.star ?? "";
      draw(parentElement);
    };
    """,
)


class Background:
    """The training images of a map: `places` (N, 2), their labels (N,), a colour and a name a class."""

    def __init__(self, places: np.ndarray, labels: np.ndarray, colours: list[str], names: tuple[str, ...]):
        low, high = places.min(axis=0), places.max(axis=0)
        self.middle, self.size = (low + high) / 2, float(max((high - low).max(), 1e-9))
        rows = np.unique(np.linspace(0, len(places) - 1, _MOST).astype(int))
        self.places = base64.b64encode(self.inside(places[rows]).astype("<f4").tobytes()).decode()
        self.labels = base64.b64encode((labels[rows] % len(colours)).astype(np.uint8).tobytes()).decode()
        self.colours = colours
        members = ((name, places[labels == label]) for label, name in enumerate(names[:47]))
        self.names = [(name, *self.inside(np.median(each, axis=0)).tolist()) for name, each in members if len(each)]

    def inside(self, places: np.ndarray) -> np.ndarray:
        """Places on the map as shares of its width and height, from 0 to 1."""
        return (places - self.middle) / self.size + 0.5


def small_map(
    background: Background, key: str, height: int, star: np.ndarray | None, linked: np.ndarray | None, alt: str
) -> None:
    """Draws the map, `height` CSS pixels high; `star` (2,) is a new image, `linked` (k, 2) are its neighbours."""
    _mount(
        key=key,
        data={
            "places": background.places,
            "labels": background.labels,
            "colours": background.colours,
            "names": background.names,
            "height": height,
            "alt": alt,
            "star": None if star is None else background.inside(star).tolist(),
            "linked": [] if linked is None else background.inside(linked).tolist(),
        },
    )
