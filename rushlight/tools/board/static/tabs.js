// What the tabs show besides curves.
import { chart, choice, compare, content, group, shown } from "./board.js";
import { across, layout, top } from "./charts.js";
import { bytes, colour, el, empty, median, percent, plain, seconds, short, table } from "./dom.js";
import { draw } from "./graph.js";

const PARTS = [["data", "data"], ["kernels", "kernels"], ["python", "Python"]];
const MOST = 6; // runs that get a chart each
const NOTHING = 'The Recorder writes this: with rushlight.tools.Recorder("runs/first", model) as board.';

// ---------------------------------------------------------------- gradients

export function gradients(filter) { // how the norms of all parameters change, a picture for each run
  return shown().slice(0, MOST).map((run) => {
    const found = content(run, "scalars") || {};
    const tags = Object.keys(found).filter((t) => t.startsWith("gradients/") && t !== "gradients/all" && t.toLowerCase().includes(filter));
    if (!tags.length) return null;
    return chart(`layers ${run.id}`, run.name, () => {
      const steps = [...new Set(tags.flatMap((t) => found[t].steps))].sort((a, b) => a - b);
      const z = tags.map((t) => {
        const at = new Map(found[t].steps.map((s, i) => [s, found[t].values[i]]));
        return steps.map((s) => (at.get(s) > 0 ? Math.log10(at.get(s)) : null));
      });
      const text = z.map((row) => row.map((v) => (v === null ? "" : (10 ** v).toPrecision(3))));
      return [[{ type: "heatmap", x: steps, y: tags.map((t) => plain(t.slice(10))), z, text, hovertemplate: "%{y}<br>step %{x}: %{text}<extra></extra>",
        colorscale: "Viridis", colorbar: { thickness: 10, outlinewidth: 0, tickprefix: "10<sup>", ticksuffix: "</sup>", nticks: 6 } }],
      layout({ hovermode: "closest", yaxis: { autorange: "reversed", type: "category" }, margin: { l: 60, r: 8, t: 6, b: 18 } })];
    }, { shape: "tall" });
  }).filter(Boolean);
}

// ---------------------------------------------------------------- time

export function time(state) {
  const stacked = shown().filter((run) => content(run, "scalars")?.["time/step"]).slice(0, MOST).map((run) => {
    const found = content(run, "scalars");
    const parts = PARTS.map(([tag, name]) => ({ name, colour: colour(tag), points: found[`time/${tag}`] })).filter((p) => p.points);
    const late = (p) => median(p.values.slice(p.values.length >> 1));
    const typical = parts.map((p) => late(p.points)), whole = typical.reduce((a, b) => a + b, 0) || 1;
    const scale = whole < 1e-3 ? [1e6, "µs"] : whole < 1 ? [1e3, "ms"] : [1, "s"];
    const limit = found["time/step"] ? top(found["time/step"].values) : null;
    const node = chart(`time ${run.id}`, run.name, () => [
      parts.map((p) => ({ x: across(p.points, state.settings.axis), y: p.points.values.map((v) => v * scale[0]), name: p.name, stackgroup: "time",
        stackgaps: "interpolate", mode: "lines", line: { width: 0.5, color: p.colour }, hovertemplate: "%{y:.4~g} " + scale[1] })),
      layout({ uirevision: state.settings.axis, yaxis: { ...(limit ? { range: [0, limit * scale[0]] } : { rangemode: "tozero" }), ticksuffix: ` ${scale[1]}` } })]);
    node.querySelector(".sum")?.remove();
    const compiler = found["time/compiler"] ? found["time/compiler"].values.reduce((a, b) => a + b, 0) : 0;
    node.insertBefore(el("div", { class: "sum" },
      el("div", { class: "parts" }, ...parts.map((p, i) => el("div", { title: `${p.name}: ${seconds(typical[i])}`, style: { background: p.colour, flex: String(typical[i] / whole) } }, typical[i] > 0.05 * whole ? percent(typical[i] / whole) : ""))),
      el("div", { class: "legend" }, ...parts.map((p, i) => el("span", {}, el("i", { style: { background: p.colour } }), `${p.name} ${seconds(typical[i])}`)),
        el("span", { class: "muted" }, `a step ${seconds(whole)}${compiler > 0 ? "; a compiler worked beside it at times" : ""}`)),
      limit ? el("div", { class: "hint" }, "Single steps took longer than the chart is high; a double click shows them.") : null), node.querySelector(".plot"));
    return node;
  });
  const others = new Set();
  for (const run of shown()) for (const tag of Object.keys(content(run, "scalars") || {})) if (tag.startsWith("time/")) others.add(tag);
  if (!others.size) return [empty("No times", NOTHING)];
  const own = ["time/data", "time/kernels", "time/python"];
  const titles = { "time/step": "a step", "time/compiler": "compiling kernels, beside the training; for a step" };
  const curves = [...others].sort().reverse().filter((t) => !own.includes(t)).map((t) => compare(t, { title: titles[t], scale: 1e3, unit: "ms", zero: true, clip: t === "time/step" }));
  return [stacked.length ? group("a step's time", stacked, "wide") : null, group("compared", curves)];
}

