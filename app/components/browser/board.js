// The browser half of ../board.py: texts and charts in a grid, each kept under its name and changed in place.

export default async function ({ parentElement, data, setTriggerValue }) {
  const { default: drawChart } = await import(new URL(data.script, document.baseURI));
  const state = (parentElement.labBoard ??= create(parentElement));
  const wanted = new Set(data.parts.map((part) => part.name));
  for (const [name, slot] of state.slots) {
    if (wanted.has(name)) continue;
    slot.node.remove();
    slot.cleanup?.();
    state.slots.delete(name);
  }
  data.parts.forEach((part, place) => {
    const slot = state.slots.get(part.name) ?? { node: document.createElement("div") };
    state.slots.set(part.name, slot);
    if (state.frame.children[place] !== slot.node) state.frame.insertBefore(slot.node, state.frame.children[place] ?? null);
    slot.node.style.setProperty("--sixths", part.width);
    if (part.figure) {
      const { key, scale, plotly } = data;
      const chart = { ...part, key: `${part.name}_${key}`, scale, plotly };
      slot.cleanup = drawChart({ parentElement: slot.node, data: chart, setTriggerValue });
    } else if (slot.html !== part.html) {
      slot.html = slot.node.innerHTML = part.html;
    }
  });
  return () => {
    if (!parentElement.isConnected) state.slots.forEach((slot) => slot.cleanup?.()); // else a newer call is to find it
  };
}

function create(parentElement) {
  const frame = document.createElement("div");
  frame.className = "lab-board";
  parentElement.append(frame);
  return { frame, slots: new Map() };
}
