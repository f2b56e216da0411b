"""A confusion matrix and picture tiles that can be clicked, and the arrow keys: what a browser answers is checked."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import session

_STYLE = """
  .grid { display: grid; grid-template-columns: repeat(auto-fill, var(--size)); gap: 6px;
          align-items: start; font-family: var(--st-font); color: var(--st-text-color); }
  .grid.filled { grid-template-columns: repeat(auto-fill, minmax(var(--size), 1fr)); }
  .tile { width: 100%; padding: 4px; border: 1px solid transparent; border-radius: 6px; background: none;
          color: inherit; font: inherit; font-size: 0.8125rem; line-height: 1.3; cursor: pointer; text-align: center; }
  .tile:hover { border-color: var(--st-primary-color); }
  .tile:focus-visible, td button:focus-visible { outline: 2px solid var(--st-primary-color); }
  .tile img { width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; background: #000; }
  .tile b { display: block; font-size: 0.9375rem; overflow-wrap: anywhere; }
  .tile small { display: block; font-size: 0.75rem; opacity: 0.75; overflow-wrap: anywhere; }
  .tile.wide { display: grid; grid-template: "pictures pictures" "heading line" "bar bar" "id id" / 1fr auto;
               column-gap: 6px; align-content: start; }
  .tile.wide > .with { grid-area: pictures; }
  .tile.wide > b { grid-area: heading; text-align: left; }
  .tile.wide > span { grid-area: line; text-align: right; white-space: nowrap; }
  .tile.wide > .bar { grid-area: bar; }
  .tile.wide > small { grid-area: id; text-align: left; }
  .with { display: grid; grid-template-columns: 1fr 30%; gap: 4px; }
  .with div { font-size: 0.75rem; line-height: 1.2; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
  .tile.picked b::before { content: "✓ "; }
  .tile.off { opacity: 0.35; text-decoration: line-through; }
  .bar { height: 5px; margin: 2px 0; position: relative; border-radius: 2px;
         background: color-mix(in srgb, var(--st-text-color) 15%, transparent); }
  .bar i { position: absolute; height: 100%; background: var(--st-text-color); border-radius: 2px; }
  table { border-collapse: collapse; font-family: var(--st-font); color: var(--st-text-color); font-size: 0.875rem; }
  th { font-weight: 600; padding: 2px 4px; max-width: 84px; }
  th.upright { padding: 2px 0; }
  th.upright span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 120px; }
  th, th span { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
  .scroll { max-height: 70vh; overflow: auto; container-type: inline-size; }
  td { padding: 1px; }
  .share { display: var(--lab-shares, table-cell); }
  td.share { padding: 0 0 0 10px; text-align: right; }
  th.share { font-size: 0.75rem; font-weight: 400; padding: 0 0 0 10px; }
  /* as large as the column allows beside three numbers a row */
  td button { --side: clamp(1.375rem, calc((100cqw - var(--lab-beside, var(--beside))) / var(--classes) - 2px), 2.5rem);
              width: var(--side); height: var(--side); padding: 0; border: 0; border-radius: 3px; color: inherit;
              font: inherit; cursor: pointer; background: color-mix(in srgb, #d62728 var(--much), transparent); }
  td button.same { opacity: 0.7; background: color-mix(in srgb, var(--st-text-color) 12%, transparent); }
  td button.chosen { outline: 2px solid var(--st-primary-color); }
  td button.none { opacity: 0.35; }
"""

_matrix = st.components.v2.component(
    "tripletlab_confusion",
    html='<div class="scroll"><table></table></div>',
    css=_STYLE,
    js="""
    export default ({ parentElement, data, setTriggerValue }) => {
      const table = parentElement.querySelector("table");
      table.style.setProperty("--classes", data.names.length);
      const make = (name, text) => Object.assign(document.createElement(name), { textContent: text });
      const head = document.createElement("tr");
      const long = Math.max(...data.names.map((name) => name.length)) > 3;
      table.style.setProperty("--beside", long ? "19.4rem" : "13.1rem");
      head.append(make("th", ""), ...data.names.map((name) => {
        const label = Object.assign(make("th", ""), { title: name, className: long ? "upright" : "" });
        label.append(make("span", name));
        return label;
      }));
      head.append(...data.shares.map(([name]) => Object.assign(make("th", name), { className: "share" })));
      const most = Math.max(1, ...data.counts.flatMap((row, r) => row.filter((_, c) => c !== r)));
      const rows = data.counts.map((row, r) => {
        const line = document.createElement("tr");
        line.append(Object.assign(make("th", data.names[r]), { title: data.names[r] }));
        row.forEach((count, c) => {
          const cell = document.createElement("td");
          const button = make("button", data.shown[r][c]);
          button.type = "button";
          button.title = `${count} of class ${data.names[r]} called ${data.names[c]}`;
          button.className = (r === c ? "same " : count ? "" : "none ");
          if (data.chosen && data.chosen[0] === r && data.chosen[1] === c) button.className += "chosen";
          button.style.setProperty("--much", r === c || !count ? "0%" : 20 + 60 * count / most + "%");
          button.onclick = () => setTriggerValue("cell", [r, c]);
          cell.append(button);
          line.append(cell);
        });
        line.append(...data.shares.map(([, texts]) => Object.assign(make("td", texts[r]), { className: "share" })));
        return line;
      });
      const buttons = () => [...table.querySelectorAll("button")];
      const focused = buttons().indexOf(table.getRootNode().activeElement);
      table.replaceChildren(head, ...rows);
      buttons()[focused]?.focus();
    };
    """,
)

_tiles = st.components.v2.component(
    "tripletlab_tiles",
    html='<div class="grid"></div>',
    css=_STYLE,
    js="""
    export default ({ parentElement, data, setTriggerValue }) => {
      const grid = parentElement.querySelector(".grid");
      grid.style.setProperty("--size", `calc(${data.size / 2}px + ${data.size / 32}rem)`);  // for large letters wider
      grid.classList.toggle("filled", data.tiles.some((tile) => tile.near.length));
      const focused = [...grid.children].indexOf(grid.getRootNode().activeElement);
      grid.replaceChildren(...data.tiles.map((tile, place) => {
        const button = document.createElement("button");
        button.type = "button";
        const kinds = { off: tile.off, picked: data.ticks && !tile.off, wide: tile.near.length };
        button.className = ["tile", ...Object.keys(kinds).filter((kind) => kinds[kind])].join(" ");
        button.title = tile.hint;
        if (data.ticks) button.setAttribute("aria-pressed", String(!tile.off));
        const image = Object.assign(document.createElement("img"), { src: tile.src, alt: tile.hint });
        const pictures = document.createElement("div");
        pictures.append(image);
        if (tile.near.length) {
          pictures.className = "with";
          const column = document.createElement("div");
          for (const [src, text] of tile.near) {
            column.append(Object.assign(document.createElement("img"), { src, alt: "" }), text);
          }
          pictures.append(column);
        }
        button.append(pictures, Object.assign(document.createElement("b"), { textContent: tile.heading }));
        if (tile.bar !== null) {
          const bar = Object.assign(document.createElement("div"), { className: "bar" });
          const filled = document.createElement("i");
          filled.style.left = "0";
          filled.style.width = 100 * tile.bar + "%";
          bar.append(filled);
          button.append(bar);
        }
        button.append(Object.assign(document.createElement("span"), { textContent: tile.line }));
        if (tile.id) button.append(Object.assign(document.createElement("small"), { textContent: tile.id }));
        button.onclick = () => setTriggerValue("picked", place);
        return button;
      }));
      grid.children[focused]?.focus();
    };
    """,
)

_keys = st.components.v2.component(
    "tripletlab_keys",
    js="""
    export default ({ parentElement, setTriggerValue }) => {
      // What was pressed in all since this is on the page: of presses that follow faster than they are answered, only
      // the last one arrives. One listener for all calls: between the clean-up of a call and the next one keys are lost
      const kept = (parentElement.__pressed ??= { since: Date.now(), total: 0 });
      kept.tell = setTriggerValue;
      if (kept.listener) return;
      const answers = "input, textarea, [contenteditable], [role=slider], [role=combobox], [role=radiogroup]";
      kept.listener = (event) => {
        if (!parentElement.isConnected) {
          document.removeEventListener("keydown", kept.listener);
          kept.listener = undefined;
          return;
        }
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step || event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.(answers)) return;
        kept.total += step;
        kept.tell("pressed", [kept.since, kept.total]);
      };
      document.addEventListener("keydown", kept.listener);
    };
    """,
)


def confusion(
    names: list[str],
    counts: list[list[int]],
    shown: list[list[str]],
    shares: Sequence[tuple[str, list[str]]],
    chosen: tuple[int, int] | None,
    key: str,
    on_click: Callable[[tuple[int, int]], None],
) -> None:
    """Draws a confusion matrix with the texts `shown`; `on_click` is told the cell (true, predicted) that is clicked.

    `shares` are further columns at its right: what each is called, and its text in each row.

    Here and below: it is told before the page is drawn, so that the page is drawn once.
    """
    data = {"names": names, "counts": counts, "shown": shown, "shares": [list(each) for each in shares]}
    data["chosen"] = list(chosen) if chosen else None

    def heard(cell) -> None:
        if _two_numbers(cell) and all(0 <= each < len(names) for each in cell):
            on_click(tuple(cell))

    _mount(_matrix, key, data, "cell", heard)


def tile(
    src: str,
    heading: str,
    line: str,
    hint: str,
    bar: float | None = None,
    off: bool = False,
    near: Sequence[tuple[str, str]] = (),
    name: str = "",
) -> dict:
    """One picture for `tiles`; `bar` is a fraction, `near` are small pictures at its side with a text each."""
    shown = {"src": src, "heading": heading, "line": line, "hint": hint, "bar": bar, "off": off}
    return shown | {"near": [list(each) for each in near], "id": name}


def tiles(
    shown: list[dict],
    key: str,
    on_click: Callable[[int], None] | None = None,
    size: int = 112,
    ticks: bool = False,
) -> None:
    """Draws pictures, `size` CSS pixels wide; `on_click` is told the place of the one that is clicked.

    Those with small pictures at their side are wider where there is room. With `ticks` those that are not off carry
    a tick.
    """

    def heard(picked) -> None:
        if on_click and type(picked) is int and 0 <= picked < len(shown):
            on_click(picked)

    _mount(_tiles, key, {"tiles": shown, "size": size, "ticks": ticks}, "picked", heard)


def arrow_keys(key: str, on_press: Callable[[int], None]) -> None:
    """Listens to the arrow keys; `on_press` is told how often right, less left, was pressed since it was told last.

    What it changes it changes with its last look into the session: until then it may be broken off and told again.
    """

    def heard(pressed) -> None:
        if _two_numbers(pressed):
            session.take_presses(key, *pressed, on_press)

    _mount(_keys, key, {}, "pressed", heard)


def _two_numbers(answer) -> bool:
    """Whether a browser, which may say anything, said two whole numbers."""
    return isinstance(answer, (list, tuple)) and len(answer) == 2 and all(type(each) is int for each in answer)


def _mount(component, key: str, data: dict, name: str, heard: Callable) -> None:
    component(key=key, data=data, **{f"on_{name}_change": session.whole(lambda: heard(session.answered(key, name)))})
