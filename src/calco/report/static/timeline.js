"use strict";
const { events, tracks, rules, colours } = JSON.parse(document.getElementById("watched").textContent);
const chart = document.getElementById("chart"), pointed = document.getElementById("pointed"), dialog = document.getElementById("crop");
const LANE = 24, BAR = 9, GAP = 3, TOP = 26, MOST_ROWS = 60;
const first = Math.min(...tracks.map(t => t[2]), ...events.map(e => e.time), Infinity);
const start = Number.isFinite(first) ? first : 0;
const end = Math.max(start + 1, ...tracks.map(t => t[3]), ...events.map(e => e.time));
const PAD = 10;
const margin = Math.max((end - start) * 0.01, 0.05);
const whole = [start - margin, end + margin];
let view = [...whole];

const clock = seconds => {
  const s = Math.max(0, seconds), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  const rest = (view[1] - view[0] < 20) ? (s % 60).toFixed(1).padStart(4, "0") : String(Math.floor(s % 60)).padStart(2, "0");
  return (h ? `${h}:${String(m).padStart(2, "0")}` : `${m}`) + `:${rest}`;
};
const make = (name, fields, parent) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(fields)) made.setAttribute(key, value);
  return parent.appendChild(made);
};
// Bars that do not meet share a row: the first row whose last bar has ended.
const ends = [];
const placed = [...tracks].sort((a, b) => a[2] - b[2]).map(track => {
  let row = ends.findIndex(until => until < track[2]);
  if (row < 0) row = ends.length;
  ends[row] = track[3] + (end - start) * 0.004;
  return [track, row];
});
const rows = Math.min(ends.length, MOST_ROWS);

function draw() {
  const width = chart.clientWidth || 1000, lanes = rules.length * LANE, height = TOP + lanes + rows * (BAR + GAP) + 14;
  const left = rules.length ? Math.min(width * 0.3, 18 + 7 * Math.min(22, Math.max(...rules.map(rule => rule.length)))) : PAD;
  const at = seconds => left + (seconds - view[0]) / (view[1] - view[0]) * (width - left - PAD);
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.style.height = `${height}px`;
  chart.replaceChildren();
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  const wanted = (view[1] - view[0]) / Math.max(3, width / 110), step = steps.find(s => s >= wanted) || 86400;
  for (let tick = Math.ceil(Math.max(0, view[0]) / step) * step; tick <= view[1]; tick += step) {
    make("line", { class: "tick", x1: at(tick), x2: at(tick), y1: TOP - 6, y2: height }, chart);
    const edge = at(tick) > width - 40;
    make("text", { x: at(tick) + (edge ? -4 : 4), y: 14, "text-anchor": edge ? "end" : "start" }, chart).textContent = clock(tick);
  }
  placed.forEach(([[number, name, from, to], row]) => {
    if (row >= rows || to < view[0] || from > view[1]) return;
    const x = Math.max(at(from), left), bar = make("rect", {
      class: "track", x, width: Math.max(2, Math.min(at(to), width) - x), rx: 2,
      y: TOP + lanes + row * (BAR + GAP) + 4, height: BAR, fill: colours[name] || "#888", "data-track": number }, chart);
    bar.addEventListener("pointerenter", () => { pointed.textContent = `${name} ${number}: ${clock(from)} to ${clock(to)}`; });
    bar.addEventListener("click", () => choose(number, true));
  });
  rules.forEach((rule, lane) => {
    const y = TOP + lane * LANE + LANE / 2;
    make("line", { class: "lane", x1: left, x2: width, y1: y, y2: y }, chart);
    make("text", { x: PAD, y: y + 4 }, chart).textContent = rule.length > 22 ? `${rule.slice(0, 21)}…` : rule;
  });
  events.forEach(event => {
    if (event.time < view[0] || event.time > view[1]) return;
    const dot = make("circle", { class: "dot", cx: at(event.time), cy: TOP + Math.max(0, rules.indexOf(event.rule)) * LANE + LANE / 2,
      r: 6, tabindex: 0, role: "button", "aria-label": `${event.rule} at ${clock(event.time)}, ${event.class} ${event.track}`,
      "data-event": event.event }, chart);
    const tell = () => { pointed.textContent = `${event.rule}: ${event.class} ${event.track} at ${clock(event.time)}`; };
    dot.addEventListener("pointerenter", tell);
    dot.addEventListener("focus", tell);
    dot.addEventListener("click", () => enlarge(event.event));
    dot.addEventListener("keydown", key => { if (key.key === "Enter" || key.key === " ") { key.preventDefault(); enlarge(event.event); } });
  });
}
function choose(number, scrolls) {
  let chosen = null;
  for (const bar of chart.querySelectorAll(".track")) bar.classList.toggle("on", bar.dataset.track === String(number));
  for (const card of document.querySelectorAll(".event")) {
    const mine = card.dataset.track === String(number);
    card.classList.toggle("on", mine);
    if (mine && !card.hidden) chosen = card;
  }
  if (chosen && scrolls) chosen.scrollIntoView({ block: "nearest" });
}
function enlarge(number) {
  const card = document.getElementById(`event-${number}`);
  if (!card) return;
  const crop = card.querySelector("img"), shown = dialog.querySelector("img");
  shown.hidden = !crop;
  if (crop) { shown.src = crop.src; shown.alt = crop.alt; }
  dialog.querySelector("figcaption").replaceChildren(...[...card.querySelector(".about").childNodes].map(node => node.cloneNode(true)));
  choose(card.dataset.track, false);
  dialog.showModal();
}
function zoom(scale, middle = (view[0] + view[1]) / 2) {
  const most = whole[1] - whole[0], span = Math.min(most, Math.max(Math.min(1, most), (view[1] - view[0]) * scale));
  const from = middle - (middle - view[0]) / (view[1] - view[0]) * span;
  show(from, span);
}
function show(from, span) {
  const left = Math.min(Math.max(from, whole[0]), whole[1] - span);
  view = [left, left + span];
  draw();
}
for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => {
  const span = view[1] - view[0];
  ({ in: () => zoom(0.5), out: () => zoom(2), all: () => show(whole[0], whole[1] - whole[0]),
     left: () => show(view[0] - span / 2, span), right: () => show(view[0] + span / 2, span) })[button.dataset.zoom]();
});
let held = null;
chart.addEventListener("pointerdown", event => { held = [event.clientX, view[0]]; });
addEventListener("pointerup", () => { held = null; chart.classList.remove("dragged"); });
chart.addEventListener("pointermove", event => {
  if (!held || Math.abs(event.clientX - held[0]) < 4) return;
  chart.classList.add("dragged");
  const span = view[1] - view[0];
  show(held[1] - (event.clientX - held[0]) / chart.clientWidth * span, span);
});
for (const card of document.querySelectorAll(".event")) card.querySelector("button").addEventListener("click", () => enlarge(card.id.slice(6)));
for (const chip of document.querySelectorAll(".chips button")) chip.addEventListener("click", () => {
  const on = chip.getAttribute("aria-pressed") !== "true";
  chip.setAttribute("aria-pressed", on);
  for (const card of document.querySelectorAll(".event")) if (card.dataset.rule === chip.dataset.rule) card.hidden = !on;
});
dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
addEventListener("resize", draw);
draw();
