"use strict";
// The studio in the browser: words in two languages, the drawing canvas, results, uploads, the camera, live runs.
// Gradio inserts its parts when it likes, so whatever appears is set up by an observer.
const texts = JSON.parse(document.getElementById("texts").textContent);
const root = document.body.dataset.root;
const find = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const calco = window.calco = {};

// Words.
const live = [];
let language = document.documentElement.lang;
// As report/numbers.py: 16,000,000 and 0.5 in English, 16 000 000 and 0,5 in Spanish; thousands are grouped on demand.
const number = (value, grouped) => {
  const [whole, part] = String(value).split(".");
  const [group, point] = language === "es" ? ["\u00a0", ","] : [",", "."];
  return (grouped ? whole.replace(/\B(?=(\d{3})+$)/g, group) : whole) + (part ? point + part : "");
};
const word = (key, values = {}) => (texts.words[language][key] ?? key).replace(/\{(\w+)(:,)?\}/g, (_, name, grouped) => (typeof values[name] === "number" ? number(values[name], grouped) : values[name] ?? ""));
const fill = (node, key, values = {}) => {
  node.dataset.t = key;
  node.dataset.v = JSON.stringify(values);
  node.textContent = word(key, values);
};
const translate = (from) => {
  for (const node of all("[data-t]", from)) {
    const now = word(node.dataset.t, JSON.parse(node.dataset.v || "{}"));
    if (node.textContent !== now) node.textContent = now;
  }
  for (const node of all("[data-t-alt]", from)) node.alt = word(node.dataset.tAlt, JSON.parse(node.dataset.v || "{}"));
  for (const node of all("[data-t-label]", from)) {
    const now = word(node.dataset.tLabel);
    if (node.getAttribute("aria-label") !== now) node.setAttribute("aria-label", now);
  }
};
// Names that Gradio gives to its own controls in English alone, whatever the language.
const rename = (part) => {
  const given = part.getAttribute("aria-label");
  if (!given) return;
  if (given === "Reset to default value") part.dataset.tLabel = "reset";
  const name = part.dataset.tLabel ? word(part.dataset.tLabel) : given.replace(/^(?:number input|range slider) for /, "");
  if (name !== given) part.setAttribute("aria-label", name);
};
// A part of the page again, as it is now. Whoever is in it by keyboard stays there: at the same control, else at the first.
const renew = (place, html) => {
  const held = document.activeElement, inside = place.contains(held);
  const same = (part) => (held.dataset.do ? part.dataset.do === held.dataset.do : part.getAttribute("href") === held.getAttribute("href"));
  place.innerHTML = html;
  if (!inside) return;
  const parts = all("a[href], button", place);
  (parts.find(same) ?? parts[0])?.focus({ preventScroll: true });
};
const speak = (text) => { const said = find("#say"); if (said) said.textContent = text; };
const choose = (chosen) => {
  language = chosen;
  document.cookie = `calco_language=${chosen}; path=/; max-age=31536000; samesite=lax`;
  document.documentElement.lang = chosen;
  for (const button of all("[data-lang]")) button.setAttribute("aria-pressed", String(button.dataset.lang === chosen));
  translate(document);
  values();
  const title = document.body.dataset.title;
  if (title) document.title = `${word(title)} · Calco`;
  find(".go-language")?.click();
  for (const ask of live) ask();  // their charts are described in the language in which they came
};
for (const button of all("[data-lang]")) button.addEventListener("click", () => choose(button.dataset.lang));
// On a phone the line of pages is wider than the screen: the present page is brought into sight.
const here = find("nav [aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;
// Labels of Gradio's parts: key => update of that part.
calco.labels = (keys) => keys.map((props) => ({ __type__: "update", ...Object.fromEntries(Object.entries(props).map(([name, key]) => [name, word(key)])) }));

// Errors of the page itself.
const warn = (stage, key, values = {}) => {
  const line = find(":scope > .warn", stage);
  line.hidden = !key;
  if (key) fill(line, key, values); else line.textContent = "";
};

// Why there is no answer, or one of the studio's refusals: key and values of the line that says so.
const trouble = (status, said) => {
  if (!status) return ["error_offline"];
  if (status === 401) return ["error_token"];
  let detail = null;
  try { ({ detail } = JSON.parse(said)); } catch { /* no JSON */ }
  if (typeof detail !== "string") return ["error_fault", { status }];
  const sentence = detail[0].toUpperCase() + detail.slice(1);
  return ["refused", { english: sentence, spanish: sentence }];
};
const megabytes = (bytes) => (bytes / 1e6).toFixed(1) * 1;
// Gradio takes a lost connection for the end: it says so in English, and once the studio is back it loads the page anew,
// without what was drawn. So a loss reaches it as an answer like others.
const ask = window.fetch.bind(window);
window.fetch = async (address, how) => {
  if (!String(address.url ?? address).includes("/gradio_api/run/")) return ask(address, how);
  try {
    const headers = new Headers(how.headers);
    headers.set("Accept-Language", language);
    const answer = await ask(address, { ...how, headers });
    calco.trouble = answer.ok ? null : trouble(answer.status, await answer.clone().text());
    return answer;
  } catch {
    calco.trouble = trouble(0);
    return new Response("{}", { status: 503, headers: { "Content-Type": "application/json" } });
  }
};

// What was said of an image before: the next one has nothing to do with it.
const forget = (stage) => {
  warn(stage, null);
  for (const line of all(".outcome > .warn")) line.hidden = true;
};

// The canvas: strokes are kept as points, so that undo draws the others again, sharp at any size.
class Drawing {
  constructor(stage) {
    this.stage = stage;
    this.sketch = stage.dataset.kind === "sketch";
    this.canvas = find("canvas", stage);
    this.ring = find(".ring", stage);
    this.strokes = [];
    this.tool = "pen";
    this.down = false;
    this.at = null;
    this.resize(512, 512);
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.ring.hidden = true;
      this.begin(this.place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.stroke || this.down) return;
      for (const part of event.getCoalescedEvents?.() ?? [event]) this.extend(this.place(part));
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { if (!this.down) this.end(); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.ring.hidden = true; if (this.down) { this.down = false; this.end(); } });
    for (const button of all("[data-tool]", stage)) {
      button.addEventListener("click", () => {
        this.tool = button.dataset.tool;
        for (const other of all("[data-tool]", stage)) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    find("[data-do=undo]", stage).addEventListener("click", () => { this.strokes.pop(); this.paint(); this.changed(); });
    find("[data-do=clear]", stage).addEventListener("click", () => { this.strokes = []; if (this.sketch) this.stage.photo?.(null); this.paint(); this.changed(); });
  }
  get width() { return Number(find("input[name=width]", this.stage).value) * (this.sketch ? this.canvas.width / 512 : Math.max(this.canvas.width, this.canvas.height) / 800); }
  resize(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    if (this.sketch) find(".paper", this.stage).style.aspectRatio = `${width} / ${height}`;
    this.paint();
  }
  place(event) {  // of a pointer, in pixels of the canvas, which is fitted into its box
    const box = this.canvas.getBoundingClientRect(), scale = Math.min(box.width / this.canvas.width, box.height / this.canvas.height);
    return [(event.clientX - box.left - (box.width - scale * this.canvas.width) / 2) / scale, (event.clientY - box.top - (box.height - scale * this.canvas.height) / 2) / scale];
  }
  begin(point) { this.stroke = { tool: this.tool, width: this.width, points: [point] }; this.strokes.push(this.stroke); this.paint(); }
  extend(point) { this.stroke.points.push(point); this.paint(); }
  end() { if (this.stroke) { this.stroke = null; this.changed(); } }
  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    this.at ??= [this.canvas.width / 2, this.canvas.height / 2];
    if (ways[event.key]) {
      const far = Math.max(this.canvas.width, this.canvas.height) * (event.shiftKey ? .06 : .012);
      this.at = [0, 1].map((axis) => Math.min(Math.max(this.at[axis] + ways[event.key][axis] * far, 0), axis ? this.canvas.height : this.canvas.width));
      if (this.down) this.extend(this.at);
    } else if (event.key === " " || (event.key === "Escape" && this.down)) {
      this.down = !this.down;
      if (this.down) this.begin(this.at); else this.end();
    } else if ((event.key === "z" || event.key === "Z") && (event.ctrlKey || event.metaKey)) find("[data-do=undo]", this.stage).click();
    else return;
    event.preventDefault();
    this.point();
  }
  point() {
    const box = this.canvas.getBoundingClientRect(), scale = Math.min(box.width / this.canvas.width, box.height / this.canvas.height);
    const size = Math.max(10, this.width * scale), paper = find(".paper", this.stage).getBoundingClientRect();
    this.ring.hidden = false;
    this.ring.classList.toggle("down", this.down);
    this.ring.style.cssText = `width:${size}px;height:${size}px;left:${box.left - paper.left + (box.width - scale * this.canvas.width) / 2 + this.at[0] * scale}px;top:${box.top - paper.top + (box.height - scale * this.canvas.height) / 2 + this.at[1] * scale}px`;
  }
  paint(context = this.canvas.getContext("2d")) {
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.lineCap = context.lineJoin = "round";
    for (const { tool, width, points } of this.strokes) {
      context.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
      context.strokeStyle = this.sketch ? "#111" : "#f0442e";
      context.lineWidth = tool === "eraser" && this.sketch ? width * 3 : width;
      context.beginPath();
      context.moveTo(...points[0]);
      for (let i = 1; i < points.length - 1; i++) context.quadraticCurveTo(...points[i], (points[i][0] + points[i + 1][0]) / 2, (points[i][1] + points[i + 1][1]) / 2);
      const last = points[points.length - 1];
      context.lineTo(last[0] + (points.length === 1 ? .01 : 0), last[1]);
      context.stroke();
    }
    context.globalCompositeOperation = "source-over";
    const empty = !this.strokes.length && !(this.sketch && this.stage.base);
    for (const name of ["undo", "clear"]) find(`[data-do=${name}]`, this.stage).disabled = name === "undo" ? !this.strokes.length : empty;
  }
  changed() { if (this.strokes.length || this.stage.base) this.stage.ready(); else this.stage.reset(); }
  image() {  // the drawing on white paper, over the image that was opened, if any
    const copy = new OffscreenCanvas(this.canvas.width, this.canvas.height), context = copy.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, copy.width, copy.height);
    const base = find(".base", this.stage);
    if (this.stage.base) context.drawImage(base, 0, 0, copy.width, copy.height);
    context.drawImage(this.canvas, 0, 0);
    return copy.convertToBlob({ type: "image/png" });
  }
  mask() {  // white where the brush was
    const copy = new OffscreenCanvas(this.canvas.width, this.canvas.height), context = copy.getContext("2d");
    context.drawImage(this.canvas, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, copy.width, copy.height);
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, copy.width, copy.height);
    return copy.convertToBlob({ type: "image/png" });
  }
}

