// The browser half of ../plotly_chart.py: a Plotly chart that is updated in place, and thumbnails for its points.
//
// Streamlit calls the default export when the element appears, when its data change and when the theme changes.
// The chart's state hangs on the element's node, so that every call finds the same chart again. What is returned is
// called when the element has gone, but also when a newer call overtook this one: then the node is still in the page.

const albums = new Map(); // key of an embedding map -> data URI of its sprite sheet
const films = new Map(); // key of an embedding map -> its frames, see Film in ../plotly_chart.py
const guests = new Map(); // key of an embedding map -> a new point, see map_guest in ../plotly_chart.py
const painters = new Map(); // key of an embedding map -> what draws its film bar, and all of it, anew
let plotly; // one promise for the page: the library is 4.8 MB

function loadPlotly(address) {
  plotly ??= new Promise((resolve, reject) => {
    // A script tag, and the same address for every page: the browser keeps what it has compiled (see app/kept.py).
    const script = document.createElement("script");
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error(`${address} could not be loaded`));
    script.src = new URL(address, document.baseURI);
    document.head.append(script);
  });
  plotly.catch(() => (plotly = undefined)); // so that the next update tries again
  return plotly;
}

function element(tag, className, parent) {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
}

// Streamlit's theme as a Plotly template: whatever the figure says itself has priority over it.
function template(frame, isMap, scale) {
  const style = getComputedStyle(frame);
  const read = (name, otherwise) => {
    const value = style.getPropertyValue(name).trim();
    return value && value !== "unset" ? value : otherwise;
  };
  const text = read("--st-text-color", "#31333f");
  const line = read("--st-border-color", "#cccccc");
  const family = read("--st-font", "sans-serif");
  const clear = "rgba(0,0,0,0)";
  const axis = {
    automargin: true,
    color: text,
    gridcolor: read("--st-border-color-light", line),
    linecolor: line,
    showline: true,
    ticks: "outside",
    tickcolor: line,
    spikecolor: text,
    spikedash: "solid",
    spikethickness: 1,
    zeroline: false,
    title: { font: { size: 16 * scale }, standoff: 10 },
  };
  return {
    layout: {
      font: { family, color: text, size: 15 * scale }, // for a wall, not for a page
      paper_bgcolor: clear,
      plot_bgcolor: read("--st-background-color", "#ffffff"), // also the outline of the line at the mouse
      colorway: read("--st-chart-categorical-colors", "#0b6e99,#e69f00,#009e73,#d55e00,#cc79a7").split(","),
      margin: { l: 64, r: 16, t: 40, b: 52 },
      title: { font: { size: 18 } },
      xaxis: axis,
      yaxis: axis,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", bgcolor: clear },
      hoverlabel: {
        bgcolor: read("--st-secondary-background-color", "#f0f2f6"),
        bordercolor: line,
        font: { family, color: text, size: 15 },
      },
      modebar: { bgcolor: clear, color: read("--st-gray-text-color", text), activecolor: text },
      annotationdefaults: { bgcolor: read("--st-background-color", "#ffffff"), font: { family, color: text } },
      ...(isMap ? { hovermode: "closest", dragmode: "pan" } : {}),
    },
    data: { scatter: [{ line: { width: 2.5 }, marker: { size: 7 } }], scattergl: [{ marker: { size: 7 } }] },
  };
}

// For a projector: thicker lines, larger points and titles, and the room that they need.
function enlarge(data, layout, scale) {
  for (const trace of data) {
    if (trace.line?.width) trace.line.width *= scale;
    if (trace.marker?.size) trace.marker.size *= scale;
  }
  if (layout.title?.font?.size) layout.title.font.size *= scale;
  for (const side of Object.keys(layout.margin ?? {})) layout.margin[side] *= scale;
}

const isNarrow = (state) => state.frame.clientWidth < 560; // CSS pixels, as on a phone

// Beside a legend nothing would be left of the map: it is above it or, of many classes, left out.
function narrow(names, layout) {
  const legend = { orientation: "h", x: 0, xanchor: "left", y: 1.01, yanchor: "bottom", itemsizing: "constant" };
  return { legend, showlegend: new Set(names).size <= 18, margin: { ...layout.margin, l: 4, r: 4 } };
}

