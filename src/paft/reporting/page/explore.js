// Prompts to sort and filter, and the heat map of prompts and examples.
"use strict";
const sorting = { key: "accuracy", method: null, down: false, filter: "" };

function drawPrompts() {
  const { prompts, methods } = run();
  if (!prompts.length) return show("prompts", h("p", {}, "No method is finished, so no prompt was measured."));
  sorting.method = Math.max(0, methods.length - 1);
  sorting.key = "accuracy";
  sorting.down = false;
  const search = h("input", { type: "search", id: "filter", value: sorting.filter, placeholder: "words of a prompt", oninput: () => {
    sorting.filter = search.value;
    fillPrompts();
  } });
  const head = (text, key, method) => h("th", { scope: "col", "data-key": key, "data-of": method ?? "" },
    h("button", { type: "button", onclick: () => sortBy(key, method ?? null) }, text));
  show("prompts",
    h("div", { class: "controls" }, h("label", { class: "grow" }, "Filter ", search), h("span", { id: "count", class: "role", "aria-live": "polite" })),
    h("div", { class: "list", tabindex: 0, role: "region", "aria-label": `Prompts with their ${measure(run())}` }, h("table", { id: "prompt-table" },
      h("thead", {}, h("tr", {}, head("Prompt", "text"), head("Words", "words"), methods.map((m, i) => head(`${m.name}, %`, "accuracy", i)))),
      h("tbody", {}))));
  fillPrompts();
}

function sortBy(key, method) {
  const same = sorting.key === key && sorting.method === method;
  Object.assign(sorting, { key, method, down: same ? !sorting.down : false });
  fillPrompts();
}

function fillPrompts() {
  const { prompts, methods } = run();
  const value = {
    text: (p) => whole(prompts[p]).toLowerCase(),
    words: (p) => words(prompts[p]),
    accuracy: (p) => methods[sorting.method].accuracy[p] ?? -1,
  }[sorting.key];
  const wanted = sorting.filter.toLowerCase();
  const order = prompts.map((_, p) => p)
    .filter((p) => (whole(prompts[p]) + prompts[p].traits + prompts[p].id).toLowerCase().includes(wanted))
    .sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (sorting.down ? -1 : 1));
  const table = document.getElementById("prompt-table");
  for (const th of table.querySelectorAll("th")) {
    const on = th.dataset.key === sorting.key && (sorting.key !== "accuracy" || Number(th.dataset.of) === sorting.method);
    th.setAttribute("aria-sort", on ? (sorting.down ? "descending" : "ascending") : "none");
  }
  table.tBodies[0].replaceChildren(...order.map((p) => h("tr", { class: p === state.prompt ? "chosen" : "", "data-prompt": p },
    h("td", {}, h("button", { type: "button", class: "open clamp", onclick: () => openPrompt(state.run, p, state.method) }, oneLine(whole(prompts[p]), 220))),
    h("td", { class: "number" }, String(words(prompts[p]))),
    methods.map((m) => h("td", { class: "number", color: colour(m) }, percent(m.accuracy[p]), bar(m.accuracy[p]), h("div", { class: "role" }, unread(m, p)))))));
  document.getElementById("count").textContent = `${order.length} of ${plural(prompts.length, "prompt")}`;
}

function bar(share) {
  const inner = h("span");
  inner.style.width = `${100 * (share ?? 0)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, inner);
}

// Worst prompt on top, hardest example on the left.
function gridOrder(method) {
  const { prompts, examples } = run(), width = examples.length, total = new Float64Array(width), asked = new Float64Array(width);
  for (let cell = 0; cell < prompts.length * width; cell++) {
    if (cells(method)[cell] === NOT_ASKED) continue;
    total[cell % width] += score(method, cell);
    asked[cell % width]++;
  }
  const mean = (e) => (asked[e] ? total[e] / asked[e] : 2);
  return {
    rows: prompts.map((_, p) => p).sort((a, b) => (method.accuracy[a] ?? 2) - (method.accuracy[b] ?? 2)),
    columns: examples.map((_, e) => e).sort((a, b) => mean(a) - mean(b)),
  };
}

function drawGrid() {
  const { prompts, examples, methods } = run();
  if (!methods.length) return show("grid", h("p", {}, "No method is finished."));
  const method = methods[state.method], order = gridOrder(method);
  const canvas = h("canvas", { tabindex: 0, role: "img", "aria-label":
    `Answers of ${method.name}: ${plural(prompts.length, "prompt")}, worst on top, by ${plural(examples.length, "example")}, hardest on the left. Arrow keys move, Enter opens the prompt.` });
  const readout = h("output", { "aria-live": "polite" }, "Point at a cell, or focus the map and use the arrow keys.");
  show("grid", h("div", { class: "controls" }, methodChoice()),
    h("div", { class: "legend" },
      run().binary ? [swatch("var(--right)", "right"), swatch("var(--wrong)", "wrong")]
        : h("span", {}, "score 0 ", h("span", { class: "scale", "aria-hidden": "true" }), " 100 %"),
      swatch("var(--unparsed)", "could not be read")),
    canvas, readout, h("p", { class: "note" }, "One row per prompt, the worst on top; one column per example, the hardest on the left."));
  paint(canvas, method, order);
  watchGrid(canvas, readout, method, order);
}

function swatch(background, text) {
  const box = h("span", { class: "swatch" });
  box.style.background = background;
  return h("span", {}, box, text);
}

function paint(canvas, method, { rows, columns }) {
  const shade = palette();
  canvas.width = columns.length;
  canvas.height = rows.length;
  canvas.style.height = `${rows.length * Math.max(4, Math.min(16, 440 / rows.length))}px`;
  canvas.style.imageRendering = canvas.clientWidth >= columns.length ? "pixelated" : "auto";
  const context = canvas.getContext("2d"), image = context.createImageData(columns.length, rows.length);
  rows.forEach((p, r) => columns.forEach((e, c) => {
    const cell = p * columns.length + e;
    if (cells(method)[cell] !== NOT_ASKED) image.data.set([...shade(method, cell), 255], 4 * (r * columns.length + c));
  }));
  context.putImageData(image, 0, 0);
}

function watchGrid(canvas, readout, method, { rows, columns }) {
  const { prompts, examples } = run();
  let r = 0, c = 0;
  const read = () => {
    const p = rows[r], e = columns[c];
    readout.replaceChildren(
      h("div", {}, h("strong", {}, oneLine(answer(method, p, e), 160)), scored(method, p * examples.length + e),
        ` for “${oneLine(exampleText(examples[e]), 160)}” (${targetName().toLowerCase()}: ${oneLine(examples[e].choices[0], 100)})`),
      h("div", { class: "role" }, `prompt, ${percent(method.accuracy[p])}%: ${oneLine(whole(prompts[p]), 200)}`));
  };
  const clamp = () => { r = Math.min(Math.max(0, r), rows.length - 1); c = Math.min(Math.max(0, c), columns.length - 1); };
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    r = Math.floor(((event.clientY - box.top) / box.height) * rows.length);
    c = Math.floor(((event.clientX - box.left) / box.width) * columns.length);
    clamp();
    read();
  });
  canvas.addEventListener("click", () => openPrompt(state.run, rows[r], state.method));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return openPrompt(state.run, rows[r], state.method);
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    r += by[0];
    c += by[1];
    clamp();
    read();
  });
}