// ---------------------------------------------------------------- memory

export function memory() {
  const curves = ["memory/process", "memory/arena"].map((t) => compare(t, {
    scale: 2 ** -20, unit: "MiB", zero: true, title: t === "memory/process" ? "the process, resident" : "temporaries of compiled programs (arena)" })).filter(Boolean);
  const tables = shown().filter((run) => content(run, "looked_at")?.memory?.rows).slice(0, MOST).map((run) => {
    const m = content(run, "looked_at").memory, most = Math.max(...m.rows.map((r) => r[1] * r[4]), 1);
    return el("div", { class: "card" }, el("h3", {}, run.name),
      el("p", { class: "muted small" }, `Step ${m.step}: ${bytes(m.peak)} of arrays at the peak, at ${m.where}; ${bytes(m.before)} before the step.`),
      table([["what", 1], ["shape", 1], ["line", 1], ["memory", 0]], m.rows.slice(0, 40).map(([name, count, dtype, shape, nbytes, line]) => [
        `${count > 1 ? `${count} × ` : ""}${name}`, `${dtype}[${shape.join(", ")}]`, line,
        el("span", { style: { "white-space": "nowrap" } }, el("span", { class: "bar", style: { width: `${(60 * count * nbytes) / most}px` } }), bytes(count * nbytes))])));
  });
  if (!curves.length && !tables.length) return [empty("No memory", NOTHING)];
  return [curves.length ? group("over time", curves) : null, tables.length ? group("alive at the peak of one step", tables, "wide") : null];
}

// ---------------------------------------------------------------- graph and kernels

function programsOf(run) {
  const e = content(run, "looked_at")?.explain;
  return Array.isArray(e?.programs) ? e.programs : [];
}

const told = (p, i) => `program ${i + 1}: ${p.size} operations, ${p.runs} run${p.runs > 1 ? "s" : ""}, ${seconds(p.seconds)}`;

function chosen(which) { // [run, menu of runs] among those of which there is something
  const runs = shown().filter(which);
  if (!runs.length) return [null, null];
  const menu = choice("run", runs.map((r) => [r.id, r.name]));
  return [runs.find((r) => r.id === menu.value), runs.length > 1 ? menu : el("b", {}, runs[0].name)];
}

const list = (pairs) => el("dl", {}, ...pairs.filter(([, v]) => v !== "" && v !== null).flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));

function kernelNodes(p) { // one for each kernel or fused group, and for operations outside of them
  const steps = p.steps.map((s) => ({ ...s, ins: new Set() })), total = p.steps.reduce((sum, s) => sum + s.seconds, 0) || 1;
  const sources = []; // of each operation: the kernels whose results it passes on; a view has those of what it is a view of
  for (const [, , , step, ins] of p.operations) {
    const read = new Set(ins.flatMap((j) => sources[j]));
    if (step !== null) for (const from of read) if (from !== step) steps[step].ins.add(from);
    sources.push(step === null ? [...read] : [step]);
  }
  return steps.map((s, i) => ({
    title: s.operations.join(", ") || s.label, sub: s.why ? "tier 0" : `${percent(s.seconds / total)}, ${seconds(s.seconds / Math.max(s.runs, 1))}`,
    ins: [...s.ins], colour: i,
    about: () => [el("h3", {}, s.operations.join(", ") || s.label), list([
      ["kernel", s.label], ["why in tier 0", s.why || ""], ["lines", s.lines.join(", ")], ["time of a run", seconds(s.seconds / Math.max(s.runs, 1))], ["share", percent(s.seconds / total)],
      ["arithmetic", s.flops ? `${short(s.flops / Math.max(s.runs, 1) / 1e6)} MFLOP, ${short(s.flops / s.seconds / 1e9, 3)} GFLOP/s` : ""],
      ["memory", s.bytes ? `${bytes(s.bytes / Math.max(s.runs, 1))}, ${short(s.bytes / s.seconds / 1e9, 3)} GB/s` : ""]])],
  }));
}

function operationNodes(p) {
  return p.operations.map(([name, value, line, step, ins]) => ({
    title: name, sub: value, ins, colour: step,
    about: () => [el("h3", {}, name), list([["result", value], ["line", line], ["kernel", step === null ? "none" : p.steps[step].label],
      ["with", step === null ? "" : p.steps[step].operations.join(", ")]])],
  }));
}

