// Charts: the distribution, the effects of traits, accuracy against cost, training curves.
"use strict";

function ticks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((f) => f * power).find((f) => f >= rough) || 1;
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) found.push(t);
  return found;
}

function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)), decades = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, k) => first + k);
  const leading = decades.length > 4 ? [1] : [1, 2, 5];
  return decades.flatMap((power) => leading.map((f) => f * 10 ** power)).filter((v) => v >= low && v <= high);
}

const SHARES = Array.from({ length: 161 }, (_, k) => k / 160);

function density(values, at, bandwidth) {
  return values.reduce((sum, v) => sum + Math.exp(-0.5 * ((at - v) / bandwidth) ** 2), 0) / values.length;
}

// One row for each method, of every run where there are several: density, marks, mean and its interval.
function drawDistribution() {
  const holder = document.getElementById("distribution"), several = data.runs.length > 1;
  const rows = METHODS.flatMap((name) => data.runs.flatMap((r, i) =>
    r.methods.filter((m) => m.name === name).map((m) => ({ r, i, m }))));
  if (!rows.length) return holder.replaceChildren(h("p", {}, "No method is finished."));
  const width = holder.clientWidth, tall = several ? 66 : 84, left = 6, right = 14;
  const x = (share) => left + share * (width - left - right), bottom = rows.length * tall;
  const axis = ticks(0, 1, width > 500 ? 10 : 5).map((t) => [
    s("line", { class: "axis", x1: x(t), x2: x(t), y1: 0, y2: bottom + 4 }),
    s("text", { class: "soft", x: x(t), y: bottom + 20, "text-anchor": "middle" }, String(Math.round(100 * t))),
  ]);
  const chances = new Set(rows.map((row) => row.r.chance).filter((chance) => chance > 0));
  for (const row of rows) {
    row.known = row.m.accuracy.map((a, p) => [a, p]).filter(([a]) => a !== null).sort((one, other) => one[0] - other[0]);
    row.heights = SHARES.map((at) => density(row.known.map(([a]) => a), at, 0.025));
  }
  const highest = Math.max(...rows.flatMap((row) => row.heights)); // one scale: equal areas
  const chart = s("svg", { width, height: bottom + 44, role: "group", "aria-label": `${capital(measure(...data.runs))} of every prompt under each method` },
    axis,
    rows.map(({ r }, i) => r.chance > 0
      ? s("line", { class: "chance", x1: x(r.chance), x2: x(r.chance), y1: i * tall + 18, y2: (i + 1) * tall + 4 }) : []),
    rows.map((row, i) => distributionRow(row, i * tall, tall, x, highest)),
    s("text", { class: "soft", x: x(0.5), y: bottom + 38, "text-anchor": "middle" },
      `${capital(measure(...data.runs))} under one prompt, %` + (chances.size ? `; dashed: chance, ${[...chances].map((chance) => Math.round(100 * chance)).join(" or ")}` : "")));
  holder.replaceChildren(chart);
}

function distributionRow({ r, i, m, known, heights }, top, tall, x, highest) {
  const base = top + tall - 22, scale = (tall - 46) / highest;
  const area = SHARES.map((at, k) => `${x(at).toFixed(1)},${(base - heights[k] * scale).toFixed(1)}`).join("L");
  const title = `${data.runs.length > 1 ? `${m.name}, ${r.name}` : m.name}: ${percent(m.mean)}${m.std === null ? "" : ` ± ${percent(m.std)}, worst ${percent(m.worst)}`}`;
  const marks = s("g", { role: "listbox", "aria-label": `${title}; ${plural(known.length, "prompt")}, arrow keys go through them` });
  known.forEach(([a, p], rank) => {
    const same = known.filter(([other]) => other === a); // prompts of one value share a mark's height
    const share = 14 / same.length, y = base + 4 + share * same.findIndex(([, other]) => other === p);
    marks.append(mark({ r, i, m }, a, p, { x: x(a), y, height: share }, rank === 0));
  });
  marks.addEventListener("keydown", walk);
  return s("g", { color: colour(m) },
    s("text", { class: "head", x: x(0), y: top + 14 }, title),
    s("path", { class: "density", d: `M${x(0)},${base}L${area}L${x(1)},${base}Z` }),
    s("line", { class: "axis", x1: x(0), x2: x(1), y1: base, y2: base }),
    s("line", { class: "interval", x1: x(m.interval[0]), x2: x(m.interval[1]), y1: base, y2: base }),
    s("line", { class: "mean", x1: x(m.mean), x2: x(m.mean), y1: top + 22, y2: base + 4 }),
    marks);
}