// Plotly keeps a zoom only as long as the figure asks for the same range as when it was made.
function keepZoom(state, layout) {
  const shown = state.graph.layout;
  if (shown?.uirevision !== layout.uirevision) state.asked = {};
  for (const [name, axis] of Object.entries(layout).filter(([name]) => /^[xy]axis\d*$/.test(name))) {
    const asked = state.asked[name];
    const isZoomed = asked && shown[name]?.range?.some((end, i) => end !== asked[i]);
    if (isZoomed) axis.range = asked;
    state.asked[name] = axis.range?.slice();
  }
}

function prepare(state) {
  const { data, layout } = JSON.parse(state.data.figure); // parsed anew every time: Plotly writes into what it gets
  const isMap = Boolean(state.data.captions);
  const names = data.map((trace) => trace.name);
  state.wasNarrow = isNarrow(state);
  data.forEach((trace, i) => {
    // A hidden curve stays hidden by its name, also when another curve appears before it.
    const unique = trace.name && names.indexOf(trace.name) === names.lastIndexOf(trace.name);
    const name = unique ? Array.from(trace.name, (c) => c.codePointAt(0).toString(36)).join("-") : i;
    trace.uid = `curve-${name}`;
    if (isMap && trace.customdata !== undefined) {
      trace.hoverinfo = "none"; // the thumbnail is the label; the events still come
      delete trace.hovertemplate;
    }
  });
  const ink = getComputedStyle(state.frame).getPropertyValue("--st-text-color").trim() || "#31333f";
  for (const trace of data.filter((trace) => trace.meta?.ink)) {
    for (const part of [trace.line, trace.marker, trace.marker?.line]) if (part) part.color = ink;
  }
  for (const trace of data.filter((trace) => trace.meta?.outlined)) trace.marker.line.color = ink;
  if (isMap && guests.has(state.data.key)) data.push(...guestTraces(guests.get(state.data.key), ink));
  if (isMap && state.wasNarrow) Object.assign(layout, narrow(names, layout));
  const scale = state.data.scale ?? 1;
  if (scale !== 1) enlarge(data, layout, scale);
  delete layout.width; // the element decides
  delete layout.height;
  layout.autosize = true;
  layout.uirevision ??= "kept";
  keepZoom(state, layout);
  layout.template = template(state.frame, isMap, scale);
  const config = {
    displayModeBar: "hover",
    displaylogo: false,
    showTips: false, // its boxes cover the curves
    showSendToCloud: false, // "Share chart..." would send the figure to Plotly's server; it is on by default
    plotlyServerURL: "",
    modeBarButtonsToRemove: isMap ? ["autoScale2d"] : ["select2d", "lasso2d", "autoScale2d"],
    scrollZoom: isMap,
    toImageButtonOptions: { filename: state.data.key, scale: 2 },
  };
  return [data, layout, config];
}

// A star, and lines to its neighbours.
function guestTraces({ place, linked }, ink) {
  // scattergl as the others: Plotly draws all of that kind above those that are not
  const common = { type: "scattergl", hoverinfo: "skip", showlegend: false, meta: { guest: true } };
  const [x, y] = [0, 1].map((axis) => linked.flatMap((end) => [place[axis], end[axis], NaN]));
  const marker = { symbol: "star", size: 26, color: "#ffd21f", opacity: 1, line: { width: 2, color: "#000" } };
  return [
    { ...common, name: "guest lines", x, y, mode: "lines", line: { width: 2, color: ink } },
    { ...common, name: "guest", x: [place[0]], y: [place[1]], mode: "markers", marker },
  ];
}

// Drawings follow one another: Plotly is not made for a second one on the same node before the first has ended.
function requestDrawing(state) {
  state.wanted = true;
  state.drawn = state.drawn.then(() => draw(state));
}

async function draw(state) {
  try {
    const Plotly = await loadPlotly(state.data.plotly);
    if (state.gone || state.held || state.playing || !state.wanted) return; // held: release() asks again
    state.wanted = false;
    hideThumbnail(state);
    await Plotly.react(state.graph, ...prepare(state));
    await hideMarks(state);
    state.message.textContent = "";
    if (!state.listening) listen(state); // graph.on exists from the first drawing on
    showFilmBar(state);
  } catch (error) {
    if (state.gone) return; // the page was left meanwhile
    console.error(error);
    state.message.textContent = "This chart could not be drawn. Reload the page to try again.";
  }
}