const asText = (blob) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = failed;
  reader.readAsDataURL(blob);
});

// The part of a page that a person fills: an image, with or without strokes.
const setStage = (stage) => {
  const { kind } = stage.dataset;
  setOptions(stage);
  if (kind === "camera") return setCamera(stage);
  if (kind === "files") return setFiles(stage);
  const paper = find(".paper", stage), base = find(".base", stage), invite = find(".invite", stage);
  const drawing = kind === "photo" ? null : new Drawing(stage);
  stage.base = null;
  stage.seed = 0;
  stage.photo = async (file) => {
    forget(stage);
    let url = null;
    if (file) {
      if (file.size > texts.limits.bytes) return warn(stage, "error_large", { size: megabytes(file.size), most: megabytes(texts.limits.bytes) });
      const tried = new Image();
      tried.src = url = URL.createObjectURL(file);
      const refuse = (key, values) => { URL.revokeObjectURL(url); warn(stage, key, values); };  // what was there before stays
      try { await tried.decode(); } catch {
        // The server reads more kinds than browsers do; only to brush over it must the image be seen.
        if (kind !== "photo") return refuse("error_not_image", { name: file.name });
        URL.revokeObjectURL(url);
        url = null;
      }
      const { naturalWidth: width, naturalHeight: height } = tried;
      if (url && kind !== "sketch" && width * height > texts.limits.pixels) return refuse("error_pixels", { width: number(width), height: number(height), most: texts.limits.pixels });
    }
    if (base.src) URL.revokeObjectURL(base.src);
    if (url) { base.src = url; await base.decode(); } else base.removeAttribute("src");
    stage.base = file;
    base.hidden = !url;
    if (!file) { if (kind === "sketch") drawing.resize(512, 512); return; }
    base.alt = file.name;
    paper.classList.add("full");
    if (invite) invite.hidden = !base.hidden;
    if (invite && base.hidden) find(".hint", invite).textContent = file.name;
    const other = find(".other", stage);
    if (other) other.hidden = false;
    if (drawing) {
      const scale = Math.min(1, (kind === "sketch" ? 1024 : 1600) / Math.max(base.naturalWidth, base.naturalHeight));
      drawing.strokes = [];
      drawing.canvas.hidden = false;
      if (kind === "repair") paper.style.aspectRatio = `${base.naturalWidth} / ${base.naturalHeight}`;
      drawing.resize(Math.max(1, Math.round(base.naturalWidth * scale)), Math.max(1, Math.round(base.naturalHeight * scale)));
    }
    if (kind !== "repair") stage.ready();
  };
  let timer = 0;
  stage.ready = () => { clearTimeout(timer); timer = setTimeout(() => stage.run(), 120); };
  stage.reset = () => { warn(stage, null); };
  stage.run = async () => {
    forget(stage);
    if (kind === "sketch" && !stage.base && !drawing.strokes.length) return warn(stage, "error_no_drawing");
    if (kind !== "sketch" && !stage.base) return warn(stage, "error_no_image");
    if (kind === "repair" && !drawing.strokes.length) return warn(stage, "error_no_mask");
    try { given = await gathered(); } catch { return warn(stage, "error_read"); }
    document.body.classList.add("busy");
    find(".outcome")?.setAttribute("aria-busy", "true");
    speak(word("working"));
    find(".go-run").click();
  };
  let given = "";
  calco.given = () => given;
  const gathered = async () => JSON.stringify({
    image: await asText(kind === "sketch" ? await drawing.image() : stage.base),
    mask: kind === "repair" ? await asText(await drawing.mask()) : null,
    seed: stage.seed,
  });
  find("[data-do=run]", stage).addEventListener("click", () => stage.run());
  for (const input of all("input[type=file]", stage)) input.addEventListener("change", () => { if (input.files[0]) stage.photo(input.files[0]); input.value = ""; });
  find("[data-do=example]", stage)?.addEventListener("click", async () => {
    await stage.photo(null);
    drawing.strokes = texts.example.map(([width, ...points]) => ({ tool: "pen", width, points: points.map(([x, y]) => [x * 5.12, y * 5.12]) }));
    drawing.paint();
    drawing.changed();
  });
  dropped(paper, (files) => stage.photo(files[0]));
  document.addEventListener("paste", (event) => { const file = [...event.clipboardData.files][0]; if (file) stage.photo(file); });
};
const dropped = (paper, take) => {
  for (const kind of ["dragenter", "dragover"]) paper.addEventListener(kind, (event) => { event.preventDefault(); paper.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) paper.addEventListener(kind, () => paper.classList.remove("over"));
  paper.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files.length) take([...event.dataTransfer.files]); });
};