function mark({ r, i, m }, accuracy, p, at, first) {
  const prompt = r.prompts[p], text = `${percent(accuracy)}% (${[m.name, unread(m, p)].filter(Boolean).join(", ")})\n${whole(prompt)}`;
  const element = s("g", {
    class: "mark", role: "option", tabindex: first ? 0 : -1, "data-prompt": prompt.id,
    "aria-label": `${percent(accuracy)} percent: ${oneLine(whole(prompt), 300)}`, "aria-selected": "false",
    onmouseenter: () => point(element, prompt, text),
    onfocus: () => point(element, prompt, text),
    onmouseleave: () => unpoint(),
    onblur: () => unpoint(),
    onclick: () => openPrompt(i, p, r.methods.indexOf(m)),
  },
  s("rect", { x: at.x - 3, y: at.y, width: 6, height: at.height }),
  s("line", { x1: at.x, x2: at.x, y1: at.y, y2: at.y + at.height - 1 }));
  element.choose = () => openPrompt(i, p, r.methods.indexOf(m));
  return element;
}

function point(element, prompt, text) {
  for (const other of document.querySelectorAll(".mark")) {
    other.classList.toggle("on", other.dataset.prompt === prompt.id);
  }
  showTip(text, element);
}

function unpoint() {
  for (const other of document.querySelectorAll(".mark.on")) other.classList.remove("on");
  hideTip();
}

// Arrow keys within a row of marks; the row is one stop of the tab key.
function walk(event) {
  const all = [...event.currentTarget.children], now = all.indexOf(document.activeElement);
  const next = { ArrowRight: now + 1, ArrowLeft: now - 1, ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); all[now]?.choose(); }
  if (next === undefined || !all[next]) return;
  event.preventDefault();
  all[now]?.setAttribute("tabindex", -1);
  all[next].setAttribute("tabindex", 0);
  all[next].focus({ preventScroll: false });
}

function drawTraits() {
  const { traits, methods, prompts } = run();
  const told = traits.filter((t) => Object.keys(t.effects).length), small = traits.filter((t) => !told.includes(t));
  const worst = methods.map((m) => {
    const order = m.accuracy.map((a, p) => [a, p]).filter(([a]) => a !== null).sort((a, b) => a[0] - b[0]).slice(0, 3);
    return h("div", { color: colour(m) }, h("h3", { class: "key" }, m.name), h("ol", {}, order.map(([a, p]) =>
      h("li", {}, h("button", { type: "button", onclick: () => openPrompt(state.run, p, methods.indexOf(m)) },
        `${percent(a)}%: ${oneLine(whole(prompts[p]), 170)}`), h("div", { class: "role" }, prompts[p].traits)))));
  });
  const parts = [h("div", { class: "worst" }, worst), h("h3", {}, run().binary ? "What goes with accuracy" : "What goes with the score")];
  if (told.length) parts.push(legend(methods), forest(told, methods));
  else parts.push(h("p", {}, "No trait divides these prompts into two groups of at least four, so nothing can be said."));
  const rarely = small.map((t) => `${t.name} (${t.having} of ${t.having + t.lacking})`).join("; ");
  parts.push(h("p", { class: "note" },
    `Mean ${measure(run())} of the prompts with a trait less that of the prompts without it, in points, with the 95 % interval over prompts (Welch’s t). ` +
    "Each trait is looked at by itself; traits come together, and this is what goes along, not what causes. " +
    "A thick line stays clear of 0 even after correction for the number of traits (Bonferroni)." +
    (rarely ? ` Too few prompts to tell: ${rarely}.` : "")));
  show("traits", parts);
}

