const D = JSON.parse(document.getElementById("data").textContent);
const NAMES = [...document.querySelectorAll(".chart")].map((chart) => chart.id);
const PRINTED = 640; // pixels: what a sheet of A4 leaves
const SJL = 150132, NOBODY = "No Especifica", REST = "(…)", SHOWN = 100;
const state = { language: document.documentElement.lang, years: new Set(D.years), department: "", kind: "", weapon: "", level: "modality", year: null, playing: 0, printing: false };
const drawn = {};
const $ = (id) => document.getElementById(id);
const t = () => WORDS[state.language];
// As report/numbers.py: 16,000 and 0.5 in English, 16 000 and 0,5 in Spanish; as Plotly takes it, the point first.
const separators = () => (state.language === "es" ? ",\u00a0" : ".,");
const n = (value) => value.toLocaleString("en-GB").replace(/[.,]/g, (c) => separators()[c === "." ? 0 : 1]);
const { departments, provinces, districts } = D.places;
const provinceName = new Map(provinces), departmentName = new Map(departments);
const departmentIndex = new Map(departments.map(([key], place) => [key, place]));
const departmentOf = districts.map(([key]) => departmentIndex.get(Math.floor(key / 10000)));
const esc = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/* What is chosen, added up. Cubes are lists of columns; the last holds counts. */
function* chosen(columns, { place, kind, weapon, year, generic }, departmentAt = (at) => at) {
  const counts = columns[columns.length - 1];
  const department = state.department === "" ? -1 : Number(state.department);
  const robberyKind = state.kind.startsWith("k") ? Number(state.kind.slice(1)) : -1;
  const crime = state.kind.startsWith("g") ? Number(state.kind.slice(1)) : -1;
  const arm = state.weapon === "" ? -1 : Number(state.weapon);
  for (let i = 0; i < counts.length; i++) {
    if (!state.years.has(columns[year][i])) continue;
    if (department >= 0 && departmentAt(columns[place][i]) !== department) continue;
    if (kind !== undefined && robberyKind >= 0 && columns[kind][i] !== robberyKind) continue;
    if (weapon !== undefined && arm >= 0 && columns[weapon][i] !== arm) continue;
    if (generic !== undefined && crime >= 0 && generic(columns, i) !== crime) continue;
    yield [i, counts[i]];
  }
}
const ofDistrict = (at) => departmentOf[at];
const genericOfMode = (at) => D.specifics[D.modalities[at][1]][1];
const robberies = () => chosen(D.robberies, { place: 0, kind: 1, weapon: 2, year: 3 }, ofDistrict);
const victims = () => chosen(D.victims, { place: 0, kind: 2, weapon: 3, year: 4 });
const work = () => chosen(D.work, { place: 0, kind: 2, weapon: 3, year: 4 });
const crimes = () => chosen(D.crimes, { place: 0, year: 2, generic: (columns, i) => columns[1][i] }, ofDistrict);
const modes = () => chosen(D.modes, { place: 0, year: 2, generic: (columns, i) => genericOfMode(columns[1][i]) });
function summed(cells, key) {
  const found = new Map();
  for (const [i, count] of cells) { const at = key(i); if (at !== null) found.set(at, (found.get(at) || 0) + count); }
  return found;
}
const ranked = (found) => [...found].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
const placed = (at) => [districts[at][1], provinceName.get(Math.floor(districts[at][0] / 100)), departmentName.get(Math.floor(districts[at][0] / 10000))];