function listen(state) {
  state.listening = true;
  state.graph.on("plotly_hover", (event) => showThumbnail(state, event));
  state.graph.on("plotly_unhover", () => hideThumbnail(state));
  state.graph.on("plotly_relayouting", () => hideThumbnail(state));
  state.graph.on("plotly_afterplot", () => {
    const off = hiddenBy(state).traces.join();
    if (off === state.off) return;
    state.off = off; // somebody clicked in the legend
    requestDrawing(state);
  });
  state.graph.on("plotly_click", (event) => {
    const index = pointIndex(state, event);
    if (index !== undefined) state.send("picked", index);
  });
  state.graph.on("plotly_selected", (event) => {
    if (!state.data.captions || !event) return;
    const indices = event.points.map((point) => customIndex(point)).filter((index) => index != null);
    state.send("lasso", [...new Set(indices)].slice(0, MOST_SELECTED));
  });
  state.graph.on("plotly_deselect", () => state.data.captions && state.send("lasso", []));
}

// What the legend hides: the points, the names of their classes, and the traces.
function hiddenBy(state) {
  const hidden = { points: new Set(), classes: new Set(), traces: [] };
  if (!state.data.captions) return hidden;
  for (const trace of state.graph._fullData) {
    if (trace.visible !== "legendonly" || trace.meta || trace.customdata === undefined) continue;
    Array.from(trace.customdata).forEach((index) => hidden.points.add(index));
    hidden.classes.add(trace.legendgroup);
    hidden.traces.push(trace.uid);
  }
  return hidden;
}

// The marks of hidden points, and the names of hidden classes, go with them.
async function hideMarks(state) {
  const { graph } = state;
  const { points, classes } = hiddenBy(state);
  if (!points.size) return;
  const [x, marks] = [[], []];
  graph._fullData.forEach((trace, number) => {
    if (!trace.meta?.on_top) return;
    x.push(Array.from(trace.x, (at, i) => (points.has(trace.customdata[i]) ? NaN : at)));
    marks.push(number);
  });
  const names = graph.layout.annotations ?? [];
  const annotations = names.map((each) => ({ ...each, visible: !classes.has(each.name) }));
  await window.Plotly.update(graph, { x }, { annotations }, marks);
}

const MOST_SELECTED = 5000; // points of a lasso that travel to the server

const REACH = 6; // pixels around the centre of a mark that lies on top

// The caption's index of the point an event is about, or undefined.
function pointIndex(state, event) {
  const index = onTop(state, event) ?? event.points?.map((point) => customIndex(point)).find((i) => i != null);
  return state.data.captions?.[index] === undefined ? undefined : Number(index);
}

function customIndex(point) {
  return [point.customdata].flat()[0];
}

// The index of the nearest point within reach of a trace with meta.on_top: Plotly itself prefers whatever lies a
// fraction of a pixel nearer, also when it is hidden under that mark.
function onTop(state, event) {
  const { xaxis, yaxis } = event.points?.[0] ?? {};
  if (!xaxis || !event.event) return undefined;
  const box = state.graph.getBoundingClientRect();
  const [x, y] = [event.event.clientX - box.x - xaxis._offset, event.event.clientY - box.y - yaxis._offset];
  let [nearest, reach] = [undefined, REACH];
  for (const trace of state.graph._fullData) {
    if (!trace.meta?.on_top || trace.visible !== true) continue;
    for (let i = 0; i < trace.x.length; i++) {
      const distance = Math.hypot(xaxis.d2p(trace.x[i]) - x, yaxis.d2p(trace.y[i]) - y);
      if (distance <= reach) [nearest, reach] = [trace.customdata[i], distance];
    }
  }
  return nearest;
}