function modelNodes(nodes) { // of add_graph
  const at = new Map(nodes.map(([name], i) => [name, i]));
  return nodes.map(([name, op, ins]) => ({
    title: name.split("/").pop(), sub: name.includes("/") ? name.split("/").slice(0, -1).slice(-2).join("/") : op,
    ins: ins.map((x) => at.get(x.replace(/^\^/, "").replace(/:\d+$/, ""))).filter((x) => x !== undefined),
    colour: [...name.split("/").slice(0, -1).join("/")].reduce((h, c) => (h * 31 + c.charCodeAt(0)) % 97, 7),
    about: () => [el("h3", {}, name), list([["operator", op], ["reads", ins.join(", ")]])],
  }));
}

const drawings = { key: "", nodes: [], whole: false };

export function graph(state) {
  const [run, menu] = chosen((r) => programsOf(r).length || content(r, "looked_at")?.graph?.length);
  if (!run) return [empty("No graph", NOTHING)];
  const programs = programsOf(run), model = content(run, "looked_at").graph;
  const options = programs.map((p, i) => [i, told(p, i)]);
  if (model.length) options.push(["model", `the model: ${model.length} nodes of add_graph`]);
  const which = choice("program", options, `program ${run.id}`), p = programs[which.value];
  const views = p?.steps.length ? choice("view", [["kernels", "after fusion: kernels"], ["operations", "as recorded: operations"]]) : null;
  const about = el("div", { class: "card about" }, el("p", { class: "muted" }, "Click a node to see its details."));
  const step = content(run, "looked_at").explain?.step;
  const version = `${run.id} ${which.value} ${views?.value} ${p ? step : model.length}`;
  if (drawings.key !== version) { // a graph that has not changed stays as it is, with what was clicked
    const nodes = !p ? modelNodes(model) : views?.value === "kernels" ? kernelNodes(p) : operationNodes(p);
    const canvas = el("div", { class: "card canvas" }, ...draw(nodes, about).filter(Boolean));
    requestAnimationFrame(() => { canvas.scrollLeft = (canvas.scrollWidth - canvas.clientWidth) / 2; });
    Object.assign(drawings, { key: version, nodes: [canvas, about] });
  }
  const canvas = drawings.nodes[0];
  canvas.classList.toggle("whole", drawings.whole);
  const fit = el("button", { class: drawings.whole ? "on" : "", "aria-pressed": String(drawings.whole), onclick: () => {
    drawings.whole = canvas.classList.toggle("whole");
    fit.classList.toggle("on", drawings.whole);
  } }, "fit");
  return [el("div", { class: "bar-row" }, menu, which, views, fit, p ? el("span", { class: "muted" }, `step ${step}${p.steps.length ? "" : "; not compiled"}`) : null),
    el("div", { class: "graph" }, ...drawings.nodes)];
}

export function kernels() {
  const [run, menu] = chosen((r) => programsOf(r).length);
  if (!run) return [empty("No kernels", NOTHING)];
  const e = content(run, "looked_at").explain, programs = programsOf(run);
  const rows = programs.flatMap((p, i) => p.steps.map((s) => ({ ...s, program: i + 1 }))).sort((a, b) => b.seconds - a.seconds);
  const total = rows.reduce((sum, s) => sum + s.seconds, 0) || 1, plainRuns = programs.filter((p) => p.tier === 0);
  return [el("div", { class: "bar-row" }, menu, el("span", { class: "muted" },
    `step ${e.step}: ${programs.length} program${programs.length === 1 ? "" : "s"}, ${rows.length} kernels and groups, ${seconds(total)} in them`)),
  plainRuns.length ? el("p", { class: "muted" }, `Not compiled (tier 0): ${plainRuns.map((p) => `${p.size} operations, ${seconds(p.seconds)}`).join("; ")}.`) : null,
  el("div", { class: "card" }, table([["operations", 1], ["kernel", 1], ["lines", 1], ["runs", 0], ["a run", 0], ["share of the time", 1], ["GFLOP/s", 0], ["GB/s", 0]],
    rows.slice(0, 300).map((s) => [s.operations.join(", "), s.why ? `tier 0: ${s.why}` : s.label, s.lines.join(", "), s.runs, s.runs ? seconds(s.seconds / s.runs) : "",
      el("span", { style: { "white-space": "nowrap" } }, el("span", { class: "bar", style: { width: `${(90 * s.seconds) / (rows[0].seconds || 1)}px` } }), percent(s.seconds / total)),
      s.flops && s.seconds ? short(s.flops / s.seconds / 1e9, 3) : "", s.bytes && s.seconds ? short(s.bytes / s.seconds / 1e9, 3) : ""])))];
}

// ---------------------------------------------------------------- pictures, histograms, texts

const at = new Map(); // which step of a picture or histogram is shown