// After an answer of the server, or its absence.
calco.answered = (fine) => {
  document.body.classList.remove("busy");
  const outcome = find(".outcome"), stage = find(".stage");
  if (!outcome) return;
  outcome.removeAttribute("aria-busy");
  if (!fine) warn(stage, ...(calco.trouble ?? trouble(500)));
  else for (const line of all(":scope > .warn", outcome)) line.hidden = false;  // Gradio leaves one that is the same as it is
  if (stage.next) { setTimeout(stage.next, fine && outcome.dataset.kind !== "error" ? 0 : 1000); return; }  // the camera
  if (!fine) return;
  speak(outcome.dataset.kind === "error" ? "" : find(".count", outcome)?.textContent ?? find(".foot .soft", outcome)?.textContent ?? "");
};
calco.again = () => { const stage = find(".stage"); if (stage?.base || stage?.querySelector("[data-do=undo]:not(:disabled)")) stage.ready?.(); };
calco.threshold = (least) => { calco.least = least; shown(); };
// A result that has come, and what was chosen for it before: the threshold, and how strong a mask is painted.
const shown = () => {
  const outcome = find(".outcome[data-kind=detect]"), painted = find(".painted"), strength = find("input[name=opacity]");
  if (painted && strength) painted.style.setProperty("--mask", strength.value / 100);
  if (!outcome || calco.least === undefined) return;
  const marks = all(".mark", outcome);
  for (const mark of marks) mark.classList.toggle("off", Number(mark.dataset.score) < calco.least);
  if (marks.length) fill(find(".count", outcome).firstElementChild ?? find(".count", outcome), "boxes", { shown: all(".mark:not(.off)", outcome).length, all: marks.length });
};

