// Data, state and the two ways to make an element. Every text is set as text: nothing from a run is parsed as HTML.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const state = { run: 0, prompt: 0, method: 0, cases: "failed" };
const run = () => data.runs[state.run];
const METHODS = [...new Set(data.runs.flatMap((r) => r.methods.map((m) => m.name)))];
const NOT_ASKED = 254, UNPARSED = 255; // codes of cells
const FULL_SCORE = 200; // the byte of the score 1
const CUT = 1, REFUSED = 2, FAILED = 3; // why the model stopped
const measure = (...runs) => (runs.every((r) => r.binary) ? "accuracy" : "score");
const capital = (text) => text[0].toUpperCase() + text.slice(1);

function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "color") element.style.setProperty("--c", value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const colour = (method) => `var(--m${METHODS.indexOf(method.name ?? method) % 6})`;
// Round halves to even, as the tables that are made in Python do: toFixed rounds 81.25 up.
const fixed = (value) => {
  const half = Math.abs(value * 10) % 1 === 0.5;
  return (half ? 2 * Math.round(value * 5) / 10 : value).toFixed(1);
};
const percent = (share) => (share === null ? "–" : fixed(100 * share));
const points = (share) => (share > 0 ? "+" : "") + fixed(100 * share);
const number = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
// What a method could not read under a prompt, and what was cut, in words; nothing where it read everything.
const unread = (method, p) => [[method.unread[p], "unparsed"], [method.cut[p], "cut"]]
  .filter(([share]) => share > 0).map(([share, what]) => `${percent(share)}% ${what}`).join(", ");
const oneLine = (text, most) => {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? line.slice(0, most) + "…" : line;
};
const whole = (prompt) => (prompt.system ? `[system] ${prompt.system}\n` : "") + (prompt.text || `prompt ${prompt.id}`);
const words = (prompt) => (whole(prompt).match(/[\p{L}\p{N}_]+/gu) || []).length;

// Bytes of a method, one per cell: which answer, and where they are given the score, and why the model stopped.
const decoded = new Map();
function bytes(text) {
  if (!decoded.has(text)) decoded.set(text, Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  return decoded.get(text);
}
const cells = (method) => bytes(method.cells);
const finish = (method, cell) => (method.finish ? bytes(method.finish)[cell] : 0);
function score(method, cell, { examples } = run()) {
  if (method.scores) return bytes(method.scores)[cell] / FULL_SCORE;
  const code = cells(method)[cell];
  return Number(code === 0 || examples[cell % examples.length].right.includes(code));
}

// On a page of several runs, what is not drawn at first is deflated until then.
async function unpack(r) {
  if (!r.packed) return;
  const packed = Uint8Array.from(atob(r.packed), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const { methods, ...more } = await new Response(stream).json();
  Object.assign(r, more, { packed: null });
  methods.forEach((of, i) => Object.assign(r.methods[i], of));
}

// Colours of cells: from wrong to right by the score, and one of its own for what could not be read.
function palette() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => style.getPropertyValue(`--${name}`).trim().match(/[0-9a-f]{2}/gi)?.map((c) => parseInt(c, 16)) ?? [255, 255, 255];
  const [wrong, right, unparsed] = ["wrong", "right", "unparsed"].map(rgb);
  return (method, cell) => {
    if (cells(method)[cell] === UNPARSED) return unparsed;
    const share = score(method, cell);
    return wrong.map((from, i) => Math.round(from + share * (right[i] - from)));
  };
}

const place = (id) => document.querySelector(`#${id} > div`);
const show = (id, ...children) => place(id).replaceChildren(...children.flat(Infinity).filter(Boolean));

const tip = document.getElementById("tip");
let anchor = null; // what the tip is about; focusing it may scroll, and the tip goes along
function showTip(text, element) {
  anchor = element;
  tip.textContent = text.length > 900 ? text.slice(0, 900) + "…" : text;
  placeTip();
}
function placeTip() {
  const box = anchor?.getBoundingClientRect();
  tip.hidden = !box || box.bottom < 0 || box.top > innerHeight;
  if (tip.hidden) return;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), innerWidth - width - 8);
  const below = box.bottom + 10;
  tip.style.left = `${left}px`;
  tip.style.top = `${below + height < innerHeight ? below : Math.max(8, box.top - height - 10)}px`;
}
const hideTip = () => { anchor = null; placeTip(); };
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
addEventListener("scroll", placeTip, { passive: true });

function choice(label, options, chosen, choose) {
  return h("span", { class: "choice", role: "group", "aria-label": label }, options.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text)));
}

const methodChoice = () => choice("Method", run().methods.map((m, i) => [i, m.name]), state.method, (i) => {
  state.method = i;
  drawGrid();
  drawDetail();
});

// The same shapes as colours, so that no method is told by its colour alone.
const SHAPES = [
  (x, y, r) => s("circle", { cx: x, cy: y, r }),
  (x, y, r) => s("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  (x, y, r) => s("path", { d: `M${x},${y - 1.2 * r}l${1.2 * r},${2.2 * r}h${-2.4 * r}z` }),
  (x, y, r) => s("path", { d: `M${x},${y - 1.4 * r}l${1.4 * r},${1.4 * r}l${-1.4 * r},${1.4 * r}l${-1.4 * r},${-1.4 * r}z` }),
  (x, y, r) => s("path", { d: `M${x},${y + 1.2 * r}l${1.2 * r},${-2.2 * r}h${-2.4 * r}z` }),
  (x, y, r) => s("rect", { x: x - 1.3 * r, y: y - 0.7 * r, width: 2.6 * r, height: 1.4 * r }),
];
function shape(method, x, y, r, kind = "point") {
  const element = SHAPES[METHODS.indexOf(method.name) % 6](x, y, r);
  element.setAttribute("class", kind);
  element.style.setProperty("--c", colour(method));
  return element;
}
const legend = (methods) => h("div", { class: "legend" }, methods.map((m) =>
  h("span", {}, s("svg", { width: 14, height: 14, "aria-hidden": "true" }, shape(m, 7, 7, 5)), m.name)));