function slider(key, steps, choose) {
  const last = steps.length - 1, kept = () => Math.min(at.get(key) ?? last, last), output = el("output", { class: "muted small" });
  const input = el("input", { type: "range", min: "0", max: String(last), step: "1", "aria-label": "step", oninput: () => {
    if (Number(input.value) === last) at.delete(key); else at.set(key, Number(input.value));
    output.textContent = `step ${steps[kept()]}`;
    choose(kept());
  } });
  input.value = String(kept());
  output.textContent = `step ${steps[kept()]}`;
  choose(kept());
  return el("div", { class: "row" }, last > 0 ? input : null, output);
}

export function images() {
  const nodes = shown().map((run) => {
    const found = content(run, "media");
    if (!found) return null;
    const src = (about) => `api/picture?${new URLSearchParams({ run: run.id, version: run.version, ...about })}`;
    const cards = Object.entries(found.images).filter(([, steps]) => steps.length).map(([tag, steps]) => {
      const img = el("img", { class: "picture", alt: tag });
      return el("div", { class: "card" }, el("h3", {}, tag), slider(`${run.id} ${tag}`, steps, (i) => { img.src = src({ tag, number: i }); }), img);
    });
    cards.push(...found.files.map(([file, when]) => el("div", { class: "card" }, el("h3", {}, file),
      el("a", { href: src({ file }), target: "_blank" }, el("img", { class: "picture file", alt: file, loading: "lazy", src: `${src({ file, when })}` })))));
    return cards.length ? group(run.name, cards) : null;
  }).filter(Boolean);
  return nodes.length ? nodes : [empty("No pictures", "board.writer.add_image(...) writes some; PNG files in a run's folder are shown as well.")];
}

const BINS = 40;

function even(limits, counts) { // buckets of equal width: those of event files grow with the distance from zero
  const parts = counts.map((c, k) => [limits[k - 1] ?? limits[k], limits[k], c]).filter(([a, b, c]) => c > 0 && Math.abs(a) < 1e30 && Math.abs(b) < 1e30);
  if (!parts.length) return [[], []];
  const low = parts[0][0], width = (parts[parts.length - 1][1] - low) / BINS || 1, y = new Array(BINS).fill(0);
  for (const [a, b, c] of parts)
    for (let k = Math.max(0, Math.floor((a - low) / width)); k < BINS && low + k * width <= b; k += 1) {
      const share = b > a ? (Math.min(b, low + (k + 1) * width) - Math.max(a, low + k * width)) / (b - a) : 1;
      y[k] += c * Math.max(share, 0);
      if (b === a) break;
    }
  return [y.map((_, k) => low + (k + 0.5) * width), y];
}

export function histograms() {
  const nodes = shown().map((run) => {
    const cards = Object.entries(content(run, "media")?.histograms || {}).filter(([, rows]) => rows.length).map(([tag, rows]) => chart(`histogram ${run.id} ${tag}`, tag, () => {
      const traces = rows.map(([step, limits, counts], i) => {
        const [x, y] = even(limits, counts);
        const late = rows.length > 1 ? i / (rows.length - 1) : 1;
        return { x, y, name: `step ${step}`, mode: "lines", line: { width: 1.2, color: colour("kernels"), shape: "hvh" }, opacity: 0.15 + 0.85 * late ** 2, hovertemplate: "%{x:.4~g}: %{y:.4~g}" };
      });
      return [traces, layout({ hovermode: "closest", uirevision: "histogram", yaxis: { title: { text: "values" }, rangemode: "tozero" } })];
    }));
    return cards.length ? group(run.name, cards) : null;
  }).filter(Boolean);
  return nodes.length ? [el("p", { class: "muted small" }, "Distributions over the steps; the later, the stronger the line."), ...nodes]
    : [empty("No histograms", "board.writer.add_histogram(name, values, board.step) writes some.")];
}

export function texts() {
  const nodes = shown().map((run) => {
    const found = content(run, "media");
    if (!found) return null;
    const cards = Object.entries(found.texts).filter(([, rows]) => rows.length).map(([tag, rows]) => {
      const body = el("div", { class: "text" });
      return el("div", { class: "card" }, el("h3", {}, tag), slider(`${run.id} text ${tag}`, rows.map((r) => r[0]), (i) => { body.textContent = rows[i][1]; }), body);
    });
    if (found.result && typeof found.result === "object")
      cards.push(el("div", { class: "card" }, el("h3", {}, "result"), list(Object.entries(found.result).map(([k, v]) => [k, typeof v === "object" ? JSON.stringify(v) : short(v, 5)]))));
    return cards.length ? group(run.name, cards) : null;
  }).filter(Boolean);
  return nodes.length ? nodes : [empty("No texts", "board.writer.add_text(name, text, board.step) writes some.")];
}