// Results.
document.addEventListener("input", ({ target }) => {
  const compare = target.closest(".outcome .compare");
  if (compare) {
    compare.style.setProperty("--at", `${target.value}%`);
    find(".tag.l", compare).style.opacity = target.value < 25 ? 0 : 1;
    find(".tag.r", compare).style.opacity = target.value > 75 ? 0 : 1;
    target.setAttribute("aria-valuetext", `${target.value}% ${word("before")}, ${100 - target.value}% ${word("after")}`);
  }
  if (target.name === "opacity") shown();
  if (target.name === "threshold") calco.threshold(Number(target.value));
  const value = target.closest("[data-option]")?.querySelector("output");
  if (value) value.textContent = number(target.value);
});
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-do=others]")) {
    const stage = find(".stage");
    stage.seed += all(".variants li").length;
    stage.run();
  }
  const save = target.closest("[data-do=save]");
  if (!save) return;
  const link = document.createElement("a");
  link.href = find(".output", save.closest("li, .outcome")).src;
  link.download = save.dataset.name;
  link.click();
});

const values = () => { for (const value of all(".option output")) value.textContent = number(find("input", value.closest(".option")).value); };
// Options of the chosen model: those that serve it are shown, and sent with a job.
const setOptions = (stage) => {
  const offered = JSON.parse(stage.dataset.offered);
  calco.model = (name) => {
    const { options, threshold } = offered[name], parts = all("[data-option]", stage);
    for (const part of parts) part.hidden = !options.includes(part.dataset.option);
    document.body.classList.toggle("one-variant", !options.includes("variants"));
    const place = find(".options", stage), least = find("input[name=threshold]", stage);
    if (place) place.hidden = !options.length;
    calco.least = threshold;
    if (least) least.value = threshold;
    values();
  };
  calco.options = () => {
    const chosen = {}, value = (name) => find(`[data-option=${name}]:not([hidden]) input`, stage);
    for (const name of ["overlay", "steady"]) if (value(name)?.checked) chosen[name] = true;
    for (const name of ["threshold", "noise_seed"]) if (value(name)?.value) chosen[name] = Number(value(name).value);
    return JSON.stringify(chosen);
  };
  calco.model(stage.dataset.model);  // the one that Gradio's list shows first; the keys of `offered` are in another order
};

