// Data, state and the two ways to make an element. Every text is set as text: nothing from a run is parsed as HTML.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const state = { run: 0, prompt: 0, method: 0, cases: "failed" };
const run = () => data.runs[state.run];
const METHODS = [...new Set(data.runs.flatMap((r) => r.methods.map((m) => m.name)))];
const NOT_ASKED = 254, UNPARSED = 255;

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
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const colour = (method) => `var(--m${METHODS.indexOf(method.name ?? method) % 6})`;
const percent = (share) => (share === null ? "–" : (100 * share).toFixed(1));
const points = (share) => (share > 0 ? "+" : "") + (100 * share).toFixed(1);
const number = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
const oneLine = (text, most) => {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? line.slice(0, most) + "…" : line;
};
const whole = (prompt) => (prompt.system ? `[system] ${prompt.system}\n` : "") + (prompt.text || `prompt ${prompt.id}`);
const words = (prompt) => (whole(prompt).match(/[\p{L}\p{N}_]+/gu) || []).length;

// A method's answers, a byte a cell: 0 right, 254 not asked, 255 unparsed, else which wrong answer.
function cells(method) {
  method.bytes ??= Uint8Array.from(atob(method.cells), (c) => c.charCodeAt(0));
  return method.bytes;
}

const place = (id) => document.querySelector(`#${id} > div`);
const show = (id, ...children) => place(id).replaceChildren(...children.flat().filter(Boolean));

const tip = document.getElementById("tip");
function showTip(text, box) {
  tip.textContent = text.length > 900 ? text.slice(0, 900) + "…" : text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), innerWidth - width - 8);
  const above = box.top - height - 10;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 8 ? above : Math.min(box.bottom + 10, innerHeight - height - 8)}px`;
}
const hideTip = () => { tip.hidden = true; };
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
addEventListener("scroll", hideTip, { passive: true });

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
