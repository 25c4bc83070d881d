// Prompts to sort and filter, the heat map of prompts and examples, and one prompt with its answers.
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
    h("div", { class: "list", tabindex: 0, role: "region", "aria-label": "Prompts with their accuracy" }, h("table", { id: "prompt-table" },
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
    methods.map((m) => h("td", { class: "number", color: colour(m) }, percent(m.accuracy[p]), bar(m.accuracy[p]))))));
  document.getElementById("count").textContent = `${order.length} of ${prompts.length} prompts`;
}

function bar(share) {
  const inner = h("span");
  inner.style.width = `${100 * (share ?? 0)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, inner);
}

// Worst prompt on top, hardest example on the left.
function gridOrder(method) {
  const { prompts, examples } = run(), bytes = cells(method), width = examples.length;
  const right = new Float64Array(width);
  for (let i = 0; i < bytes.length; i++) right[i % width] += bytes[i] === 0;
  return {
    rows: prompts.map((_, p) => p).sort((a, b) => (method.accuracy[a] ?? 2) - (method.accuracy[b] ?? 2)),
    columns: examples.map((_, e) => e).sort((a, b) => right[a] - right[b]),
  };
}

function drawGrid() {
  const { prompts, examples, methods } = run();
  if (!methods.length) return show("grid", h("p", {}, "No method is finished."));
  const method = methods[state.method], order = gridOrder(method);
  const canvas = h("canvas", { tabindex: 0, role: "img", "aria-label":
    `Answers of ${method.name}: ${prompts.length} prompts, worst on top, by ${examples.length} examples, hardest on the left. Arrow keys move, Enter opens the prompt.` });
  const readout = h("output", { "aria-live": "polite" }, "Point at a cell, or focus the map and use the arrow keys.");
  const swatch = (name, text) => { const box = h("span", { class: "swatch" }); box.style.background = `var(--${name})`; return h("span", {}, box, text); };
  show("grid", h("div", { class: "controls" }, methodChoice()),
    h("div", { class: "legend" }, swatch("right", "right"), swatch("wrong", "wrong"), swatch("unparsed", "could not be read")),
    canvas, readout, h("p", { class: "note" }, "A row a prompt, the worst on top; a column an example, the hardest on the left."));
  paint(canvas, method, order);
  watchGrid(canvas, readout, method, order);
}

function paint(canvas, method, { rows, columns }) {
  const style = getComputedStyle(document.documentElement), bytes = cells(method);
  const rgb = (name) => style.getPropertyValue(`--${name}`).trim().match(/[0-9a-f]{2}/gi)?.map((c) => parseInt(c, 16)) ?? [255, 255, 255];
  const colours = { right: rgb("right"), wrong: rgb("wrong"), unparsed: rgb("unparsed"), none: style.getPropertyValue("--none").trim() };
  canvas.width = columns.length;
  canvas.height = rows.length;
  canvas.style.height = `${rows.length * Math.max(4, Math.min(16, 440 / rows.length))}px`;
  canvas.style.imageRendering = canvas.clientWidth >= columns.length ? "pixelated" : "auto";
  const context = canvas.getContext("2d"), image = context.createImageData(columns.length, rows.length);
  rows.forEach((p, r) => columns.forEach((e, c) => {
    const code = bytes[p * columns.length + e];
    if (code === NOT_ASKED) return;
    image.data.set([...(code === 0 ? colours.right : code === UNPARSED ? colours.unparsed : colours.wrong), 255], 4 * (r * columns.length + c));
  }));
  context.putImageData(image, 0, 0);
}

function watchGrid(canvas, readout, method, { rows, columns }) {
  const { prompts, examples } = run();
  let r = 0, c = 0;
  const read = () => {
    const p = rows[r], e = columns[c];
    readout.replaceChildren(
      h("div", {}, h("strong", {}, answer(method, p, e)), ` for “${oneLine(exampleText(examples[e]), 160)}” (right: ${examples[e].choices[0]})`),
      h("div", { class: "role" }, `prompt, ${percent(method.accuracy[p])} %: ${oneLine(whole(prompts[p]), 200)}`));
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

function answer(method, p, e) {
  const code = cells(method)[p * run().examples.length + e];
  return code === NOT_ASKED ? "not asked" : code === UNPARSED ? "could not be read" : run().examples[e].choices[code];
}

const exampleText = (example) => example.fields.map(([, text]) => text).join(" · ") || `example ${example.id}`;

// Go to a prompt: its text, and what the model answered where it failed.
function openPrompt(inRun, p, method) {
  const other = inRun !== state.run;
  Object.assign(state, { run: inRun, prompt: p, method });
  hideTip();
  if (other) drawRun();
  else { drawGrid(); drawDetail(); fillPrompts(); }
  const heading = document.getElementById("detail-title");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function drawDetail() {
  const { prompts, methods } = run();
  if (!methods.length) return show("detail", h("p", {}, "No method is finished."));
  const prompt = prompts[state.prompt], method = methods[state.method];
  const select = h("select", { id: "pick", onchange: () => { state.prompt = Number(select.value); drawDetail(); fillPrompts(); } },
    prompts.map((one, p) => h("option", { value: p, selected: p === state.prompt ? "" : null }, `${percent(method.accuracy[p])} % ${oneLine(whole(one), 70)}`)));
  const kinds = [["failed", "Failed"], ["all", "All"], ["unparsed", "Could not be read"]];
  show("detail",
    h("div", { class: "controls" }, h("label", { class: "grow" }, "Prompt ", select), methodChoice(),
      choice("Which examples", kinds, state.cases, (kind) => { state.cases = kind; drawDetail(); })),
    prompt.system ? [h("div", { class: "role" }, "System text"), template(prompt.system)] : null,
    h("div", { class: "role" }, prompt.system ? "User text" : "Prompt"), template(prompt.text || `prompt ${prompt.id} (its text is not in the run directory)`),
    h("p", { class: "note" }, [prompt.traits, methods.map((m) => `${m.name} ${percent(m.accuracy[state.prompt])} %`).join(", ")].filter(Boolean).join(". ")),
    cases(method));
}

// The template with its slots marked.
function template(text) {
  return h("div", { class: "prompt" }, text.split(/(\{[A-Za-z_]\w*\})/).map((part, i) => (i % 2 ? h("mark", {}, part) : part)));
}

function cases(method) {
  const { examples, methods, prompts, outputsLeftOut } = run(), width = examples.length;
  const code = (e) => cells(method)[state.prompt * width + e];
  const wanted = { failed: (k) => k !== 0 && k !== NOT_ASKED, all: (k) => k !== NOT_ASKED, unparsed: (k) => k === UNPARSED }[state.cases];
  const found = examples.map((_, e) => e).filter((e) => wanted(code(e)));
  const body = h("tbody", {}), more = h("button", { type: "button" });
  let shown = 0;
  const extend = () => {
    for (const e of found.slice(shown, (shown += 25))) body.append(caseRow(method, e, code(e)));
    more.hidden = shown >= found.length;
    more.textContent = `Show 25 more of ${found.length - shown}`;
  };
  more.addEventListener("click", extend);
  extend();
  const kind = { failed: "failed", all: "asked", unparsed: "unreadable" }[state.cases];
  return h("div", { id: "cases" }, h("p", { "aria-live": "polite" }, `${found.length} of ${width} examples ${kind} (${method.name}).`),
    found.length ? h("table", { class: "cases" },
      h("thead", {}, h("tr", {}, ["Example", "Right", "The model’s answer", "Failed under"].map((name) => h("th", { scope: "col" }, name)))), body) : null,
    more,
    examples.every((e) => !e.fields.length) ? h("p", { class: "note" }, "The texts of the examples are not in this run directory; the same paft run writes them to examples.jsonl.") : null,
    outputsLeftOut ? h("p", { class: "note" }, `${outputsLeftOut} outputs had no room on this page; predictions.parquet has them all.`) : null);
}

function caseRow(method, e, code) {
  const { examples, prompts, texts } = run(), example = examples[e], bytes = cells(method);
  const output = method.outputs[state.prompt * examples.length + e];
  const failed = prompts.filter((_, p) => ![0, NOT_ASKED].includes(bytes[p * examples.length + e])).length;
  return h("tr", {},
    h("td", {}, example.fields.length ? example.fields.map(([name, text]) => h("div", { class: "text" }, example.fields.length > 1 ? h("span", { class: "role" }, `${name}: `) : null, text)) : exampleText(example),
      example.options.length ? h("div", { class: "role text" }, example.options.map((o, i) => `${String.fromCharCode(65 + i)}. ${o}`).join("\n")) : null),
    h("td", { "data-name": "Right" }, example.choices[0]),
    h("td", { "data-name": "The model’s answer" }, code === UNPARSED ? h("em", {}, "could not be read") : answer(method, state.prompt, e),
      output === undefined ? null : h("div", { class: "role text" }, `wrote: ${texts[output]}`)),
    h("td", { class: "number", "data-name": "Failed under" }, `${failed} of ${prompts.length} prompts`));
}
