/* Drawing, tables, filters, languages. */
const CONFIG = { displayModeBar: false, responsive: true, showTips: false };
/* The filters that are set and that a chart's source knows nothing of. */
function unheeded(name) {
  const datacrim = DATACRIM.has(name) || (name === "map" && D.crimes[0].length);
  if (datacrim && (state.weapon !== "" || state.kind.startsWith("k"))) return t().noWeapon;
  return !datacrim && state.kind.startsWith("g") ? t().noGeneric : "";
}
/* What the filters leave, in words: for paper and images, which do not show the fields. */
function filters() {
  const years = [...state.years].sort().map((year) => year || t().unknown);
  const named = (id) => (state[id] === "" ? "" : $(id).selectedOptions[0].textContent);
  return [years.length < D.years.length && years.join(", "), ...["department", "kind", "weapon"].map(named)].filter(Boolean).join("; ");
}
/* A chart whose names stand there as they are, without markup. */
function written(chart) {
  const { traces, layout: laid } = chart.draw();
  for (const trace of traces) for (const key of ["labels", "x", "y", "text", "customdata", "name"]) if (key in trace) trace[key] = literal(trace[key]);
  if (laid.xaxis.tickvals) laid.xaxis.tickvals = literal(laid.xaxis.tickvals);
  return { traces, layout: laid };
}
function draw(name) {
  const chart = CHARTS[name](), plot = $(`plot-${name}`), [title, about] = t().charts[name];
  drawn[name] = chart;
  const told = title + (chart.title || "");
  $(`title-${name}`).textContent = told;
  $(`about-${name}`).textContent = about;
  $(`note-${name}`).textContent = unheeded(name);
  const best = [...chart.rows].sort((a, b) => b[b.length - 1] - a[a.length - 1])[0];
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", best ? t().summary(told, t().most(best.slice(0, -1).filter((x) => typeof x === "string").join(", "), n(best[best.length - 1])), n(chart.rows.length)) : `${told}. ${t().none}`);
  table(name, chart);
  tools(name, chart);
  if (!chart.rows.length) { Plotly.purge(plot); plot.innerHTML = `<div class="none">${esc(t().none)}</div>`; return Promise.resolve(); }
  if (plot.querySelector(".none")) plot.innerHTML = "";
  const { traces, layout: laid } = written(chart);
  const size = state.printing ? { autosize: false, width: PRINTED, height: name === "map" ? 560 : plot.classList.contains("tall") ? 420 : 320 } : { autosize: true };
  return Plotly.react(plot, traces, { ...laid, ...size }, CONFIG);
}
function table(name, chart) {
  const details = $(`table-${name}`);
  details.querySelector("summary").textContent = t().table;
  details.querySelector(".csv").textContent = t().csv;
  details.querySelector(".png").textContent = t().png;
  if (!details.open) return;
  const cell = (value, tag) => (typeof value === "number" && tag !== "th" ? `<td class="n">${n(value)}</td>` : `<${tag}>${esc(value)}</${tag}>`);
  const plain = (value, i) => (i === 0 && typeof value === "number" ? `<td>${value}</td>` : cell(value, "td"));
  const counts = (i) => i > 0 && chart.rows.every((row) => typeof row[i] === "number");
  details.querySelector(".rows").innerHTML = `<table><caption class="hidden">${esc(t().charts[name][0])}</caption><thead><tr>${chart.head.map((head, i) => `<th scope="col"${counts(i) ? ' class="n"' : ""}>${esc(head)}</th>`).join("")}</tr></thead><tbody>${
    chart.rows.slice(0, SHOWN).map((row) => `<tr>${row.map(plain).join("")}</tr>`).join("")}</tbody></table>`;
  details.querySelector(".more").textContent = chart.rows.length > SHOWN ? t().more(SHOWN, n(chart.rows.length)) : "";
}
function tools(name, chart) {
  if (name === "modalities") {
    document.querySelectorAll("[data-level]").forEach((button) => { button.textContent = t()[button.dataset.level]; button.setAttribute("aria-pressed", String(button.dataset.level === state.level)); });
    $("levels").setAttribute("aria-label", t().level);
  }
  if (name === "generics-by-year") {
    const slide = $("slide");
    slide.max = Math.max(0, chart.years.length - 1); slide.value = Math.max(0, chart.years.indexOf(chart.year));
    slide.setAttribute("aria-label", t().year); slide.setAttribute("aria-valuetext", String(chart.year || ""));
    $("play").textContent = state.playing ? t().pause : t().play;
    $("play").disabled = slide.disabled = chart.years.length < 2;
  }
}
/* Text that a spreadsheet would run as a formula stands behind an apostrophe. */
const unrun = (value) => (typeof value === "string" && /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]./.test(value) && !/^[-+]?\d+([.,]\d+)*$/.test(value) ? `'${value}` : value);
const quoted = (value) => (/[",\n\r]/.test(unrun(value)) ? `"${String(unrun(value)).replace(/"/g, '""')}"` : String(unrun(value)));
const csvOf = (name) => [drawn[name].head, ...drawn[name].rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
function save(name, kind, href) { const link = document.createElement("a"); link.href = href; link.download = `${name}.${kind}`; link.click(); }
const sum = (cells) => { let total = 0; for (const [, count] of cells) total += count; return total; };
function head() {
  document.documentElement.lang = state.language; document.title = t().title;
  document.querySelectorAll("[data-t]").forEach((element) => { element.textContent = t()[element.dataset.t]; });
  document.querySelectorAll("[data-lang]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.lang === state.language)));
  document.querySelector(".filters").setAttribute("aria-label", t().filters);
  const deaf = NAMES.map(unheeded), notes = [...new Set(deaf.filter(Boolean))].map((note) => t().deaf(note, deaf.filter((one) => one === note).length));
  $("told").textContent = [t().told(n(sum(robberies())), n(sum(crimes())), filters()), ...notes].join(" ");
}
function options() {
  const fill = (id, entries) => { const select = $(id); select.innerHTML = `<option value="">${t().every}</option>${entries}`; select.value = state[id]; };
  const list = (names, sign = "") => names.map((name, i) => [i, name]).sort((a, b) => a[1].localeCompare(b[1], "es")).map(([i, name]) => `<option value="${sign}${i}">${esc(name)}</option>`).join("");
  fill("department", list(departments.map((row) => row[1])));
  fill("weapon", list(D.weapons));
  fill("kind", `<optgroup label="${t().robberyKinds}">${list(D.kinds, "k")}</optgroup><optgroup label="${t().generics}">${list(D.generics, "g")}</optgroup>`);
  $("years").innerHTML = D.years.map((year) => `<label><input type="checkbox" value="${year}"${state.years.has(year) ? " checked" : ""}>${year || t().unknown}</label>`).join("");
}
/* One chart a turn, each shown before the next is made: the page stays awake. A later call ends an earlier one. */
let turn = 0;
const shown = () => new Promise((done) => { requestAnimationFrame(() => setTimeout(done, 0)); setTimeout(done, 100); }); // no frame comes in a hidden tab
async function drawAll() {
  const mine = ++turn;
  document.documentElement.removeAttribute("data-drawn");
  head();
  for (const name of NAMES) {
    await draw(name);
    await shown();
    if (mine !== turn) return;
    if (!document.documentElement.dataset.first) document.documentElement.dataset.first = String(Math.round(performance.now())); // milliseconds to the first chart
  }
  document.documentElement.dataset.drawn = "yes";
}
function stop() { clearInterval(state.playing); state.playing = 0; }
function step() {
  const { years, year } = drawn["generics-by-year"];
  if (!years.length) { stop(); return; }
  state.year = years[(years.indexOf(year) + 1) % years.length];
  draw("generics-by-year");
}
window.calco = { csv: csvOf, names: NAMES };
options();
for (const id of ["department", "kind", "weapon"]) $(id).addEventListener("change", (event) => { state[id] = event.target.value; drawAll(); });
$("years").addEventListener("change", (event) => { const year = Number(event.target.value); if (event.target.checked) state.years.add(year); else state.years.delete(year); drawAll(); });
$("reset").addEventListener("click", () => { state.years = new Set(D.years); state.department = state.kind = state.weapon = ""; options(); drawAll(); });
document.querySelectorAll("[data-lang]").forEach((button) => button.addEventListener("click", () => { state.language = button.dataset.lang; options(); drawAll(); }));
document.querySelectorAll("[data-level]").forEach((button) => button.addEventListener("click", () => { state.level = button.dataset.level; draw("modalities"); }));
$("slide").addEventListener("input", (event) => { stop(); state.year = drawn["generics-by-year"].years[Number(event.target.value)]; draw("generics-by-year"); });
$("play").addEventListener("click", () => { if (state.playing) stop(); else { state.playing = setInterval(step, 1100); step(); } $("play").textContent = state.playing ? t().pause : t().play; });
for (const name of NAMES) {
  const details = $(`table-${name}`);
  details.addEventListener("toggle", () => drawn[name] && table(name, drawn[name]));
  details.querySelector(".csv").addEventListener("click", () => save(name, "csv", URL.createObjectURL(new Blob([csvOf(name)], { type: "text/csv" }))));
  details.querySelector(".png").addEventListener("click", async () => save(name, "png", await pngOf(name)));
}
/* A chart as an image that stands by itself: with its title, what it shows, and the filters. */
function pngOf(name) {
  const { traces, layout: laid } = written(drawn[name]), below = [t().charts[name][1], filters()].filter(Boolean).join(" ");
  const title = { text: literal($(`title-${name}`).textContent), subtitle: { text: literal(below) }, x: 0.02, xanchor: "left", y: 0.95, yanchor: "top" };
  const margin = { ...laid.margin, t: laid.margin.t + 84 };
  return Plotly.toImage({ data: traces, layout: { ...laid, title, margin } }, { format: "png", width: 1100, height: 700, scale: 2 });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
/* On paper: light, and as wide as a sheet, for the page is not laid out anew before it is asked for. */
window.addEventListener("beforeprint", () => { turn += 1; state.printing = true; document.documentElement.dataset.print = "yes"; NAMES.forEach((name) => { draw(name); }); });
window.addEventListener("afterprint", () => { state.printing = false; delete document.documentElement.dataset.print; drawAll(); });
drawAll().then(async () => {
  if (!location.hash.startsWith("#png=")) return;
  for (const name of decodeURIComponent(location.hash.slice(5)).split(",")) { // for calco crime chart, which reads the page
    const image = document.createElement("img");
    image.id = `png-${name}`; image.alt = ""; image.src = drawn[name].rows.length ? await pngOf(name) : "data:,";
    document.body.append(image);
  }
  document.documentElement.dataset.images = "yes";
});
