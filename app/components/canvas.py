"""A canvas on which a digit is drawn with mouse, pen or finger: what a browser answers is checked."""

import base64
import binascii

import numpy as np
import streamlit as st

SENT = 140  # pixels a side that travel to the server

_mount = st.components.v2.component(
    "tripletlab_canvas",
    html="""
    <div class="sheet"><canvas width="280" height="280" aria-label="Draw a digit here"></canvas><p>Draw here</p></div>
    <div class="tools"><button type="button" class="clear">Clear</button>
    <button type="button" class="undo">Undo</button>
    <label>Pen <input type="range" class="pen" min="8" max="40" value="22" aria-label="Width of the pen"></label></div>
    """,
    css="""
    .sheet { position: relative; width: 280px; max-width: 100%; }
    canvas { width: 100%; background: #000; border-radius: 8px; touch-action: none; cursor: crosshair; display: block;
             border: 1px solid color-mix(in srgb, var(--st-text-color) 40%, transparent); box-sizing: border-box; }
    p { position: absolute; inset: 0; margin: 0; display: grid; place-items: center; pointer-events: none;
        color: #fff; opacity: 0.55; font: 20px var(--st-font); }
    p[hidden] { display: none; }
    .tools { display: flex; gap: 8px; align-items: center; width: 280px; max-width: 100%; margin-top: 8px;
             font: 15px var(--st-font); color: var(--st-text-color); }
    button { font: inherit; color: inherit; background: none; padding: 4px 12px; border-radius: 8px; cursor: pointer;
             border: 1px solid color-mix(in srgb, var(--st-text-color) 30%, transparent); }
    button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
    :focus-visible { outline: 2px solid var(--st-primary-color); }
    label { display: flex; gap: 6px; align-items: center; flex: 1; min-width: 0; }
    input { flex: 1; min-width: 0; accent-color: var(--st-primary-color); }
    """,
    js="""
    const paint = (state) => {
      const { canvas, strokes } = state, pen = canvas.getContext("2d");
      pen.clearRect(0, 0, canvas.width, canvas.height);
      pen.strokeStyle = pen.fillStyle = "#fff";
      pen.lineCap = pen.lineJoin = "round";
      for (const { width, points } of strokes) {
        pen.lineWidth = width;
        pen.beginPath();
        pen.moveTo(points[0][0] - 0.01, points[0][1]); // so that a point is drawn as well
        points.forEach((point) => pen.lineTo(...point));
        pen.stroke();
      }
      state.hint.hidden = strokes.length > 0;
    };
    const send = (state) => {
      if (!state.strokes.length) return state.tell("ink", "");
      const side = state.side;
      const small = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
      small.drawImage(state.canvas, 0, 0, side, side);
      const pixels = small.getImageData(0, 0, side, side).data, ink = new Uint8Array(side * side);
      for (let i = 0; i < ink.length; i++) ink[i] = pixels[4 * i + 3]; // white on clear: the ink is the alpha
      let text = "";
      for (const byte of ink) text += String.fromCharCode(byte);
      state.tell("ink", btoa(text));
    };
    const create = (root) => {
      const find = (name) => root.querySelector(name);
      const state = { canvas: find("canvas"), hint: find("p"), strokes: [] };
      const { canvas } = state;
      const at = (event) => {
        const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
        return [(event.clientX - box.x) * scale, (event.clientY - box.y) * scale];
      };
      let drawing = null;
      canvas.onpointerdown = (event) => {
        if (drawing || event.button) return;
        canvas.setPointerCapture(event.pointerId);
        drawing = { id: event.pointerId, width: Number(find(".pen").value), points: [at(event)] };
        state.strokes.push(drawing);
        paint(state);
      };
      canvas.onpointermove = (event) => {
        if (event.pointerId !== drawing?.id) return;
        const seen = event.getCoalescedEvents?.() ?? [];
        drawing.points.push(...(seen.length ? seen : [event]).map(at));
        paint(state);
      };
      canvas.onpointerup = canvas.onpointercancel = (event) => {
        if (event.pointerId !== drawing?.id) return;
        drawing = null;
        send(state);
      };
      find(".clear").onclick = () => { state.strokes = []; paint(state); send(state); };
      find(".undo").onclick = () => { state.strokes.pop(); paint(state); send(state); };
      find(".pen").onchange = (event) => {
        state.strokes.forEach((stroke) => { stroke.width = Number(event.target.value); });
        paint(state);
        if (state.strokes.length) send(state);
      };
      return state;
    };
    export default ({ parentElement, data, setStateValue }) => {
      const state = (parentElement.labCanvas ??= create(parentElement));
      state.side = data.side;
      state.tell = setStateValue;
    };
    """,
)


def canvas(key: str) -> np.ndarray | None:
    """Draws the canvas; returns its ink (SENT, SENT) uint8, 0 where there is none, or None while it is empty."""
    answer = _mount(key=key, data={"side": SENT}, default={"ink": ""}, on_ink_change=lambda: None).get("ink")
    return ink_of(answer)


def ink_of(answer) -> np.ndarray | None:
    """The ink in what a browser says, which may be anything; None if that is no drawing of this canvas."""
    try:
        ink = np.frombuffer(base64.b64decode(answer, validate=True), np.uint8)
    except (TypeError, ValueError, binascii.Error):
        return None
    return ink.reshape(SENT, SENT) if ink.size == SENT**2 and ink.any() else None