function forest(told, methods) {
  const span = Math.max(...told.flatMap((t) => Object.values(t.effects).flatMap((e) => [-e.interval.low, e.interval.high])), 0.05) * 1.05;
  const holder = place("traits").clientWidth, width = Math.max(220, holder < 600 ? holder - 10 : holder * 0.52);
  const x = (v) => 8 + ((v + span) / (2 * span)) * (width - 16), gap = methods.length > 4 ? 9 : 13;
  const rows = told.map((t) => {
    const tall = gap * methods.length + 6;
    const spoken = methods.map((m) => t.effects[m.name] &&
      `${m.name} ${points(t.effects[m.name].difference)} [${points(t.effects[m.name].interval.low)}, ${points(t.effects[m.name].interval.high)}]`)
      .filter(Boolean).join("; ");
    const lines = methods.flatMap((m, k) => {
      const e = t.effects[m.name], y = 3 + gap * (k + 0.5);
      return e ? [s("line", { class: e.clear ? "whisker clear" : "whisker", color: colour(m), x1: x(e.interval.low), x2: x(e.interval.high), y1: y, y2: y }),
        shape(m, x(e.difference), y, 4)] : [];
    });
    const picture = s("svg", { width, height: tall, role: "img", "aria-label": spoken },
      s("title", {}, spoken), s("line", { class: "chance", x1: x(0), x2: x(0), y1: 0, y2: tall }), lines);
    return h("tr", {}, h("th", { scope: "row" }, `${t.name} `, h("span", { class: "role" }, `(${t.having}) against ${t.opposite} (${t.lacking})`)), h("td", {}, picture));
  });
  const scale = s("svg", { width, height: 20, "aria-hidden": "true" }, ticks(-span, span, 6).map((t) =>
    s("text", { class: "soft", x: x(t), y: 14, "text-anchor": "middle" }, Math.round(t * 1000) / 10 || "0")));
  return h("table", { class: "forest" },
    h("thead", { class: "hidden" }, h("tr", {}, h("th", { scope: "col" }, "Trait (prompts)"), h("th", { scope: "col" }, "Difference in points"))),
    h("tbody", {}, rows, h("tr", {}, h("td", { class: "role" }, `points of ${measure(run())}`), h("td", {}, scale))));
}

function drawCost() {
  const { methods } = run();
  if (!methods.length) return show("cost", h("p", {}, "No method is finished."));
  const chosen = methods.some((m) => m.chooseSeconds || m.chooseTokens);
  const trained = chosen || methods.some((m) => m.trainTokens);
  const head = ["Method", `${capital(measure(run()))}, %`, chosen && "Choosing, s", chosen && "Tokens of language models", trained && "Training, s",
    trained && "Training tokens", "Answering, s", "Generated tokens"].filter(Boolean);
  const table = h("div", { class: "scroll" }, h("table", { class: "figures" },
    h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, methods.map((m) => h("tr", {}, h("th", { scope: "row", "data-method": m.name, color: colour(m) }, m.name),
      [percent(m.mean), ...(chosen ? [number(m.chooseSeconds), number(m.chooseTokens)] : []), ...(trained ? [number(m.trainSeconds), number(m.trainTokens)] : []), m.evalSeconds === null ? "–" : number(m.evalSeconds), number(m.generatedTokens)]
        .map((cell) => h("td", {}, cell)))))));
  if (!trained) return show("cost", table);
  show("cost",
    h("div", { class: "pair" }, h("div", {}), h("div", {})), legend(methods),
    h("p", { class: "note" }, "Filled: mean over prompts with its 95 % interval; hollow: the worst prompt."), table);
  const [one, other] = place("cost").querySelectorAll(".pair > div");
  one.append(scatter(one.clientWidth, methods, (m) => m.trainSeconds + m.chooseSeconds, chosen ? "Seconds of choosing and training" : "Seconds of training"));
  other.append(scatter(other.clientWidth, methods, (m) => m.trainTokens, "Tokens of training"));
}

