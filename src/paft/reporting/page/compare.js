// Two methods, or two prompts, on the prompts and examples that both have.
"use strict";
const SIDES = data.runs.flatMap((r, run) => r.methods.map((m, method) => ({ r, run, m, method })));
const PAIRS = new Map(data.pairs.map(([i, j, ...values]) => [`${i} ${j}`, values]));
const compared = { sides: [0, 1], prompts: [null, null], rises: true };
const sideName = (i) => (data.runs.length > 1 ? `${SIDES[i].r.name}, ${SIDES[i].m.name}` : SIDES[i].m.name);
const comparable = (i, j) => SIDES[i].r.task === SIDES[j].r.task && SIDES[i].r.measure === SIDES[j].r.measure;
const byAccuracy = ({ m }) => m.accuracy.map((a, p) => [a, p]).filter(([a]) => a !== null).sort((a, b) => a[0] - b[0]).map(([, p]) => p);

// The last two methods of the first run, or its first method and that of a run of the same task, or two prompts.
function startCompare() {
  const own = SIDES.flatMap((side, i) => (side.run === SIDES[0].run ? [i] : [])).slice(-2);
  const other = SIDES.findIndex((_, i) => i > 0 && comparable(0, i));
  compared.sides = own.length > 1 ? own : other > 0 ? [0, other] : [0, 0];
  const order = byAccuracy(SIDES[0]);
  if (!compared.sides[1] && order.length > 1) compared.prompts = [order[0], order.at(-1)];
}

function pickSide(k, i) {
  compared.sides[k] = i;
  if (!comparable(i, compared.sides[1 - k])) {
    compared.sides[1 - k] = Math.max(i, SIDES.findLastIndex((_, j) => j !== i && comparable(i, j)));
    compared.prompts[1 - k] = null;
  }
  compared.prompts[k] = null;
  pickPrompt(1 - k, compared.prompts[1 - k]);
}

// A prompt is compared with a prompt: with itself in another method, or with the best other one.
function pickPrompt(k, p) {
  const [side, other] = [SIDES[compared.sides[k]], SIDES[compared.sides[1 - k]]];
  compared.prompts[k] = p;
  if (p === null) compared.prompts[1 - k] = null;
  else if (compared.prompts[1 - k] === null) {
    const same = side === other ? -1 : other.r.prompts.findIndex(({ key }) => key === side.r.prompts[p].key);
    const rest = byAccuracy(other).filter((q) => side !== other || q !== p);
    compared.prompts[1 - k] = same >= 0 ? same : rest.at(-1) ?? null;
  }
  drawCompare();
}

function sidePicker(k) {
  const { r, m } = SIDES[compared.sides[k]];
  const method = h("select", { "aria-label": `${k ? "Second" : "First"} method`, onchange: () => pickSide(k, Number(method.value)) },
    SIDES.map((_, i) => h("option", { value: i, selected: i === compared.sides[k] ? "" : null }, sideName(i))));
  const prompt = h("select", { "aria-label": `${k ? "Second" : "First"} prompt`, onchange: () => pickPrompt(k, prompt.value === "" ? null : Number(prompt.value)) },
    h("option", { value: "" }, "all prompts"),
    byAccuracy(SIDES[compared.sides[k]]).map((p) => h("option", { value: p, selected: p === compared.prompts[k] ? "" : null }, `${percent(m.accuracy[p])}% ${oneLine(whole(r.prompts[p]), 70)}`)));
  return h("div", { class: "controls side" }, h("label", {}, k ? "Second" : "First", method), h("label", { class: "grow" }, "Prompts", prompt));
}

// Places of the prompts and examples of both sides; a method has a cell for every one that it was asked.
function inCommon() {
  const [left, right] = compared.sides.map((i) => SIDES[i]);
  const asked = ({ r, m }) => new Map(r.keys.map((key, e) => [key, e]).filter(([, e]) =>
    r.prompts.some((_, p) => cells(m)[p * r.keys.length + e] !== NOT_ASKED)));
  const places = ({ r, m }) => new Map(r.prompts.map(({ key }, p) => [key, p]).filter(([, p]) => m.accuracy[p] !== null));
  const both = (one, other) => [...one].filter(([key]) => other.has(key)).map(([key, place]) => [place, other.get(key)]);
  const [a, b, c, d] = [places(left), places(right), asked(left), asked(right)];
  const prompts = compared.prompts[0] === null ? both(a, b) : [compared.prompts];
  return { prompts, examples: both(c, d), sizes: compared.prompts[0] === null ? [a.size, b.size] : [1, 1], widths: [c.size, d.size] };
}

// The exact sign test over the examples that changed, and Bonett and Price's interval, as evaluation/paired.py.
function overExamples(changes) {
  const n = changes.length + 2, up = changes.filter((c) => c > 0).length, changed = changes.filter((c) => c !== 0).length;
  const sum = changes.reduce((total, c) => total + c, 0), squares = changes.reduce((total, c) => total + c * c, 2);
  const half = 1.959964 * Math.sqrt((squares / n - (sum / n) ** 2) / n);
  let term = 0.5 ** changed, tail = 0, log = changed * Math.log(0.5);
  for (let k = 0; k <= Math.min(up, changed - up); k++) {
    if (k) log += Math.log((changed - k + 1) / k);
    term = Math.exp(log);
    tail += term;
  }
  return [sum / changes.length, sum / n - half, sum / n + half, Math.min(1, 2 * tail)];
}

