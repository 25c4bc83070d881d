// Draw everything for the chosen run; draw again when the width or the colour scheme changes.
"use strict";

function drawRun() {
  const select = document.getElementById("run");
  if (select) select.value = String(state.run);
  drawPrompts();
  drawTraits();
  drawGrid();
  drawDetail();
  drawCost();
  drawTraining();
  drawRewards();
}

function worstPrompt() {
  const accuracy = run()?.methods[state.method]?.accuracy.map((a) => a ?? 2) ?? [];
  return accuracy.indexOf(Math.min(...accuracy));
}

async function choose(index) {
  if (data.runs[index].packed) await unpack(data.runs[index]);
  state.run = index;
  state.method = Math.max(0, run().methods.length - 1);
  state.prompt = Math.max(0, worstPrompt());
  drawRun();
}

for (const cell of document.querySelectorAll("[data-method]")) cell.style.setProperty("--c", colour(cell.dataset.method));
document.getElementById("run")?.addEventListener("change", (event) => choose(Number(event.target.value)));
if (data.runs.length) {
  drawDistribution();
  choose(0).then(drawCompare);
}

let drawnAt = document.body.clientWidth;
addEventListener("resize", () => {
  if (document.body.clientWidth === drawnAt || !data.runs.length) return;
  drawnAt = document.body.clientWidth;
  drawDistribution();
  drawTraits();
  drawCost();
  drawTraining();
  drawRewards();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => data.runs.length && drawGrid());
