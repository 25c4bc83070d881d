// Curves of trainings on rewards: the reward and its spread, that on validation prompts, lengths, groups without spread.
"use strict";

const [REWARD, SPREAD, LENGTH, FLAT] = [1, 2, 3, 4]; // of a point, after its step

function drawRewards() {
  if (!document.getElementById("rewards")) return; // no method of the page was trained on rewards
  const trained = run().methods.filter((m) => m.rewards);
  if (!trained.length) return show("rewards", h("p", {}, "Nothing was trained on rewards in this run."));
  const readout = h("output", { "aria-live": "polite" }), validated = trained.some((m) => m.rewards.validation.length);
  const holders = [h("div"), h("div"), h("div")];
  show("rewards", legend(trained), h("h3", {}, "Mean reward"), holders[0],
    h("div", { class: "pair" },
      h("div", {}, h("h3", {}, "Mean length of an answer, tokens"), holders[1]),
      h("div", {}, h("h3", {}, "Groups without spread, %"), holders[2])),
    readout,
    h("p", { class: "note" }, "The band is the standard deviation of the reward over the answers of a step. " +
      (validated ? "Dashed: the mean reward of greedy answers under validation prompts, held back from the training prompts; the filled mark is the step whose adapter was kept. " : "") +
      "Nothing is learned from a group whose answers all have the same reward. Point, or focus a chart and use the arrow keys, to read a step."));
  const last = Math.max(...trained.map((m) => m.rewards.points.at(-1)[0])), cursors = [];
  const read = (to) => {
    const step = Math.min(Math.max(1, to), last);
    for (const move of cursors) move(step);
    readout.replaceChildren(h("strong", {}, `Step ${step}`), ...trained.map((m) =>
      h("div", { class: "key", color: colour(m) }, `${m.name}: ${stepInWords(m.rewards, step)}`)));
  };
  const draw = (holder, height, of) => {
    const [chart, move] = rewardPanel(holder.clientWidth, height, trained, last, of, read);
    cursors.push(move);
    holder.append(chart);
  };
  const spread = (m, p, sign) => {
    const end = p[REWARD] + sign * p[SPREAD];
    return m.rewards.isScore ? Math.min(1, Math.max(0, end)) : end;
  };
  draw(holders[0], 220, { name: "Mean reward", column: REWARD, spread, validation: true });
  draw(holders[1], 150, { name: "Mean length of an answer", column: LENGTH, from: 0 });
  draw(holders[2], 150, { name: "Groups without spread", column: FLAT, from: 0, to: 1, unit: 100 });
}

function stepInWords({ points, validation, kept }, step) {
  const p = points.find(([at]) => at >= step) ?? points.at(-1), known = validation.findLast(([at]) => at <= step);
  return [`reward ${p[REWARD].toFixed(3)} ± ${p[SPREAD].toFixed(3)}`,
    known && `on validation prompts ${known[1].toFixed(3)} (step ${known[0]}${known[0] === kept ? ", kept" : ""})`,
    `${p[LENGTH].toFixed(1)} tokens`, `${percent(p[FLAT])}% of the groups without spread`].filter(Boolean).join(", ");
}

// One chart over steps, and what moves its cursor.
function rewardPanel(width, height, trained, last, { name, column, spread, validation, from, to, unit = 1 }, read) {
  const left = 40, plot = height - 40;
  const values = trained.flatMap(({ rewards, ...m }) => [
    ...rewards.points.flatMap((p) => (spread ? [spread({ rewards }, p, -1), spread({ rewards }, p, 1)] : [p[column]])),
    ...(validation ? rewards.validation.map(([, reward]) => reward) : [])]);
  const low = from ?? Math.min(...values), high = to ?? Math.max(...values, low + 1e-6);
  const x = (step) => left + (step / last) * (width - left - 8), y = (v) => 8 + (1 - (v - low) / (high - low)) * (plot - 12);
  const path = (points) => "M" + points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("L");
  const line = (m) => m.rewards.points.map((p) => [p[0], p[column]]);
  const edge = (m, sign) => smooth(m.rewards.points.map((p) => [p[0], spread(m, p, sign)]));
  const cursor = s("line", { class: "cursor", y1: 0, y2: plot, visibility: "hidden" });
  const chart = s("svg", { width, height, tabindex: 0, role: "img", "aria-label": `${name} over ${last} steps` },
    ticks(low, high, 5).map((v) => [s("line", { class: "axis", x1: left, x2: width, y1: y(v), y2: y(v) }),
      s("text", { class: "soft", x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(Number((unit * v).toPrecision(3))))]),
    trained.map((m) => s("g", { color: colour(m) },
      spread ? s("path", { class: "band", d: `${path([...edge(m, 1), ...edge(m, -1).reverse()])}Z` }) : [],
      s("path", { class: "curve raw", d: path(line(m)) }), s("path", { class: "curve", d: path(smooth(line(m))) }))),
    validation ? trained.filter((m) => m.rewards.validation.length).map(({ name: of, rewards }) => s("g", { color: colour(of) },
      s("path", { class: "curve dashed", d: path(rewards.validation) }),
      rewards.validation.map(([step, reward]) => step === rewards.kept
        ? shape({ name: of }, x(step), y(reward), 6) : shape({ name: of }, x(step), y(reward), 3.5, "hollow")))) : [],
    cursor,
    ticks(0, last, width > 500 ? 8 : 4).map((t) => s("text", { class: "soft", x: x(t), y: plot + 16, "text-anchor": "middle" }, String(t))),
    s("text", { class: "soft", x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "Step"));
  let current = 0;
  chart.addEventListener("mousemove", (event) =>
    read(Math.round(((event.clientX - chart.getBoundingClientRect().left - left) / (width - left - 8)) * last)));
  chart.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, PageUp: 20, PageDown: -20 }[event.key];
    if (by) { event.preventDefault(); read(current + by); }
  });
  return [chart, (step) => {
    current = step;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(step));
    cursor.setAttribute("visibility", "visible");
  }];
}
