// Curves with Plotly: only those that can be seen are drawn.
import { colour, el, plain, short } from "./dom.js";

const CONFIG = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetScale2d"]] };
const waiting = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const e of entries) {
    const known = waiting.get(e.target);
    if (known) { known.seen = e.isIntersecting; drawIfSeen(e.target, known); }
  }
}, { rootMargin: "200px" });

function drawIfSeen(div, known) {
  if (known.seen && known.due) { known.due = false; Plotly.react(div, ...known.make(), CONFIG); }
}

export function plot(div, make) { // make: () => [traces, layout]
  const known = waiting.get(div) || { seen: false };
  known.make = make; known.due = true;
  if (!waiting.has(div)) { waiting.set(div, known); observer.observe(div); }
  drawIfSeen(div, known);
}

export function drop(div) {
  observer.unobserve(div); waiting.delete(div);
  if (div.data) Plotly.purge(div);
}

export function layout(more = {}) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("muted"), size: 11, family: "system-ui, sans-serif" },
    margin: { l: 30, r: 8, t: 6, b: 18 }, showlegend: false, hovermode: "x unified",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("accent") },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink"), size: 12 } },
    ...more, xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, exponentformat: "power", ...more.yaxis },
  };
}

export function smoothed(values, weight) { // exponential mean, as if nothing had come before the first value
  let mean = 0, count = 0;
  return values.map((v) => {
    if (v === null) return null;
    mean = weight * mean + (1 - weight) * v; count += 1;
    return mean / (1 - weight ** count);
  });
}

export function across(points, axis) {
  if (axis === "wall") return points.walls.map((w) => new Date(w * 1e3));
  if (axis === "relative") return points.walls.map((w) => (w - points.walls[0]) / 60);
  return points.steps;
}

export function top(totals) { // of a vertical axis from zero on which single high values do not hide the others; null: fits
  const known = totals.filter((v) => v !== null).sort((a, b) => a - b), usual = known[Math.floor(0.9 * (known.length - 1))];
  return known.length > 4 && known[known.length - 1] > 4 * usual ? 1.6 * usual : null;
}

export function curves(lines, settings, about = {}) { // lines: [{name, colour, points}]
  return () => {
    const traces = [], scale = about.scale || 1;
    for (const { name, colour: c, points } of lines) {
      const x = across(points, settings.axis), y = scale === 1 ? points.values : points.values.map((v) => (v === null ? null : v * scale));
      const few = y.length < 2 ? "markers" : y.length < 30 ? "lines+markers" : "lines";
      const line = { x, y, mode: few, name: plain(name), line: { color: c, width: 1.6 }, marker: { size: 5 }, hovertemplate: "%{y:.5~g}" };
      if (settings.smoothing > 0 && y.length > 2) {
        traces.push({ ...line, mode: "lines", opacity: 0.25, hoverinfo: "skip", hovertemplate: undefined, showlegend: false });
        traces.push({ ...line, mode: "lines", y: smoothed(y, settings.smoothing) });
      } else traces.push(line);
    }
    const limit = about.clip && !settings.log ? top(lines.flatMap((l) => l.points.values)) : null;
    const title = { step: "", relative: "minutes", wall: "" }[settings.axis];
    return [traces, layout({
      hovermode: lines.length > 12 ? "closest" : "x unified", uirevision: `${settings.axis} ${settings.log}`,
      xaxis: title ? { title: { text: title, standoff: 4 } } : {},
      yaxis: { type: settings.log ? "log" : "linear", ticksuffix: about.unit ? ` ${about.unit}` : "", ...(limit ? { range: [0, limit * scale] } : about.zero && !settings.log ? { rangemode: "tozero" } : {}) },
    })];
  };
}

export function card(title, shape = "") {
  const div = el("div", { class: "plot" }), note = el("div", { class: "note wrong" });
  return { div, note, node: el("div", { class: `card ${shape}` }, el("h3", {}, title), note, div) };
}

export function wrongNote(lines) { // how many values were NaN or infinite
  const wrong = lines.filter((l) => l.points.wrong);
  return wrong.map((l) => `${short(l.points.wrong)} of ${l.name} not finite`).join("; ");
}
