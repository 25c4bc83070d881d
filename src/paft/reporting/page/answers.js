// One prompt with the answers under it: unparsed ones first, then the lowest scores.
"use strict";
const exampleText = (example) => example.fields.map(([, text]) => text).join(" · ") || `example ${example.id}`;
const targetName = () => (run().freeText || !run().binary ? "Target" : "Right");
const stopped = { [CUT]: "cut at the token limit", [REFUSED]: "refused by the provider", [FAILED]: "failed with an error" };
const scored = (method, cell) =>
  run().binary || [NOT_ASKED, UNPARSED].includes(cells(method)[cell]) ? "" : ` ${percent(score(method, cell))}%`;

function answer(method, p, e, { examples } = run()) {
  const code = cells(method)[p * examples.length + e];
  return code === NOT_ASKED ? "not asked" : code === UNPARSED ? "could not be read" : examples[e].choices[code];
}

// Go to a prompt: its text, and what the model answered where it failed.
async function openPrompt(inRun, p, method) {
  const other = inRun !== state.run;
  if (other) await unpack(data.runs[inRun]);
  Object.assign(state, { run: inRun, prompt: p, method });
  hideTip();
  if (other) drawRun();
  else { drawGrid(); drawDetail(); fillPrompts(); }
  const heading = document.getElementById("detail-title");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// Which answers are listed: value of the choice -> its label, what a cell must be, and the count in words.
function kinds(method) {
  const asked = (cell) => cells(method)[cell] !== NOT_ASKED, { binary } = run();
  const has = (...reasons) => method.finish && bytes(method.finish).some((reason) => reasons.includes(reason));
  return new Map([
    ["failed", [binary ? "Failed" : "Below 100 %", (cell) => asked(cell) && score(method, cell) < 1, binary ? "failed" : "below 100 %"]],
    ["all", ["All", asked, "asked"]],
    ["unparsed", ["Could not be read", (cell) => cells(method)[cell] === UNPARSED, "unreadable"]],
    ...(has(CUT) ? [["cut", ["Cut", (cell) => finish(method, cell) === CUT, "cut at the token limit"]]] : []),
    ...(has(REFUSED, FAILED) ? [["refused", ["Refused or failed", (cell) => finish(method, cell) >= REFUSED, "refused by the provider or failed"]]] : []),
  ]);
}

function drawDetail() {
  const { prompts, methods } = run();
  if (!methods.length) return show("detail", h("p", {}, "No method is finished."));
  const prompt = prompts[state.prompt], method = methods[state.method], of = kinds(method);
  if (!of.has(state.cases)) state.cases = "failed";
  const select = h("select", { id: "pick", onchange: () => { state.prompt = Number(select.value); drawDetail(); fillPrompts(); } },
    prompts.map((each, p) => h("option", { value: p, selected: p === state.prompt ? "" : null }, `${percent(method.accuracy[p])}% ${oneLine(whole(each), 70)}`)));
  const figures = methods.map((m) => [`${m.name} ${percent(m.accuracy[state.prompt])}%`, unread(m, state.prompt)].filter(Boolean).join(", "));
  show("detail",
    h("div", { class: "controls" }, h("label", { class: "grow" }, "Prompt ", select), methodChoice(),
      choice("Which examples", [...of].map(([kind, [label]]) => [kind, label]), state.cases, (kind) => { state.cases = kind; drawDetail(); })),
    prompt.system ? [h("div", { class: "role" }, "System text"), template(prompt.system)] : null,
    h("div", { class: "role" }, prompt.system ? "User text" : "Prompt"), template(prompt.text || `prompt ${prompt.id} (its text is not in the run directory)`),
    h("p", { class: "note" }, [prompt.traits, figures.join("; ")].filter(Boolean).join(". ")),
    cases(method, of.get(state.cases)));
}

// The template with its slots marked.
function template(text) {
  return h("div", { class: "prompt" }, text.split(/(\{[\p{L}_][\p{L}\p{N}_]*\})/u).map((part, i) => (i % 2 ? h("mark", {}, part) : part)));
}

function cases(method, [, wanted, kind]) {
  const { examples, outputsLeftOut, hasOutputs, binary } = run(), width = examples.length, first = state.prompt * width;
  const rank = (e) => (cells(method)[first + e] === UNPARSED ? -1 : score(method, first + e));
  const found = examples.map((_, e) => e).filter((e) => wanted(first + e)).sort((a, b) => rank(a) - rank(b));
  const body = h("tbody", {}), more = h("button", { type: "button" });
  const columns = ["Example", targetName(), "The model’s answer", hasScores(method) && "Score, %", binary ? "Failed under" : "Mean over prompts"].filter(Boolean);
  let shown = 0;
  const extend = () => {
    for (const e of found.slice(shown, (shown += 25))) body.append(caseRow(method, e, columns));
    more.hidden = shown >= found.length;
    more.textContent = `Show ${Math.min(25, found.length - shown)} more of ${found.length}`;
  };
  more.addEventListener("click", extend);
  extend();
  return h("div", { id: "cases" }, h("p", { "aria-live": "polite" }, `${found.length} of ${plural(width, "example")} ${kind} (${method.name}).`),
    found.length ? h("table", { class: "cases" }, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))), body) : null,
    more,
    examples.every((e) => !e.fields.length) ? h("p", { class: "note" }, "The texts of the examples are not in this run directory; the same paft run writes them to examples.jsonl.") : null,
    outputsLeftOut ? h("p", { class: "note" }, `${outputsLeftOut} outputs or explanations had no room on this page; predictions.parquet has them all.`) : null,
    hasOutputs ? null : h("p", { class: "note" }, "The page of the run itself has the outputs too; there is no room for them here."));
}