function showThumbnail(state, event) {
  const index = pointIndex(state, event);
  if (index === undefined) return;
  const { thumbnail, picture, caption, frame, data } = state;
  const [width, height] = data.tile;
  const scale = Math.max(1, Math.round(84 / Math.max(width, height))); // whole pixels, about 84 on the screen
  caption.textContent = data.captions[index];
  picture.width = width; // also clears the canvas
  picture.height = height;
  picture.style.width = `${width * scale}px`;
  picture.style.height = `${height * scale}px`;
  thumbnail.dataset.index = index;
  const column = index % data.columns;
  const row = Math.floor(index / data.columns);
  const show = (sheet) => {
    if (thumbnail.dataset.index !== String(index)) return; // the mouse has moved on
    picture.getContext("2d").drawImage(sheet, column * width, row * height, width, height, 0, 0, width, height);
  };
  loadSheet(state).then(show, () => {}); // without a readable sheet the caption stands alone
  thumbnail.hidden = false;
  frame.classList.add("pointing");
  const area = frame.getBoundingClientRect();
  const gap = 14; // from the cursor to the thumbnail
  const x = event.event.clientX - area.left;
  const y = event.event.clientY - area.top;
  const left = x + gap + thumbnail.offsetWidth <= area.width ? x + gap : x - gap - thumbnail.offsetWidth;
  const visible = Math.min(area.bottom, window.innerHeight) - area.top; // a low window shows only a part of the chart
  const top = y + gap + thumbnail.offsetHeight <= visible ? y + gap : y - gap - thumbnail.offsetHeight;
  thumbnail.style.left = `${Math.max(0, left)}px`;
  thumbnail.style.top = `${Math.max(0, top)}px`;
}

function hideThumbnail(state) {
  state.thumbnail.hidden = true;
  state.frame.classList.remove("pointing");
}

// The decoded sprite sheet; decoded once for each new sheet.
async function loadSheet(state) {
  const source = albums.get(state.data.key);
  if (!state.sheet || state.sheet.src !== source) {
    state.sheet = new Image();
    state.sheet.src = source ?? "";
  }
  await state.sheet.decode();
  return state.sheet;
}

// Time travel: all frames are here, and playing them asks nothing of the server.

const STEP = 800; // milliseconds from one epoch to the next
const MOST_OF_AN_EPOCH = 0.34; // between two drawings, so that a slow computer skips no epoch
const MOST_TWEENED = 12000; // points that are moved smoothly; more jump from epoch to epoch

function decodeFilm(film) {
  const bytes = Uint8Array.from(atob(film.places), (letter) => letter.charCodeAt(0));
  return { ...film, places: new Int16Array(bytes.buffer) };
}

function showFilmBar(state) {
  const film = films.get(state.data.key);
  state.film = film;
  state.bar.hidden = !film;
  state.frame.classList.toggle("has-film", Boolean(film));
  if (!film || state.playing) return;
  const position = Math.max(0, film.epochs.indexOf(film.epoch));
  state.slider.max = film.epochs.length - 1;
  state.slider.value = state.position = position;
  describeFrame(state, position);
}

function describeFrame(state, position) {
  const place = Math.round(position);
  const { epochs, said } = state.film;
  state.slider.value = place;
  state.told.textContent = `epoch ${epochs[place]} of ${epochs.at(-1)}${said[place] ? ` · ${said[place]}` : ""}`;
  state.slider.setAttribute("aria-valuetext", `epoch ${epochs[place]}`);
}

// Moves every mark to where it is at a position between two frames.
async function showFrame(state, position) {
  const { film, graph } = state;
  const count = film.count;
  const [before, share] = [Math.floor(position), position - Math.floor(position)];
  const after = Math.min(before + 1, film.epochs.length - 1);
  const at = (i, axis, frame) => film.places[2 * (frame * count + i) + axis] * film.scale + film.shift[axis];
  const place = (i, axis) => at(i, axis, before) * (1 - share) + at(i, axis, after) * share;
  const hidden = hiddenBy(state);
  const isGuestHere = film.epochs[Math.round(position)] === film.epoch; // it belongs to the epoch of the server's map
  const [update, traces] = [{ x: [], y: [], customdata: [], "marker.size": [], "marker.line.width": [] }, []];
  graph._fullData.forEach((trace, number) => { // in which the numbers are decoded
    let points = trace.meta?.points ?? trace.customdata;
    if (trace.meta?.rings) points = film.wrong[Math.round(position)];
    if (trace.meta?.trails) points = [];
    if (points === undefined) return;
    points = Array.from(points);
    const away = (i) => i < 0 || (trace.meta?.on_top && hidden.points.has(i));
    let xy = [0, 1].map((axis) => points.map((i) => (away(i) ? NaN : place(i, axis))));
    for (const i of trace.meta?.trails ?? []) {
      for (let frame = 0; frame <= before; frame++) [0, 1].forEach((axis) => xy[axis].push(at(i, axis, frame)));
      [0, 1].forEach((axis) => xy[axis].push(place(i, axis), NaN));
    }
    update.x.push(xy[0]);
    update.y.push(xy[1]);
    update.customdata.push(trace.customdata === undefined ? undefined : points);
    const ring = Math.min(Math.max(150 / Math.sqrt(points.length), 8), 15); // as in ../../drawing/maps.py
    update["marker.size"].push(trace.meta?.rings ? ring : undefined);
    update["marker.line.width"].push(trace.meta?.rings ? ring / 6 : undefined);
    traces.push(number);
  });
  const guestMarks = graph._fullData.flatMap((trace, number) => (trace.meta?.guest ? [number] : []));
  const middle = (c, axis) => film.names[before][c][axis] * (1 - share) + film.names[after][c][axis] * share;
  const annotations = (graph.layout.annotations ?? []).map((each, c) => {
    return { ...each, x: middle(c, 0), y: middle(c, 1), visible: !hidden.classes.has(each.name) };
  });
  hideThumbnail(state);
  await window.Plotly.update(graph, update, { annotations }, traces);
  if (guestMarks.length) await window.Plotly.restyle(graph, { visible: isGuestHere }, guestMarks);
  state.position = position;
  describeFrame(state, position);
}