/* Colours and what all charts share. */
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (hex) => [1, 3, 5].map((at) => parseInt((hex.length === 4 ? "#" + [...hex.slice(1)].map((c) => c + c).join("") : hex).slice(at, at + 2), 16));
const mix = (share) => { const a = rgb(css("--accent")), b = rgb(css("--card")); return `rgb(${a.map((v, i) => Math.round(v * share + b[i] * (1 - share)))})`; };
const shades = (count) => Array.from({ length: count }, (_, i) => mix(1 - 0.82 * i / Math.max(1, count - 1)));
const short = (text, most = 34) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
/* Text as a chart shows it: charts take <b> and <a> for markup. Of lists, each. */
const literal = (value) => (Array.isArray(value) ? value.map(literal) : typeof value === "string" ? value.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]) : value);
/* A name in so many lines, each of so many signs, at most. */
function broken(text, most, lines) {
  const found = [""];
  for (const word of text.split(" ")) {
    const longer = `${found[found.length - 1]} ${word}`.trim();
    if (longer.length <= most || found.length === lines) found[found.length - 1] = longer; else found.push(word);
  }
  return found.map((line) => literal(short(line, most))).join("<br>");
}
const width = (name) => (state.printing ? PRINTED : $(`plot-${name}`).clientWidth);
function layout(more = {}) {
  const axis = { gridcolor: css("--faint"), zerolinecolor: css("--faint"), linecolor: css("--faint"), automargin: true, fixedrange: true, exponentformat: "none", separatethousands: true };
  const { xaxis, yaxis, ...rest } = more;
  return {
    font: { family: css("--sans"), size: 12, color: css("--ink") }, paper_bgcolor: css("--card"), plot_bgcolor: css("--card"),
    margin: { l: 10, r: 12, t: 8, b: 40 }, showlegend: false, separators: separators(),
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--accent"), font: { color: css("--ink") } },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}
function bars(rows, name, value, most, at) {
  const shown = rows.slice(0, most).reverse(), lines = shown.length > 14 ? 1 : 2; // where bars are thick enough
  const label = (row) => broken(String(row[name]), Math.min(46, Math.floor(width(at) / 12.5)), lines);
  return {
    traces: [{ type: "bar", orientation: "h", x: shown.map((row) => row[value]), y: shown.map((_, i) => i), marker: { color: css("--accent") },
      customdata: shown.map((row) => row[name]), hovertemplate: "%{customdata}: %{x:,}<extra></extra>" }],
    layout: layout({ yaxis: { tickmode: "array", tickvals: shown.map((_, i) => i), ticktext: shown.map(label), showgrid: false, zeroline: false }, xaxis: { tickangle: 0, nticks: Math.max(3, Math.round(width(at) / 170)) }, bargap: 0.25 }),
  };
}
function pie(rows, at) {
  const most = 9, shown = rows.length > most ? [...rows.slice(0, most - 1), [t().rest, rows.slice(most - 1).reduce((sum, row) => sum + row[1], 0)]] : rows;
  const total = rows.reduce((sum, row) => sum + row[1], 0), side = Math.min(90, width(at) / 5);
  return {
    traces: [{ type: "pie", labels: shown.map((row) => row[0]), values: shown.map((row) => row[1]), sort: false, hole: 0.5, direction: "clockwise",
      marker: { colors: shades(shown.length), line: { color: css("--card"), width: 2 } }, textposition: "outside",
      texttemplate: shown.map((row) => (row[1] >= 0.025 * total ? "%{label}<br>%{percent}" : "")),
      hovertemplate: "%{label}: %{value:,} (%{percent})<extra></extra>" }],
    layout: layout({ margin: { l: side, r: side, t: 40, b: 40 } }),
  };
}
const DATACRIM = new Set(["crimes-by-district", "crimes-by-year", "places", "modalities", "generics-by-year"]);

/* Each chart: the heads and rows of its table, and how it is drawn. */
const CHARTS = {
  "robberies-by-district"() {
    const rows = ranked(summed(robberies(), (i) => D.robberies[0][i])).map(([at, count]) => [...placed(at).slice(0, 2), count]);
    return { head: [t().district, t().province, t().robberies], rows, draw: () => bars(rows, 0, 2, 20, "robberies-by-district") };
  },
  ages() {
    const rows = ranked(summed(victims(), (i) => D.victims[1][i])).map(([at, count]) => [D.ages[at], count]);
    return { head: [t().age, t().robberies], rows, draw: () => pie(rows, "ages") };
  },
  "kinds-in-san-juan"() {
    const rows = ranked(summed(robberies(), (i) => (districts[D.robberies[0][i]][0] === SJL ? D.robberies[1][i] : null))).map(([at, count]) => [D.kinds[at], count]);
    return { head: [t().robberyKind, t().robberies], rows, draw: () => ({
      traces: [{ type: "scatter", mode: "lines+markers+text", x: rows.map((row) => row[0]), y: rows.map((row) => row[1]), text: rows.map((row) => n(row[1])), textposition: "top right",
        line: { color: css("--accent"), width: 2 }, marker: { size: 8, color: css("--accent") }, hovertemplate: "%{x}: %{y}<extra></extra>", cliponaxis: false }],
      layout: layout({ yaxis: { rangemode: "tozero" }, xaxis: { showgrid: false }, margin: { l: 10, r: 24, t: 24, b: 40 } }) }) };
  },
  "crimes-by-district"() {
    const last = Math.max(0, ...D.crimes[2].length ? [...state.years].filter((year) => D.crime_years.includes(year)) : []);
    const rows = ranked(summed(crimes(), (i) => (D.crimes[2][i] === last ? D.crimes[0][i] : null))).map(([at, count]) => [...placed(at), count]);
    return { head: [t().district, t().province, t().department, t().crimes], rows, title: last ? `, ${last}` : "", draw: () => ({
      traces: [{ type: "scatter", mode: rows.length < 40 ? "lines+markers" : "lines", x: rows.map((_, i) => i + 1), y: rows.map((row) => row[3]), customdata: rows.map((row) => row.slice(0, 3).join(", ")),
        line: { color: css("--accent"), width: 2 }, fill: "tozeroy", fillcolor: mix(0.14), hovertemplate: "%{x}. %{customdata}: %{y:,}<extra></extra>" }],
      layout: layout({ yaxis: { type: "log", dtick: 1 }, xaxis: { title: { text: t().rank } }, margin: { l: 10, r: 12, t: 12, b: 50 } }) }) };
  },
  "crimes-by-year"() {
    const found = summed(crimes(), (i) => D.crimes[2][i] * 10000 + Math.floor(districts[D.crimes[0][i]][0] / 100));
    const rows = [...found].map(([key, count]) => [Math.floor(key / 10000), key % 10000, count]).sort((a, b) => a[0] - b[0] || b[2] - a[2] || a[1] - b[1]);
    const most = Math.max(1, ...rows.map((row) => row[2]));
    const order = new Map(provinces.map(([key], i) => [key, i]));
    return { head: [t().year, t().province, t().department, t().crimes],
      rows: rows.map(([year, key, count]) => [year, provinceName.get(key), departmentName.get(Math.floor(key / 100)), count]), draw: () => ({
        traces: [{ type: "scatter", mode: "markers", x: rows.map(([year, key]) => year + ((order.get(key) * 37) % 101 - 50) / 160), y: rows.map((row) => row[2]),
          customdata: rows.map(([year, key]) => [year, `${provinceName.get(key)}, ${departmentName.get(Math.floor(key / 100))}`]),
          marker: { size: rows.map((row) => 5 + 34 * Math.sqrt(row[2] / most)), opacity: 0.62, line: { width: 0.6, color: css("--card") },
            color: rows.map(([, key]) => `hsl(${(order.get(key) * 137.5) % 360} 42% 50%)`) },
          hovertemplate: "%{customdata[1]}, %{customdata[0]}: %{y:,}<extra></extra>" }],
        layout: layout({ yaxis: { type: "log", dtick: 1 }, xaxis: { tickmode: "array", tickvals: D.crime_years, ticktext: D.crime_years.map(String), showgrid: false } }) }) };
  },
  occupations() {
    const rows = ranked(summed(work(), (i) => D.work[1][i])).map(([at, count]) => [D.occupations[at], count]);
    const known = rows.filter((row) => row[0] !== NOBODY && row[0] !== REST).slice(0, width("occupations") < 380 ? 12 : 25);
    return { head: [t().occupation, t().robberies], rows, draw: () => ({
      traces: [{ type: "scatter", mode: "markers", x: known.map((row) => row[0]), y: known.map((row) => row[1]),
        marker: { color: css("--accent"), opacity: 0.8, size: known.map((row) => 8 + 22 * Math.sqrt(row[1] / (known[0] || [0, 1])[1])) }, hovertemplate: "%{x}: %{y}<extra></extra>", cliponaxis: false }],
      layout: layout({ xaxis: { tickangle: -50, showgrid: false, tickmode: "array", tickvals: known.map((row) => row[0]), ticktext: known.map((row) => literal(short(row[0], 22))) }, yaxis: { rangemode: "tozero" }, margin: { l: 10, r: 12, t: 20, b: 40 } }) }) };
  },
  kinds() {
    const rows = ranked(summed(robberies(), (i) => D.robberies[1][i])).map(([at, count]) => [D.kinds[at], count]);
    return { head: [t().robberyKind, t().robberies], rows, draw: () => pie(rows, "kinds") };
  },
  places() {
    const cells = [...summed(crimes(), (i) => D.crimes[0][i])].sort((a, b) => a[0] - b[0]);
    return { head: [t().department, t().province, t().district, t().crimes], rows: cells.map(([at, count]) => [...placed(at).reverse(), count]), draw: () => sunburst(cells) };
  },
  modalities() {
    const found = ranked(summed(modes(), (i) => D.modes[1][i])).map(([at, count]) => {
      const [name, specific] = D.modalities[at]; return [name, D.specifics[specific][0], D.generics[D.specifics[specific][1]], count];
    });
    const at = { modality: 0, specific: 1, generic: 2 }[state.level], sums = new Map();
    found.forEach((row) => { const name = at === 0 ? `${row[0]}\u0000${row[1]}\u0000${row[2]}` : at === 1 ? `${row[1]}\u0000${row[2]}` : row[2]; sums.set(name, (sums.get(name) || 0) + row[3]); });
    const shown = [...sums].map(([name, count]) => [name.split("\u0000")[0], count]).sort((a, b) => b[1] - a[1]);
    return { head: [t().modality, t().specific, t().generic, t().crimes], rows: found, draw: () => bars(shown, 0, 1, 20, "modalities") };
  },
  "generics-by-year"() {
    const found = summed(crimes(), (i) => D.crimes[2][i] * 1000 + D.crimes[1][i]);
    const cells = [...found].map(([key, count]) => [Math.floor(key / 1000), key % 1000, count]).sort((a, b) => a[0] - b[0] || b[2] - a[2] || a[1] - b[1]);
    const years = [...new Set(cells.map((cell) => cell[0]))], year = years.includes(state.year) ? state.year : years[years.length - 1];
    const totals = new Map(); cells.forEach(([, at, count]) => totals.set(at, (totals.get(at) || 0) + count));
    const top = ranked(totals).slice(0, 12).map(([at]) => at), most = Math.max(1, ...cells.map((cell) => cell[2]));
    const held = new Map(cells.filter((cell) => cell[0] === year).map((cell) => [cell[1], cell[2]]));
    return { head: [t().year, t().generic, t().crimes], rows: cells.map(([when, at, count]) => [when, D.generics[at], count]), years, year, title: year ? `, ${year}` : "", draw: () => {
      const shown = bars(top.map((at) => [D.generics[at], held.get(at) || 0]), 0, 1, 12, "generics-by-year");
      shown.layout.xaxis.range = [0, most * 1.04]; // one scale for all years, so that they can be compared
      return shown;
    } };
  },
  map() {
    const of = (cells, columns) => summed(cells, (i) => departmentOf[columns[0][i]]);
    const [sums, robbed] = [of(crimes(), D.crimes), of(robberies(), D.robberies)];
    const rows = departments.map(([key, name], at) => [name, sums.get(at) || 0, robbed.get(at) || 0, key]).filter((row) => row[1] || row[2])
      .sort((a, b) => b[1] - a[1] || b[2] - a[2] || (a[0] < b[0] ? -1 : 1));
    return { head: [t().department, t().crimes, t().robberies], rows: rows.map((row) => row.slice(0, 3)), draw: () => outlines(rows) };
  },
};

function sunburst(cells) {
  const sums = new Map();
  for (const [at, count] of cells) {
    const key = districts[at][0];
    for (const part of [key, Math.floor(key / 100), Math.floor(key / 10000)]) sums.set(part, (sums.get(part) || 0) + count);
  }
  const names = new Map([...departments, ...provinces, ...districts]);
  const keys = [...sums.keys()].sort((a, b) => a - b);
  return {
    traces: [{ type: "sunburst", ids: keys.map(String), labels: keys.map((key) => names.get(key)), parents: keys.map((key) => (key < 100 ? "" : String(Math.floor(key / 100)))), values: keys.map((key) => sums.get(key)),
      branchvalues: "total", maxdepth: 2, leaf: { opacity: 1 }, marker: { line: { width: 0.5, color: css("--card") }, colors: keys.map((key) => mix(key < 100 ? 0.42 + 0.1 * (key % 2) : key < 10000 ? 0.24 + 0.08 * (key % 2) : 0.14)) },
      insidetextfont: { color: css("--ink") },
      hovertemplate: "%{label}: %{value:,}<extra></extra>", insidetextorientation: "radial" }],
    layout: layout({ margin: { l: 6, r: 6, t: 6, b: 6 } }),
  };
}
/* Departments too small to hold their names, and two whose names would meet. */
const BESIDE = { Callao: "middle left", Lambayeque: "middle left", Ayacucho: "bottom center", "Apurímac": "top center" };
/* The centre of an outline's area. */
function middle(ring) {
  let [area, x, y] = [0, 0, 0];
  ring.forEach(([x1, y1], i) => {
    const [x0, y0] = ring[(i || ring.length) - 1], part = x0 * y1 - x1 * y0;
    area += part; x += (x0 + x1) * part; y += (y0 + y1) * part;
  });
  return [x / (3 * area), y / (3 * area)];
}
function outlines(rows) {
  const value = rows.some((row) => row[1]) ? 1 : 2, of = new Map(rows.map((row) => [row[3], row[value]]));
  const most = Math.max(1, ...of.values());
  const shade = (count) => Math.sqrt(count / most);
  const traces = Object.entries(D.outlines).map(([code, rings]) => {
    const key = Number(code), count = of.get(key) || 0, x = [], y = [];
    rings.forEach((ring, i) => { if (i) { x.push(null); y.push(null); } ring.forEach((point) => { x.push(point[0]); y.push(point[1]); }); });
    return { type: "scatter", mode: "lines", x, y, fill: "toself", hoveron: "fills", name: `${departmentName.get(key) || D.all_departments[key]}: ${n(count)}`, hoverinfo: "name", hoverlabel: { namelength: -1 },
      fillcolor: count ? mix(0.12 + 0.88 * shade(count)) : css("--wash"), line: { width: 0.7, color: css("--soft") } };
  });
  const off = { visible: false };
  const middles = Object.entries(D.outlines).map(([code, rings]) => {
    const [x, y] = middle(rings.reduce((a, b) => (b.length > a.length ? b : a)));
    return [x, y, departmentName.get(Number(code)) || D.all_departments[Number(code)], shade(of.get(Number(code)) || 0)];
  });
  traces.push({ type: "scatter", mode: "text", x: middles.map((one) => one[0]), y: middles.map((one) => one[1]), text: middles.map((one) => one[2]), hoverinfo: "skip",
    textposition: middles.map((one) => BESIDE[one[2]] || "middle center"),
    textfont: { size: 9, color: middles.map((one) => css(one[3] > 0.55 ? "--card" : "--ink")) } });
  traces.push({ type: "scatter", mode: "markers", x: [null], y: [null], hoverinfo: "skip", marker: { color: [0], cmin: 0, cmax: 1, showscale: true,
    colorscale: [0, 0.25, 0.5, 0.75, 1].map((share) => [share, mix(0.12 + 0.88 * share)]),
    colorbar: { title: { text: value === 1 ? t().crimes : t().robberies, side: "top" }, thickness: 12, len: 0.36, lenmode: "fraction", x: 0.01, xanchor: "left", y: 0.02, yanchor: "bottom", outlinewidth: 0, tickvals: [0, 0.5, 1], ticktext: [0, most / 4, most].map((count) => n(Math.round(count))) } } });
  return { traces, layout: layout({ xaxis: { ...off }, yaxis: { ...off, scaleanchor: "x", scaleratio: 1.02 }, margin: { l: 0, r: 0, t: 0, b: 0 }, hovermode: "closest" }) };
}
