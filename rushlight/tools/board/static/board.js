// The page: which runs there are, what is asked of the server, and the tabs. A tab is {need, show}: what it
// reads of each run, and a function that shows it; it is called again whenever something has changed.
import { card, curves, drop, plot, wrongNote } from "./charts.js";
import { el, empty } from "./dom.js";
import { gradients, histograms, images, kernels, memory, graph, texts, time } from "./tabs.js";

const PAUSE = 2000, LIVE = 30, AT_FIRST = 16;
const PALETTE = ["#e08a1e", "#3b82f6", "#10b981", "#ef4444", "#8b5cf6", "#06b6d4", "#ec4899", "#84cc16", "#a16207", "#64748b"];
const byId = (id) => document.getElementById(id);
const main = byId("main");

const state = {
  runs: [], root: "", colours: new Map(), hidden: new Set(), known: new Map(), // known: run -> {what: {version, content}}
  tab: location.hash.slice(1), chosen: {}, settings: { smoothing: 0, axis: "step", log: false }, tags: "",
};
Object.assign(state.settings, JSON.parse(localStorage.getItem("settings") || "{}"));

const TABS = {
  scalars: { title: "Scalars", need: "scalars", show: scalars },
  time: { title: "Time", need: "scalars", show: time },
  memory: { title: "Memory", need: "scalars looked_at", show: memory },
  graph: { title: "Graph", need: "looked_at", show: graph },
  kernels: { title: "Kernels", need: "looked_at", show: kernels },
  images: { title: "Images", need: "media", show: images },
  histograms: { title: "Histograms", need: "media", show: histograms },
  text: { title: "Text", need: "media", show: texts },
};

// ---------------------------------------------------------------- the server

async function ask(what, about = {}) {
  const answer = await fetch(`api/${what}?${new URLSearchParams(about)}`);
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}

export const shown = () => state.runs.filter((r) => !state.hidden.has(r.id));

export function content(run, what) { return state.known.get(run.id)?.[what]?.content; }

async function fetchNeeded() {
  const jobs = [];
  for (const run of shown())
    for (const what of TABS[state.tab].need.split(" ")) {
      const known = state.known.get(run.id) || {};
      state.known.set(run.id, known);
      if (known[what]?.version === run.version) continue;
      jobs.push(ask(what, { run: run.id }).then((found) => { known[what] = { version: run.version, content: found }; }));
    }
  await Promise.all(jobs);
  return jobs.length > 0;
}

let turn = 0;
async function look(force = false) {
  const mine = ++turn;
  let again = PAUSE;
  try {
    const found = await ask("listing");
    if (!state.colours.size) // of many runs, the latest are shown at first
      for (const run of [...found.runs].sort((a, b) => b.latest - a.latest).slice(AT_FIRST)) state.hidden.add(run.id);
    for (const run of found.runs) {
      if (!state.colours.has(run.id)) state.colours.set(run.id, PALETTE[state.colours.size % PALETTE.length]);
      run.colour = state.colours.get(run.id);
    }
    const before = state.runs.map((r) => `${r.id} ${r.version}`).join("\n");
    state.runs = found.runs; state.root = found.root;
    const changed = before !== state.runs.map((r) => `${r.id} ${r.version}`).join("\n");
    showRuns();
    const fetched = await fetchNeeded();
    if (mine !== turn) return;
    if (force || changed || fetched || !main.firstChild) show();
    status(found.reading ? "reading files …" : "", false);
    if (found.reading) again = 300;
  } catch (e) {
    status(e instanceof TypeError ? "the server does not answer; trying again" : String(e), true);
  }
  if (mine === turn) setTimeout(() => { if (mine === turn) (document.hidden ? wake() : look()); }, again);
}

function wake() { document.addEventListener("visibilitychange", () => look(), { once: true }); }

function status(text, wrong) {
  const live = state.runs.filter(isLive).length;
  byId("status").textContent = text || (live ? `${live} run${live > 1 ? "s" : ""} going on` : "");
  byId("status").classList.toggle("wrong", wrong);
}

// ---------------------------------------------------------------- the list of runs

const isLive = (run) => Date.now() / 1e3 - run.latest < LIVE;

function showRuns() {
  byId("root").textContent = state.root;
  const filter = byId("run-filter").value.toLowerCase();
  const rows = state.runs.filter((r) => r.id.toLowerCase().includes(filter)).map((run) => {
    const box = el("input", { type: "checkbox", checked: !state.hidden.has(run.id), "data-run": run.id, onchange: () => {
      state.hidden[box.checked ? "delete" : "add"](run.id);
      look(true);
    } });
    return el("li", { style: { "--colour": run.colour } },
      el("label", { title: `${run.id}, last written ${new Date(run.latest * 1e3).toLocaleString()}` }, box,
        el("span", { class: "name" }, run.name), el("span", { class: "muted small" }, run.steps ? run.steps.toLocaleString("en") : ""),
        isLive(run) ? el("span", { class: "live", title: "written to just now" }) : null),
      ...run.problems.map((p) => el("div", { class: "problem" }, p)));
  });
  const focused = document.activeElement?.dataset?.run;
  byId("runs").replaceChildren(...rows);
  if (focused) byId("runs").querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
}

for (const [id, hide] of [["all", false], ["none", true]])
  byId(id).addEventListener("click", () => {
    const filter = byId("run-filter").value.toLowerCase();
    for (const r of state.runs) if (r.id.toLowerCase().includes(filter)) state.hidden[hide ? "add" : "delete"](r.id);
    look(true);
  });
byId("run-filter").addEventListener("input", showRuns);

// ---------------------------------------------------------------- tabs