async function play(state) {
  if (state.playing) return stopPlaying(state);
  const last = state.film.epochs.length - 1;
  const smooth = state.film.count <= MOST_TWEENED;
  state.playing = true;
  state.playButton.textContent = "❚❚";
  state.playButton.setAttribute("aria-label", "Pause");
  let [position, shown] = [state.position >= last ? 0 : state.position, performance.now()];
  while (state.playing && !state.gone) {
    try {
      await showFrame(state, smooth ? position : Math.floor(position));
    } catch (error) {
      console.error(error);
      break;
    }
    if (position >= last) break;
    await new Promise((resolve) => setTimeout(resolve, 15)); // a background tab gets no animation frames
    const now = performance.now();
    position = Math.min(position + Math.min((now - shown) / STEP, MOST_OF_AN_EPOCH), last);
    shown = now;
  }
  if (state.playing) stopPlaying(state);
}

function stopPlaying(state) {
  state.playing = false;
  state.playButton.textContent = "▶";
  state.playButton.setAttribute("aria-label", "Play");
  const place = Math.round(state.position);
  choose(state, place);
  // What came meanwhile may be of the epoch before it was played; then the answer to this choice is on its way.
  const isCurrent = films.get(state.data.key)?.epoch === state.film.epochs[place];
  if (state.wanted && isCurrent) requestDrawing(state);
}

// Tells the server which epoch is looked at, so that colours, numbers and neighbours are those of that epoch.
function choose(state, place) {
  state.send("epoch", state.film.epochs[place]);
  if (place !== state.position) showFrame(state, place);
}

function createFilmBar(state) {
  state.bar.hidden = true;
  state.playButton = element("button", "play", state.bar);
  Object.assign(state.playButton, { type: "button", textContent: "▶" });
  state.playButton.setAttribute("aria-label", "Play");
  state.slider = element("input", "epochs", state.bar);
  Object.assign(state.slider, { type: "range", min: 0, step: 1 });
  state.slider.setAttribute("aria-label", "Epoch");
  state.told = element("span", "told", state.bar);
  state.playButton.onclick = () => state.film && play(state);
  state.slider.oninput = () => {
    state.playing = false;
    state.playButton.textContent = "▶";
    state.moving = (state.moving ?? Promise.resolve()).then(() => showFrame(state, Number(state.slider.value)));
  };
  state.slider.onchange = () => choose(state, Number(state.slider.value));
}