// Long jobs: the upload, then questions once a second.
const setFiles = (stage) => {
  const input = find("input[type=file]", stage), chosen = find(".chosen", stage), place = find(".job", stage), paper = find(".paper", stage), button = find("[data-do=upload]", stage);
  const maskInput = find("input[name=mask]", stage), maskName = find(".chosen-mask", stage);
  let files = [], mask = null, upload = null, focused = false;
  const key = `calco-job-${stage.dataset.job}`;
  const bytes = (list) => list.reduce((sum, file) => sum + file.size, 0);
  const take = (list) => {
    files = list;
    warn(stage, null);
    const size = megabytes(bytes(files));
    if (files.length) fill(chosen, files.length > 1 ? "chosen_many" : "chosen", { name: files[0].name, count: files.length, size });
    else { chosen.textContent = ""; delete chosen.dataset.t; }
  };
  const takeMask = (file) => { mask = file ?? null; if (maskName) maskName.textContent = mask ? mask.name : ""; warn(stage, null); };
  input.addEventListener("change", () => take([...input.files]));
  maskInput?.addEventListener("change", () => takeMask(maskInput.files[0]));
  dropped(paper, (list) => take(input.multiple ? list : list.slice(0, 1)));
  let shown = "";
  const show = (html) => {
    if (html !== shown || !find(".task", place)) renew(place, shown = html);  // a video that is watched plays on
    const task = find(".task", place);
    paper.hidden = button.parentElement.hidden = Boolean(task);
    if (focused) find("button, a[href]", place)?.focus({ preventScroll: true });  // the button that was pressed is gone
    focused = false;
    return Number(task?.dataset.again);
  };
  // While a page shows a job it asks for it again, and so the studio keeps its result.
  const follow = async (id) => {
    for (let seconds = 1; ;) {
      try {
        const answer = await fetch(`${root}/studio/jobs/${id}`, { headers: { "Accept-Language": language } }), said = await answer.text();
        if (sessionStorage.getItem(key) !== id) return;
        if (answer.ok) {
          seconds = show(said);
          warn(stage, null);
          if (!seconds) return;
        } else warn(stage, ...trouble(answer.status, said));
      } catch { warn(stage, "error_offline"); }
      await new Promise((done) => setTimeout(done, 1000 * seconds));
      if (sessionStorage.getItem(key) !== id) return;
    }
  };
  place.addEventListener("click", async ({ target }) => {
    const cancel = target.closest("[data-do=cancel]");
    if (!cancel) return;
    focused = document.activeElement === cancel;
    cancel.disabled = true;
    const preview = find("figure", place);
    if (preview) preview.hidden = true;  // it goes with the job
    const status = await fetch(root + cancel.dataset.job, { method: "DELETE" }).then((answer) => answer.status, () => 0);
    if (status < 300 && status) return;
    cancel.disabled = focused = false;
    if (preview) preview.hidden = false;
    if (status !== 404) warn(stage, ...trouble(status));
  });
  // A preview that has gone since its job was asked for leaves no broken image.
  place.addEventListener("error", ({ target }) => { if (target.matches?.("figure img")) target.parentElement.remove(); }, true);
  place.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-do=again]")) return;
    sessionStorage.removeItem(key);
    place.replaceChildren();
    paper.hidden = button.parentElement.hidden = false;
    input.value = "";
    if (maskInput) maskInput.value = "";
    take([]);
    takeMask(null);
    input.focus();
  });
  button.addEventListener("click", () => {
    if (!files.length) return warn(stage, "error_no_file");
    const form = new FormData();
    const drawn = find("[data-option=mask]:not([hidden])", stage) ? mask : null;
    const every = drawn ? [...files, drawn] : files, large = { size: megabytes(bytes(every)), most: megabytes(texts.limits.job_bytes) };
    if (bytes(every) > texts.limits.job_bytes) return warn(stage, every.length > 1 ? "error_large_many" : "error_large", large);
    for (const file of every) form.append("files", file);
    upload = new XMLHttpRequest();
    const line = document.createElement("p"), bar = document.createElement("progress");
    line.className = "line";
    line.setAttribute("role", "status");
    bar.max = 100;
    place.replaceChildren(line, bar);
    fill(line, "uploading", { percent: 0 });
    bar.setAttribute("aria-label", word("progress"));
    button.disabled = true;
    upload.upload.addEventListener("progress", ({ loaded, total }) => { bar.value = 100 * loaded / total; fill(line, "uploading", { percent: Math.round(bar.value) }); });
    const over = (error, values) => { back(); warn(stage, error, values); };
    // A file that has changed since it was chosen, an upload that was cut off, or no studio any more.
    upload.addEventListener("error", async () => {
      const read = (file) => file.slice(0, 1).arrayBuffer();
      try { await Promise.all(every.map(read)); } catch { return over("error_read"); }
      fetch(`${root}/api/v1/health`).then(() => over("error_upload"), () => over("error_offline"));
    });
    upload.addEventListener("load", () => {
      if (upload.status !== 200) return over(...trouble(upload.status, upload.responseText));
      const sent = JSON.parse(upload.responseText).map((path) => ({ path, meta: { _type: "gradio.FileData" } }));
      calco.mask = drawn ? sent.pop() : null;
      calco.uploaded = sent;
      find(".go-run").click();
    });
    upload.open("POST", `${root}/studio/gradio_api/upload`);
    upload.setRequestHeader("Accept-Language", language);
    upload.send(form);
  });
  const back = () => {
    button.disabled = false;
    place.replaceChildren();
    if (document.activeElement === document.body) button.focus({ preventScroll: true });
  };
  calco.submitted = (answer) => {
    back();
    const { id, error, values } = JSON.parse(answer || "{}");
    if (!id) return warn(stage, ...(error ? [error, values] : calco.trouble ?? trouble(500)));
    sessionStorage.setItem(key, id);
    focused = document.activeElement === button;
    follow(id);
  };
  const kept = sessionStorage.getItem(key);
  if (kept) follow(kept);
};