const hasScores = (method) => !run().binary || Object.keys(method.others).length > 0;

function caseRow(method, e, columns) {
  const { examples, prompts } = run(), example = examples[e], cell = state.prompt * examples.length + e;
  const texts = [
    h("td", {}, example.fields.length ? example.fields.map(([name, text]) => h("div", { class: "text" }, example.fields.length > 1 ? h("span", { class: "role" }, `${name}: `) : null, text)) : exampleText(example),
      example.options.length ? h("div", { class: "role text" }, example.options.map((o, i) => `${String.fromCharCode(65 + i)}. ${o}`).join("\n")) : null),
    h("td", { class: "text" }, example.choices[0],
      example.targets.slice(1).map((target) => h("div", { class: "role" }, `or: ${target}`))),
    answerCell(method, cell),
    hasScores(method) ? scoreCell(method, cell) : null,
    h("td", { class: "number" }, overPrompts(method, prompts.map((_, p) => p * examples.length + e))),
  ].filter(Boolean);
  texts.slice(1).forEach((td, i) => td.setAttribute("data-name", columns[i + 1]));
  return h("tr", {}, texts);
}

function answerCell(method, cell, r = run()) {
  const { texts, examples } = r, width = examples.length, reason = stopped[finish(method, cell)];
  const output = texts[method.outputs[cell]], why = texts[method.explanations[cell]];
  const read = answer(method, Math.floor(cell / width), cell % width, r);
  return h("td", {}, h("div", { class: "text" }, cells(method)[cell] === UNPARSED ? h("em", {}, read) : read),
    reason ? h("span", { class: "badge" }, reason) : null,
    output === "" ? (reason ? null : h("div", { class: "role" }, "wrote nothing")) : output === undefined ? null : long("wrote: ", output),
    why === undefined ? null : long("why: ", why));
}

function scoreCell(method, cell) {
  const box = swatch(`rgb(${palette()(method, cell).join(" ")})`, percent(score(method, cell)));
  return h("td", { class: "number" }, box, Object.entries(method.others).map(([name, values]) =>
    h("div", { class: "role" }, `${name} ${percent(bytes(values)[cell] / FULL_SCORE)}`)));
}

// A long text opens on demand.
function long(label, text) {
  if (text.length <= 320) return h("div", { class: "role text" }, label + text);
  return h("details", {}, h("summary", {}, label + oneLine(text, 160)), h("div", { class: "role text" }, text));
}

function overPrompts(method, column) {
  const asked = column.filter((cell) => cells(method)[cell] !== NOT_ASKED), scores = asked.map((cell) => score(method, cell));
  if (run().binary) return `${scores.filter((value) => value < 1).length} of ${plural(asked.length, "prompt")}`;
  return percent(scores.reduce((sum, value) => sum + value, 0) / scores.length);
}