function showTabs() {
  if (!TABS[state.tab]) state.tab = "scalars";
  byId("tabs").replaceChildren(...Object.entries(TABS).map(([name, tab]) => el("button", {
    role: "tab", "data-tab": name, "aria-selected": String(name === state.tab), onclick: () => { location.hash = name; },
  }, tab.title)));
}

window.addEventListener("hashchange", () => {
  state.tab = location.hash.slice(1);
  showTabs();
  clear();
  look(true);
});

const cards = new Map(); // key -> what `card` made; kept from one showing to the next, so that zooms stay

function clear() {
  for (const c of cards.values()) drop(c.div);
  cards.clear();
  main.replaceChildren();
}

export function chart(key, title, make, { shape = "", note = "" } = {}) { // a card with a chart that is kept
  const made = cards.get(key) || card(title, shape);
  cards.set(key, made);
  made.used = true;
  made.note.textContent = note;
  plot(made.div, make);
  return made.node;
}

export const compare = (tag, about = {}) => { // one curve of all runs that have it
  const lines = shown().map((run) => ({ name: run.name, colour: run.colour, points: content(run, "scalars")?.[tag] })).filter((l) => l.points);
  return lines.length ? chart(`curve ${tag}`, about.title || tag, curves(lines, state.settings, about), { note: wrongNote(lines) }) : null;
};

const open = {}; // groups that somebody has closed
export function group(name, nodes, wide = "") {
  const made = el("details", { class: "group", open: open[name] !== false, ontoggle: () => { open[name] = made.open; } },
    el("summary", {}, name), el("div", { class: `grid ${wide}` }, ...nodes));
  return made;
}

export function choice(name, options, key = name) { // a menu whose choice is kept; options: [value, text]
  const values = options.map(([v]) => String(v));
  if (!values.includes(state.chosen[key])) state.chosen[key] = values[0];
  const menu = el("select", { "aria-label": name, onchange: () => { state.chosen[key] = menu.value; show(); } },
    ...options.map(([v, text]) => el("option", { value: String(v) }, text)));
  menu.value = state.chosen[key];
  return menu;
}

function show() {
  for (const c of cards.values()) c.used = false;
  const typing = document.activeElement?.closest?.("#main select");
  const top = main.scrollTop, inner = main.querySelector(".canvas"), at = inner && [inner.scrollLeft, inner.scrollTop];
  let nodes;
  if (!state.runs.length) nodes = [welcome()];
  else if (!shown().length) nodes = [empty("No run is chosen", "Tick a run on the left.")];
  else nodes = TABS[state.tab].show(state);
  main.replaceChildren(...nodes.filter(Boolean));
  main.scrollTop = top;
  const now = main.querySelector(".canvas");
  if (now && at) [now.scrollLeft, now.scrollTop] = at;
  if (typing) main.querySelector(`select[aria-label="${CSS.escape(typing.getAttribute("aria-label"))}"]`)?.focus();
  for (const [key, c] of cards) if (!c.used) { drop(c.div); cards.delete(key); }
  main.dataset.tab = state.tab; // tests wait for this
}

function welcome() {
  return empty("No runs yet", `Nothing was recorded in ${state.root}. A run appears here as soon as it writes its first numbers:`,
    'from rushlight.tools import Recorder\n\nwith Recorder("runs/first", model) as board:\n    for x, y in loader:\n        ...\n        optimizer.step()\n        board.log(loss=loss)');
}

const FEW = 9; // curves that stand together, whatever their names
const rank = (tag) => (/^(optimizer|gradients)\//.test(tag) ? 2 : tag.includes("/") ? 1 : 0);

function scalars() {
  const tags = new Set(), filter = state.tags.toLowerCase();
  for (const run of shown()) for (const tag of Object.keys(content(run, "scalars") || {})) tags.add(tag);
  const groups = new Map();
  const wanted = [...tags].filter((t) => !/^(time|memory)\//.test(t) && (!t.startsWith("gradients/") || t === "gradients/all") && t.toLowerCase().includes(filter));
  for (const tag of wanted.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))) {
    const prefix = wanted.length <= FEW ? "" : rank(tag) === 2 ? "optimizer" : tag.includes("/") ? tag.split("/")[0] : "";
    if (!groups.has(prefix)) groups.set(prefix, []);
    groups.get(prefix).push(compare(tag, { title: { "gradients/all": "norm of the gradients" }[tag] || tag.replace(/^optimizer\//, "") }));
  }
  const nodes = [...groups].map(([prefix, found]) => group(prefix || "losses and metrics", found));
  const layers = gradients(filter);
  if (layers.length) nodes.push(group("gradients by parameter (norms; nothing: zero)", layers, "wide"));
  return nodes.length ? nodes : [empty("No curves", filter ? "No curve's name contains the filter." : "These runs have logged no numbers yet.")];
}

// ---------------------------------------------------------------- settings

function settings() {
  const { settings: s } = state, smoothing = byId("smoothing"), axis = byId("axis"), log = byId("log");
  smoothing.value = s.smoothing; axis.value = s.axis; log.checked = s.log;
  const changed = () => {
    s.smoothing = Number(smoothing.value); s.axis = axis.value; s.log = log.checked;
    byId("smoothing-shown").textContent = s.smoothing.toFixed(2);
    localStorage.setItem("settings", JSON.stringify(s));
    if (state.runs.length) show();
  };
  for (const input of [smoothing, axis, log]) input.addEventListener("input", changed);
  byId("tag-filter").addEventListener("input", (e) => { state.tags = e.target.value; show(); });
  byId("smoothing-shown").textContent = s.smoothing.toFixed(2);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { clear(); show(); });
window.addEventListener("DOMContentLoaded", () => { settings(); showTabs(); look(true); });
