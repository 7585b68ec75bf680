// Graphs in layers: every node below what it reads. Drawn as SVG, the details of what is clicked beside it.
import { el, svg } from "./dom.js";

const HEIGHT = 38, GAP_X = 18, GAP_Y = 34, MOST = 700;
const hue = (i) => `hsl(${(i * 67) % 360} 55% 55%)`;

function layersOf(nodes) { // nodes: [{ins: [indices of earlier nodes]}]
  const depth = nodes.map(() => 0);
  nodes.forEach((n, i) => { for (const j of n.ins) depth[i] = Math.max(depth[i], depth[j] + 1); });
  const outs = nodes.map(() => []);
  nodes.forEach((n, i) => n.ins.forEach((j) => outs[j].push(i)));
  for (let i = nodes.length - 1; i >= 0; i -= 1) // what reads nothing stands just above its first reader
    if (!nodes[i].ins.length && outs[i].length) depth[i] = Math.min(...outs[i].map((j) => depth[j])) - 1;
  const layers = [];
  depth.forEach((d, i) => (layers[d] ||= []).push(i));
  return [layers.filter(Boolean), outs];
}

function ordered(layers, nodes, outs) { // neighbours near each other: sort by the mean place of what one is joined to
  const place = nodes.map(() => 0);
  const set = (layer) => layer.forEach((i, k) => { place[i] = k - layer.length / 2; });
  layers.forEach(set);
  for (let sweep = 0; sweep < 8; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const mean = new Map(layer.map((i) => {
        const near = down ? nodes[i].ins : outs[i];
        return [i, near.length ? near.reduce((s, j) => s + place[j], 0) / near.length : place[i]];
      }));
      layer.sort((a, b) => mean.get(a) - mean.get(b));
      set(layer);
    }
  }
}

function placed(layers, nodes, outs) { // centres: near the mean of neighbours, without overlaps
  const x = nodes.map(() => 0);
  const row = (layer, want) => {
    let right = -Infinity;
    for (const i of layer) { x[i] = Math.max(want(i), right + nodes[i].width / 2 + GAP_X); right = x[i] + nodes[i].width / 2; }
    const shift = layer.reduce((s, i) => s + want(i) - x[i], 0) / layer.length;
    for (const i of layer) x[i] += shift;
  };
  for (const layer of layers) row(layer, () => 0);
  for (let sweep = 0; sweep < 6; sweep += 1)
    for (const layer of sweep % 2 ? [...layers].reverse() : layers)
      row(layer, (i) => {
        const near = sweep % 2 ? outs[i] : nodes[i].ins;
        return near.length ? near.reduce((s, j) => s + x[j], 0) / near.length : x[i];
      });
  return x;
}

export function draw(all, about) { // all: [{title, sub, ins, colour, about: () => elements}]
  const nodes = all.slice(0, MOST).map((n, i) => ({ ...n, ins: [...new Set(n.ins)].filter((j) => j < i) }));
  for (const n of nodes) {
    n.shown = n.title.length > 34 ? `${n.title.slice(0, 33)}…` : n.title;
    n.width = Math.max(70, 22 + 7.3 * n.shown.length, 22 + 6.5 * (n.sub || "").length);
  }
  const [layers, outs] = layersOf(nodes);
  ordered(layers, nodes, outs);
  const x = placed(layers, nodes, outs), y = [];
  layers.forEach((layer, d) => layer.forEach((i) => { y[i] = d * (HEIGHT + GAP_Y) + HEIGHT / 2 + 8; }));
  const left = Math.min(...nodes.map((n, i) => x[i] - n.width / 2)) - 8, right = Math.max(...nodes.map((n, i) => x[i] + n.width / 2)) + 8;
  const height = layers.length * (HEIGHT + GAP_Y) - GAP_Y + 16;
  const edges = svg("g"), boxes = svg("g"), lines = [];
  nodes.forEach((n, i) => n.ins.forEach((j) => {
    const y0 = y[j] + HEIGHT / 2, y1 = y[i] - HEIGHT / 2, bend = (y1 - y0) / 2;
    const line = svg("path", { class: "edge", d: `M${x[j]},${y0} C${x[j]},${y0 + bend} ${x[i]},${y1 - bend} ${x[i]},${y1}` });
    lines.push([j, i, line]);
    edges.append(line);
  }));
  const groups = nodes.map((n, i) => {
    const at = x[i] - n.width / 2, top = y[i] - HEIGHT / 2;
    const text = svg("text", { x: at + 14, y: top + (n.sub ? 16 : 23) }, n.shown);
    const g = svg("g", { class: "node", tabindex: 0 },
      svg("rect", { class: "box", x: at, y: top, width: n.width, height: HEIGHT, rx: 7 }),
      svg("rect", { x: at + 1, y: top + 4, width: 5, height: HEIGHT - 8, rx: 2, style: `fill:${n.colour === null ? "var(--line)" : hue(n.colour)};stroke:none` }), text);
    if (n.sub) g.append(svg("text", { class: "sub", x: at + 14, y: top + 30 }, n.sub));
    const choose = () => {
      groups.forEach((o) => o.classList.toggle("on", o === g));
      lines.forEach(([a, b, line]) => line.classList.toggle("on", a === i || b === i));
      about.replaceChildren(...n.about());
    };
    g.addEventListener("click", choose);
    g.addEventListener("keydown", (e) => { if (e.key === "Enter") choose(); });
    boxes.append(g);
    return g;
  });
  const made = svg("svg", { width: right - left, height, viewBox: `${left} 0 ${right - left} ${height}`, role: "img" }, edges, boxes);
  return [made, all.length > MOST ? el("p", { class: "muted small" }, `The first ${MOST} of ${all.length} are drawn.`) : null];
}