// The camera: the next frame goes out when the answer to the last has come.
const setCamera = (stage) => {
  const video = find("video", stage), button = find("[data-do=camera]", stage), hint = find(".hint", stage), rate = find(".rate", stage), name = find("[data-t]", button);
  let stream = null, times = [];
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.hidden = true;
    hint.hidden = false;
    rate.textContent = "";
    fill(name, "camera_start");
  };
  stage.next = () => {
    if (!stream) return;
    warn(stage, null);
    times = [...times.slice(-9), performance.now()];
    if (times.length > 2) fill(rate, "camera_rate", { rate: ((times.length - 1) * 1000 / (times.at(-1) - times[0])).toFixed(1) * 1 });
    find(".go-run").click();
  };
  calco.given = async () => {
    const scale = Math.min(1, 512 / Math.max(video.videoWidth, video.videoHeight));
    const copy = new OffscreenCanvas(Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
    copy.getContext("2d").drawImage(video, 0, 0, copy.width, copy.height);
    return JSON.stringify({ image: await asText(await copy.convertToBlob({ type: "image/jpeg", quality: .9 })), mask: null });
  };
  button.addEventListener("click", async () => {
    warn(stage, null);
    if (stream) return stop();
    if (!navigator.mediaDevices) return warn(stage, "camera_insecure");
    try { stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } }); } catch (error) {
      return warn(stage, error.name === "NotAllowedError" ? "camera_denied" : "camera_none");
    }
    video.srcObject = stream;
    await video.play();
    video.hidden = false;
    hint.hidden = true;
    fill(name, "camera_stop");
    times = [];
    stage.next();
  });
  addEventListener("pagehide", stop);
};