const css = `
.lab-chart { position: relative; width: 100%; }
.lab-chart .graph { width: 100%; height: 100%; }
.lab-chart .message { position: absolute; inset: 0; margin: 0; pointer-events: none; color: var(--st-text-color); }
.lab-chart.pointing .nsewdrag { cursor: pointer !important; }
.lab-chart .thumbnail { position: absolute; z-index: 10; pointer-events: none; width: max-content; max-width: 15rem;
  padding: 8px; border: 1px solid var(--st-border-color); border-radius: 8px; color: var(--st-text-color);
  background: var(--st-background-color); box-shadow: 0 4px 16px rgba(0, 0, 0, 0.25); font: 15px/1.3 var(--st-font); }
.lab-chart .thumbnail[hidden] { display: none; }
.lab-chart canvas.picture { display: block; margin: 0 auto 6px; image-rendering: pixelated; }
.lab-chart .caption { text-align: center; }
.lab-chart.has-film .graph { height: calc(100% - 44px); }
.lab-chart .bar { display: flex; gap: 12px; align-items: center; height: 44px; font: 16px var(--st-font);
  color: var(--st-text-color); }
.lab-chart .bar[hidden] { display: none; }
.lab-chart .play { width: 44px; height: 34px; border-radius: 8px; color: inherit; background: none; cursor: pointer;
  font: inherit; border: 1px solid var(--st-border-color); }
.lab-chart .play:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
.lab-chart .epochs { flex: 1; min-width: 6rem; max-width: 24rem; accent-color: var(--st-primary-color); }
.lab-chart .told { white-space: nowrap; font-variant-numeric: tabular-nums; }
`;

function create(parentElement) {
  const frame = element("div", "lab-chart", parentElement);
  element("style", "", frame).textContent = css;
  const graph = element("div", "graph", frame);
  const message = element("p", "message", frame);
  const bar = element("div", "bar", frame);
  const thumbnail = element("div", "thumbnail", frame);
  thumbnail.hidden = true;
  const picture = element("canvas", "picture", thumbnail);
  const caption = element("div", "caption", thumbnail);
  const state = { frame, graph, message, bar, thumbnail, picture, caption, drawn: Promise.resolve(), position: 0, asked: {} };
  createFilmBar(state);

  const resized = new ResizeObserver(() => {
    // Plotly refuses to measure a chart in a closed tab; it is measured when the tab opens.
    if (!state.listening || state.gone || !frame.clientWidth) return;
    const { width, height } = graph._fullLayout;
    if (state.data.captions && state.wasNarrow !== isNarrow(state)) requestDrawing(state); // of a map, see prepare
    else if (width !== graph.clientWidth || height !== graph.clientHeight) window.Plotly.Plots.resize(graph).catch(() => {});
  });
  resized.observe(graph); // it becomes lower when the bar of epochs comes
  // While the mouse draws a zoom box, new data wait; and for 400 ms more, as Plotly awaits a second click for 300 ms.
  const press = () => {
    clearTimeout(state.timer);
    state.held = true;
  };
  const release = () => {
    if (!state.held) return;
    clearTimeout(state.timer);
    state.timer = setTimeout(() => {
      state.held = false;
      if (state.wanted) requestDrawing(state);
    }, 400);
  };
  frame.addEventListener("pointerdown", press, true);
  frame.addEventListener("pointerleave", () => hideThumbnail(state));
  for (const name of ["pointerup", "pointercancel", "blur"]) window.addEventListener(name, release, true);

  state.cleanup = () => {
    if (parentElement.isConnected) return; // a newer call is to find the chart
    state.gone = true;
    state.playing = false;
    resized.disconnect();
    clearTimeout(state.timer);
    for (const name of ["pointerup", "pointercancel", "blur"]) window.removeEventListener(name, release, true);
    delete parentElement.labChart;
    state.drawn.then(() => {
      if (state.listening) window.Plotly.purge(graph);
      frame.remove();
    });
  };
  return state;
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (data.guest !== undefined) {
    const show = (guest) => {
      if (guest) guests.set(data.key, guest);
      else if (!guests.delete(data.key)) return;
      painters.get(data.key)?.all();
    };
    show(data.guest);
    return () => parentElement.isConnected || show(null);
  }
  if (data.film !== undefined) {
    if (data.film) films.set(data.key, decodeFilm(data.film));
    else films.delete(data.key);
    painters.get(data.key)?.bar();
    return () => parentElement.isConnected || films.delete(data.key);
  }
  if (data.sprite !== undefined) {
    albums.set(data.key, data.sprite);
    return () => parentElement.isConnected || albums.delete(data.key);
  }
  const state = (parentElement.labChart ??= create(parentElement));
  state.data = data;
  state.send = setTriggerValue;
  painters.set(data.key, {
    bar: () => state.listening && !state.gone && showFilmBar(state),
    all: () => !state.gone && requestDrawing(state),
  });
  state.frame.style.height = typeof data.height === "number" ? `${data.height}px` : data.height;
  state.graph.setAttribute("role", "img");
  state.graph.setAttribute("aria-label", data.alt);
  requestDrawing(state);
  return state.cleanup;
}
