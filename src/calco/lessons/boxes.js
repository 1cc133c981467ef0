// Boxes that are dragged, for notebooks; see BoxesWidget in kit.py.
export default { render({ model, el }) {
  const ns = "http://www.w3.org/2000/svg", [W, H] = model.get("size_wh");
  const colours = ["#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2"];
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.style.cssText = `width:100%;max-width:${W * 1.5}px;border:1px solid #8884;touch-action:none;display:block`;
  el.append(svg);
  const make = (name, attributes, parent = svg) => {
    const node = document.createElementNS(ns, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    parent.append(node); return node;
  };
  const put = (i, box) => {
    const least = 4;
    let [l, t, r, b] = box.map(Math.round);
    r = Math.max(r, l + least); b = Math.max(b, t + least);
    if (l < 0) { r -= l; l = 0; } if (t < 0) { b -= t; t = 0; }
    if (r > W) { l = Math.max(0, l - (r - W)); r = W; } if (b > H) { t = Math.max(0, t - (b - H)); b = H; }
    const all = model.get("boxes").map(each => [...each]); all[i] = [l, t, r, b];
    model.set("boxes", all); model.save_changes(); draw();
  };
  const point = event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [at.x, at.y];
  };
  let active = null;
  const draw = () => {
    const focused = active; svg.replaceChildren();
    const image = model.get("image");
    if (image) make("image", { href: image, width: W, height: H });
    model.get("boxes").forEach(([l, t, r, b], i) => {
      const colour = colours[i % colours.length], name = model.get("labels")[i] ?? String(i + 1);
      const label = `${name}: ${l}, ${t}, ${r}, ${b}`;
    const group = make("g", { tabindex: 0, role: "group", "data-box": i, "aria-label": label });
      const body = make("rect", { x: l, y: t, width: r - l, height: b - t, fill: colour, "fill-opacity": .18, stroke: colour, "stroke-width": 2, cursor: "move" }, group);
      make("text", { x: l + 4, y: t + 13, "font-size": 12, fill: colour, "font-weight": 700, "pointer-events": "none" }, group).textContent = name;
      const corner = make("circle", { cx: r, cy: b, r: 5, fill: colour, cursor: "nwse-resize" }, group);
      const drag = resize => event => {
        event.preventDefault(); active = i;
        const [x0, y0] = point(event), from = [...model.get("boxes")[i]];
        const move = event => {
          const [x, y] = point(event), dx = x - x0, dy = y - y0;
          put(i, resize ? [from[0], from[1], from[2] + dx, from[3] + dy] : [from[0] + dx, from[1] + dy, from[2] + dx, from[3] + dy]);
        };
        const up = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", up); };
        addEventListener("pointermove", move); addEventListener("pointerup", up);
      };
      body.addEventListener("pointerdown", drag(false)); corner.addEventListener("pointerdown", drag(true));
      group.addEventListener("focus", () => { active = i; });
      group.addEventListener("keydown", event => {
        const step = { ArrowLeft: [-4, 0], ArrowRight: [4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] }[event.key];
        if (!step) return;
        event.preventDefault(); active = i;
        const [l, t, r, b] = model.get("boxes")[i], [dx, dy] = step;
        put(i, event.shiftKey ? [l, t, r + dx, b + dy] : [l + dx, t + dy, r + dx, b + dy]);
      });
      if (focused === i) group.focus({ preventScroll: true });
    });
  };
  model.on("change:boxes", draw); draw();
} }
