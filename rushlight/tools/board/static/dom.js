// Elements and numbers as text. Texts from files always go through textContent, never through HTML.

export function el(tag, about = {}, ...children) {
  const made = document.createElement(tag);
  for (const [k, v] of Object.entries(about)) {
    if (k === "class") made.className = v;
    else if (k.startsWith("on")) made.addEventListener(k.slice(2), v);
    else if (k === "style") for (const [name, x] of Object.entries(v)) made.style.setProperty(name, x);
    else if (k in made && typeof v !== "string") made[k] = v;
    else made.setAttribute(k, v);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
}

export const svg = (tag, about = {}, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(about)) made.setAttribute(k, v);
  made.append(...children);
  return made;
};

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // for Plotly
export const short = (x, digits = 4) => (x === null || x === undefined ? "not finite" : typeof x === "number"
  ? (Number.isInteger(x) && Math.abs(x) < 1e7 ? String(x) : x.toPrecision(digits).replace(/\.?0+(e|$)/, "$1")) : String(x));
export const percent = (x) => `${(100 * x).toFixed(x < 0.0995 ? 1 : 0)} %`;

export function seconds(s) {
  if (!s) return "0 s";
  if (s >= 1) return `${s.toPrecision(3)} s`;
  return s >= 1e-3 ? `${(s * 1e3).toPrecision(3)} ms` : `${(s * 1e6).toPrecision(3)} µs`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (Math.abs(n) >= 1000 && u < 4) { n /= 1024; u += 1; }
  return `${u ? n.toPrecision(3) : n} ${units[u]}`;
}

export function median(values) {
  const sorted = values.filter((v) => v !== null).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : 0;
}

export const table = (heads, rows) => el("div", { class: "scroll" }, el("table", {},
  el("thead", {}, el("tr", {}, ...heads.map(([name, left]) => el("th", { class: left ? "l" : "" }, name)))),
  el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) => el("td", { class: heads[i][1] ? "l" : "" }, cell)))))));

export function empty(title, text, code) {
  return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, text), code ? el("pre", {}, code) : null);
}