function inWords([difference, low, high, p], names) {
  const sign = difference < 0 ? -1 : 1, ends = [sign * low, sign * high].sort((a, b) => a - b);
  const verb = difference > 0 ? "is above" : difference < 0 ? "is below" : "differs from";
  const differ = p < 0.05 && !(low <= 0 && 0 <= high);
  return `${names[1]} ${verb} ${names[0]} by ${percent(Math.abs(difference))} points [${ends.map(percent).join(", ")}], ` +
    `${p >= 0.001 ? `p = ${p.toFixed(3)}` : "p < 0.001"}: ${differ ? "a" : "no"} significant difference.`;
}

async function drawCompare() {
  if (!SIDES.length) return show("compare", h("p", {}, "No method is finished."));
  for (const i of compared.sides) if (SIDES[i].r.packed) await unpack(SIDES[i].r);
  const common = inCommon(), pickers = [sidePicker(0), sidePicker(1)];
  for (const [what, { length }] of [["prompt", common.prompts], ["example", common.examples]]) {
    if (!length) return show("compare", pickers, h("p", { class: "problem" }, `They have no test ${what} in common.`));
  }
  const [left, right] = compared.sides.map((i) => SIDES[i]);
  const value = ({ r, m }, p, e) => (cells(m)[p * r.keys.length + e] === NOT_ASKED ? NaN : score(m, p * r.keys.length + e, r));
  const changes = common.prompts.map(([p, q]) => common.examples.map(([e, f]) => value(right, q, f) - value(left, p, e)));
  const size = changes.length * changes[0].length, answered = changes.flat().filter((c) => !Number.isNaN(c)).length;
  const one = changes.length === 1, [i, j] = compared.sides, turned = PAIRS.get(`${j} ${i}`);
  const statistics = one ? overExamples(changes[0].filter((c) => !Number.isNaN(c))) : PAIRS.get(`${i} ${j}`) ?? (turned && [-turned[0], -turned[2], -turned[1], turned[3]]) ?? (i === j ? [0, 0, 0, 1] : null);
  if (!statistics || !answered) return show("compare", pickers, h("p", { class: "problem" }, "They have no answered cell in common under some prompt."));
  const names = i === j && one ? ["the first prompt", "The second prompt"] : compared.sides.map(sideName);
  const part = (noun, both, sizes) => (both === sizes[0] && both === sizes[1] ? plural(both, noun) : `the ${plural(both, noun)} that both have (of ${sizes[0]} and ${sizes[1]})`);
  show("compare", pickers,
    h("p", { class: "outcome" }, inWords(statistics, names)),
    h("p", { class: "note" }, `On ${part("prompt", common.prompts.length, common.sizes)} and ${part("example", common.examples.length, common.widths)}${answered < size ? `, ${number(answered)} of ${number(size)} cells answered by both` : ""}. ` +
      (one ? "Interval over examples (Bonett and Price); p: exact sign test over the examples whose score differs (McNemar’s, where scores are 0 or 1)."
        : `${answered < size ? "Two-way clustered" : "Bootstrap"} interval over prompts and examples; p: Wilcoxon’s signed-rank test over prompts.`) + " p is that of this pair alone."),
    changedExamples(common, changes));
}

function changedExamples(common, changes) {
  const [left, right] = compared.sides.map((i) => SIDES[i]), { binary } = left.r;
  const list = (sign) => common.examples.map((places, e) => {
    const sizes = changes.map((row) => Math.max(0, sign * row[e] || 0));
    return { places, total: sizes.reduce((a, b) => a + b, 0), count: sizes.filter((size) => size > 0).length, at: sizes.indexOf(Math.max(...sizes)) };
  }).filter(({ count }) => count).sort((a, b) => b.total - a.total);
  const lists = { false: list(-1), true: list(1) }, found = lists[compared.rises];
  const titles = binary ? { false: "Right → wrong", true: "Wrong → right" } : { false: "Lower score", true: "Higher score" };
  const body = h("tbody", {}), more = h("button", { type: "button" }), several = changes.length > 1;
  const [i, j] = compared.sides, names = i === j ? ["First prompt", "Second prompt"] : [sideName(i), sideName(j)];
  const columns = ["Example", left.r.freeText || !binary ? "Target" : "Right", several && "Prompts", ...names].filter(Boolean);
  let shown = 0;
  const extend = () => {
    for (const change of found.slice(shown, (shown += 25))) body.append(changeRow(common, change, several, columns));
    more.hidden = shown >= found.length;
    more.textContent = `Show ${Math.min(25, found.length - shown)} more of ${found.length}`;
  };
  more.addEventListener("click", extend);
  extend();
  return [h("div", { class: "controls" }, choice("Which changes", [false, true].map((rises) =>
    [rises, `${titles[rises]}: ${plural(lists[rises].length, "example")}`]), compared.rises, (rises) => { compared.rises = rises; drawCompare(); })),
  found.length ? h("table", { class: "cases changes" }, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))), body) : null, more];
}

function changeRow(common, { places, count, at }, several, columns) {
  const sides = compared.sides.map((i) => SIDES[i]), prompts = common.prompts[at];
  const example = sides[0].r.examples[places[0]];
  const answers = sides.map(({ r, m }, k) => {
    const cell = prompts[k] * r.keys.length + places[k], td = answerCell(m, cell, r);
    if (!r.binary) td.append(h("div", { class: "role" }, `${percent(score(m, cell, r))}%`));
    return td;
  });
  const texts = [h("td", { class: "text" }, exampleText(example)), h("td", { class: "text" }, example.choices[0]),
    several ? h("td", {}, `${count} of ${common.prompts.length}`, h("div", { class: "role clamp" }, oneLine(whole(sides[0].r.prompts[prompts[0]]), 160))) : null,
    ...answers].filter(Boolean);
  texts.slice(1).forEach((td, i) => td.setAttribute("data-name", columns[i + 1]));
  return h("tr", {}, texts);
}

if (SIDES.length) startCompare();