// Runs that are training: the same part of the page again when it has changed.
const setLive = (part) => {
  let before = "", over = false, line = null;
  const say = (key, values) => {
    if (line?.dataset.t === key) return;
    line?.remove();
    line = null;
    if (!key) return;
    line = document.createElement("p");
    line.className = "warn";
    line.setAttribute("role", "alert");
    fill(line, key, values);
    part.prepend(line);
  };
  const ask = async () => {
    if (over || (document.hidden && before)) return;
    try {
      const answer = await fetch(part.dataset.live, { cache: "no-cache" }), text = await answer.text();
      if (answer.status === 204) {  // the run was removed: what was seen of it stays
        if (over) return;
        over = true;
        clearInterval(timer);
        return say("error_run");
      }
      if (!answer.ok) return say(...trouble(answer.status, text));
      say();
      if (text !== before) { renew(part, before = text); translate(part); }
    } catch { say("error_offline"); }
  };
  const timer = setInterval(ask, 4000);
  live.push(ask);
  ask();
};

const widgets = { stage: setStage, outcome: shown };
const setUp = () => {
  for (const part of all("[data-widget]:not([data-set])")) { part.dataset.set = ""; widgets[part.dataset.widget](part); }
  for (const part of all("[data-live]:not([data-set])")) { part.dataset.set = ""; setLive(part); }
};
new MutationObserver((changes) => {
  for (const { type, target } of changes) if (type === "attributes" && target.closest(".controls")) rename(target);
  if (!changes.some(({ addedNodes }) => [...addedNodes].some((node) => node.nodeType === 1))) return;
  setUp();
  for (const { addedNodes } of changes) for (const node of addedNodes) if (node.nodeType === 1) translate(node);
  for (const part of all(".controls [aria-label]")) rename(part);
}).observe(document.body, { childList: true, subtree: true, attributeFilter: ["aria-label"] });
setUp();