function scatter(width, methods, cost, title) {
  const height = 250, left = 34, most = Math.max(...methods.map(cost)) * 1.08 || 1;
  const x = (v) => left + 10 + (v / most) * (width - left - 24), y = (v) => 8 + (1 - v) * (height - 56);
  const spoken = methods.map((m) => `${m.name}: ${percent(m.mean)}% after ${number(cost(m))}`).join("; ");
  const short = (v) => (v >= 1e6 ? `${v / 1e6}M` : v >= 1e4 ? `${v / 1e3}k` : String(Number(v.toPrecision(6))));
  return s("svg", { width, height, role: "img", "aria-label": `${title}. ${spoken}` }, s("title", {}, spoken),
    ticks(0, 1, 5).map((t) => [s("line", { class: "axis", x1: left, x2: width - 4, y1: y(t), y2: y(t) }),
      s("text", { class: "soft", x: left - 6, y: y(t) + 4, "text-anchor": "end" }, String(Math.round(100 * t)))]),
    ticks(0, most, width > 320 ? 5 : 3).map((t) => s("text", { class: "soft", x: x(t), y: height - 26, "text-anchor": "middle" }, short(t))),
    s("text", { class: "soft", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, title),
    methods.map((m, k) => { // methods that cost the same stand side by side
      const at = x(cost(m)) + 7 * methods.slice(0, k).filter((o) => Math.abs(x(cost(o)) - x(cost(m))) < 12).length;
      return [s("line", { class: "whisker", color: colour(m), x1: at, x2: at, y1: y(m.interval[0]), y2: y(m.interval[1]) }),
        shape(m, at, y(m.worst), 4, "hollow"), shape(m, at, y(m.mean), 5.5)];
    }));
}

function drawTraining() {
  const trained = run().methods.filter((m) => m.curve.length);
  if (!trained.length) return show("training", h("p", {}, "No finished method was trained."));
  const readout = h("output", { "aria-live": "polite" });
  show("training", legend(trained), h("div", {}), readout,
    h("p", { class: "note" }, "Loss by step; the thick line is the mean of the steps around. Ticks below mark the steps at which the training prompts changed. Point, or focus the chart and use the arrow keys, to read them."));
  const holder = place("training").children[1];
  holder.append(curves(holder.clientWidth, trained, readout));
}

function curves(width, trained, readout) {
  const left = 40, plot = 220, band = 14, height = plot + trained.length * band + 46;
  const last = Math.max(...trained.map((m) => m.curve.at(-1)[0])), all = trained.flatMap((m) => m.curve.map((c) => c[1])).filter((v) => v > 0);
  const low = Math.min(...all), high = Math.max(...all), log = high / low > 20;
  const scale = (v) => (log ? Math.log(Math.max(v, low)) : v), from = scale(low), to = scale(high);
  const x = (step) => left + (step / last) * (width - left - 8), y = (v) => 6 + (1 - (scale(v) - from) / (to - from || 1)) * (plot - 16);
  const levels = log ? logTicks(low, high) : ticks(low, high, 5);
  const path = (curve) => "M" + curve.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("L");
  const cursor = s("line", { class: "cursor", y1: 0, y2: plot + trained.length * band, visibility: "hidden" });
  const chart = s("svg", { width, height, tabindex: 0, role: "img", "aria-label": `Training loss over ${last} steps` },
    levels.map((v) => [s("line", { class: "axis", x1: left, x2: width, y1: y(v), y2: y(v) }),
      s("text", { class: "soft", x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(Number(v.toPrecision(2))))]),
    trained.map((m) => s("g", { color: colour(m) }, s("path", { class: "curve raw", d: path(m.curve) }), s("path", { class: "curve", d: path(smooth(m.curve)) }))),
    trained.map((m, k) => s("g", { color: colour(m) }, m.changes.map(([step]) =>
      s("line", { class: "change", x1: x(step), x2: x(step), y1: plot + k * band, y2: plot + k * band + 9 })))),
    cursor,
    ticks(0, last, width > 500 ? 8 : 4).map((t) => s("text", { class: "soft", x: x(t), y: plot + trained.length * band + 18, "text-anchor": "middle" }, String(t))),
    s("text", { class: "soft", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, log ? "Step (loss on a logarithmic scale)" : "Step"));
  let step = 0;
  const read = (to) => {
    step = Math.min(Math.max(1, to), last);
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    cursor.setAttribute("visibility", "visible");
    readout.replaceChildren(h("strong", {}, `Step ${step}`), ...trained.map((m) => {
      const at = m.curve.find(([a]) => a >= step) ?? m.curve.at(-1);
      const ids = m.changes.findLast(([a]) => a <= step)?.[1] ?? m.changes[0]?.[1] ?? ["unknown"];
      const prompts = ids.map((id) => oneLine(run().trainPrompts[id] ?? id, Math.ceil(160 / ids.length)));
      return h("div", { class: "key", color: colour(m) }, `${m.name}: loss ${at[1].toFixed(3)}, ${ids.length > 1 ? `${ids.length} prompts` : "prompt"}: ${prompts.join(" | ")}`);
    }));
  };
  chart.addEventListener("mousemove", (event) =>
    read(Math.round(((event.clientX - chart.getBoundingClientRect().left - left) / (width - left - 8)) * last)));
  chart.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, PageUp: 20, PageDown: -20 }[event.key];
    if (by) { event.preventDefault(); read(step + by); }
  });
  return chart;
}

// The mean of a window around each step: no lag at the beginning.
function smooth(curve) {
  const half = Math.ceil(curve.length / 50);
  return curve.map(([step], i) => {
    const near = curve.slice(Math.max(0, i - half), i + half + 1);
    return [step, near.reduce((sum, [, loss]) => sum + loss, 0) / near.length];
  });
}
