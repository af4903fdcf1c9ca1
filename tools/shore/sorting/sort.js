"use strict";
const $ = (id) => document.getElementById(id);
const words = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
let state = null, mode = "look", here = null, view = null, start = 0, at = 0, busy = false, choosing = null, asked = 0;
const marked = new Set();

function make(tag, props = {}, ...inside) {
  const one = Object.assign(document.createElement(tag), props);
  one.append(...inside);
  return one;
}

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function say(text, isBad = false) {
  $("said").textContent = text;
  $("said").className = isBad ? "bad" : "";
}

const cluster = (n) => state.clusters.find((one) => one.n === n);
const isNamed = (one) => one.name !== "" || (one.parent !== null && isNamed(cluster(one.parent)));
const label = (one) => one.name || (one.status === "group" ? `group ${one.n}` : `cluster ${one.n}`);
const queueOf = {
  look: () => state.clusters.filter((one) => one.status === "new"),
  grow: () => state.clusters.filter((one) => one.status === "accepted"),
  name: () => state.clusters.filter((one) => one.status !== "new" && one.status !== "group" && !isNamed(one)),
};

// A decision: sent with the step that this page has seen; what comes back is how things stand.
async function decide(kind, data = {}) {
  if (busy) return false;
  busy = true;
  document.body.classList.add("busy");
  say("");
  try {
    const body = JSON.stringify({ step: state.step, data });
    const answer = await fetch(`/${kind}`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (!answer.ok) {
      const text = await answer.text();
      state = await ask("/state.json");
      throw new Error(text);
    }
    state = await answer.json();
    say(state.said || "");
    return true;
  } catch (error) {
    say(error.message, true);
    return false;
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

// Show cluster n (or the next in the queue) from image `from` on.
async function show(n = here, from = 0) {
  const queue = queueOf[mode]();
  if (n === null || !cluster(n)) n = queue.length ? queue[0].n : null;
  here = n;
  start = from;
  at = 0;
  marked.clear();
  const turn = ++asked;
  let told = null;
  try {
    if (n !== null) told = await ask(`/${mode === "grow" ? "offer" : "cluster"}.json?n=${n}&start=${start}`);
  } catch (error) {
    say(error.message, true);
  }
  if (turn !== asked) return;  // something else is to be shown by now
  view = told;
  draw();
}

function next(step = 1) {
  const queue = queueOf[mode]().map((one) => one.n);
  if (!queue.length) return show(null);
  const i = queue.indexOf(here);
  if (i >= 0) return show(queue[(i + step + queue.length) % queue.length]);
  const later = queue.find((n) => n > (here ?? -1));
  return show(step > 0 && later !== undefined ? later : queue[step > 0 ? 0 : queue.length - 1]);
}

function setMode(to) {
  mode = to;
  const queue = queueOf[mode]().map((one) => one.n);
  return show(queue.includes(here) ? here : queue[0] ?? here);
}

// What can be done, by key. `on` says when.
const isCluster = () => here !== null && cluster(here) && cluster(here).status !== "group";
const images = (isMarked) => view.images.map((one) => one.image).filter((image) => marked.has(image) === isMarked);
const isMoving = () => isCluster() && mode !== "name";
async function then(kind, data, after) {
  if (await decide(kind, data)) await after();
}
const ACTIONS = [
  { key: "Enter", text: "accept", on: () => isCluster() && mode === "look" && !marked.size, go: () => then("accept", { cluster: here }, next) },
  { key: "x", text: "reject", on: () => isCluster() && mode === "look" && !marked.size, go: () => then("reject", { cluster: here }, next) },
  { key: "h", text: "split in two", on: () => isCluster() && mode === "look" && !marked.size, go: () => then("halve", { cluster: here }, show) },
  { key: "d", text: "take the marked out", on: () => isCluster() && mode === "look" && marked.size, go: () => then("take_out", { images: images(true) }, () => show(here, start)) },
  { key: "f", text: "marked become a cluster", on: () => isCluster() && mode === "look" && marked.size, go: () => then("split", { cluster: here, images: images(true) }, () => show(here, start)) },
  { key: "Enter", text: "add all but the marked", on: () => isCluster() && mode === "grow" && view?.images.length, go: () => then("grow", { cluster: here, images: images(false), refused: images(true) }, () => show(here, 0)) },
  { key: "x", text: "enough: this one is done", on: () => isCluster() && mode === "grow", go: () => then("grown", { cluster: here }, next) },
  { key: "t", text: "add all near ones", on: () => isCluster() && mode === "grow" && view?.near, go: () => then("near", { cluster: here }, () => show(here, 0)) },
  { key: "Enter", text: "name it", on: () => mode === "name" && here !== null, go: () => (document.activeElement === $("name") ? $("naming").requestSubmit() : $("name").focus()) },
  { key: "Escape", text: "leave the field", on: () => document.activeElement === $("name"), go: () => $("grid").focus() },
  { key: "n", text: "next", on: () => state.clusters.length, go: () => next(1) },
  { key: "p", text: "previous", on: () => state.clusters.length, go: () => next(-1) },
  { key: "m", text: "merge into…", on: isMoving, go: () => choose("merge") },
  { key: "u", text: "put under…", on: () => here !== null && mode !== "name", go: () => choose("move") },
  { key: " ", text: "mark", on: () => isMoving() && view?.images.length, go: () => mark(at) },
  { key: "PageDown", text: "", on: () => view && start + view.images.length < view.total && mode !== "grow", go: () => show(here, start + view.images.length) },
  { key: "PageUp", text: "", on: () => view && start > 0, go: () => show(here, Math.max(0, start - 50)) },
];
const KEYS = { " ": "Space", Escape: "Esc" };

function mark(i) {
  const one = view.images[i];
  if (!one || mode === "name") return;
  if (!marked.delete(one.image)) marked.add(one.image);
  at = i;
  drawMarks();
}

function choose(what) {
  choosing = what;
  const words = { merge: "Merge into", move: "Put under (empty: the top)" };
  $("choosing").querySelector("span").textContent = words[what];
  const others = state.clusters.filter((one) => one.n !== here && (what === "move" || one.status !== "group"));
  $("others").replaceChildren(...others.map((one) => make("option", { value: `${one.n} ${label(one)}` })));
  $("choosing").hidden = false;
  $("other").value = "";
  $("other").focus();
}
$("choosing").addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = $("other").value.trim();
  const named = state.clusters.find((one) => one.name && one.name === typed);
  const other = typed === "" ? null : named ? named.n : parseInt(typed, 10);
  const mine = here;
  if (choosing === "merge") await then("merge", { cluster: mine, into: other ?? -1 }, () => show(other));
  else await then("move", { cluster: mine, parent: Number.isNaN(other) ? -1 : other }, show);
  endChoosing();
});
function endChoosing() {
  $("choosing").hidden = true;
  choosing = null;
  $("grid").focus();
}

$("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  then("name", { cluster: here, name: $("name").value }, () => next(1));
});

function draw() {
  for (const button of $("modes").children) {
    button.setAttribute("aria-pressed", button.dataset.mode === mode);
    button.querySelector("b").textContent = queueOf[button.dataset.mode]().length;
  }
  const share = (n) => `${(100 * n) / state.images}%`;
  $("progress").children[0].style.width = share(state.sorted);
  $("progress").children[1].style.width = share(state.named);
  $("progress").children[2].textContent = `${state.sorted.toLocaleString("en")} of ${words(state.images, "image")} in clusters, ${state.named.toLocaleString("en")} named`;
  $("work").textContent = `${state.work} · ${state.bundle} · ${state.who}`;
  $("round").textContent = `new round (${state.next_size})`;
  drawTree();
  const one = here === null ? null : cluster(here);
  $("title").textContent = one ? title(one) : "";
  $("facts").textContent = one && view ? facts(one) : "";
  $("grid").className = state.polarity === "bright-field" ? "light" : "";
  $("grid").replaceChildren(...(view ? view.images : []).map((image, i) => {
    const picture = make("img", { src: `/vignette?n=${image.image}`, alt: image.guess, title: `${image.guess} (model)`, draggable: false });
    const figure = make("figure", { onclick: () => mark(i) }, picture);
    figure.setAttribute("role", "option");
    return figure;
  }));
  $("nothing").hidden = Boolean(view && view.images.length);
  $("nothing").textContent = emptyWords();
  $("naming").hidden = !(mode === "name" && one);
  if (mode === "name" && one) {
    $("name").value = one.name;
    const names = [...new Set(state.clusters.map((other) => other.name).filter(Boolean))].sort();
    $("names").replaceChildren(...names.map((value) => make("option", { value })));
    $("guesses").replaceChildren(...(view?.guesses ?? []).map(([name, n]) =>
      make("button", { type: "button", title: "The model's name", textContent: `${name} (${n})`, onclick: () => then("name", { cluster: here, name }, () => next(1)) })));
    $("name").focus();
  } else if (document.activeElement === document.body || document.activeElement === $("name")) {
    $("grid").focus();
  }
  drawMarks();
}

function title(one) {
  const above = [];
  for (let up = one.parent; up !== null; up = cluster(up).parent) above.unshift(label(cluster(up)));
  return [...above, label(one)].join(" › ");
}

function facts(one) {
  if (one.status === "group") return "A group: name it, or put clusters under it.";
  if (mode === "grow") return `${words(one.size, "image")}, ${one.grown} of them grown. Offered: the nearest of ${words(view.total, "image")} in no cluster; ${view.near} lie as near as its own.`;
  const guesses = view.guesses.map(([name, n]) => `${name} ${Math.round((100 * n) / view.total)} %`).join(", ");
  const shown = view.total > view.images.length ? ` (${start + 1}–${start + view.images.length} shown, PageDown for more)` : "";
  return `${words(one.size, "image")}${shown}, the most typical first. The model would say: ${guesses}.`;
}

function emptyWords() {
  if (here !== null && mode === "grow") return "Nothing is left to offer.";
  if (here !== null) return "Nothing is in here itself.";
  if (!state.clusters.length) return "No cluster yet: “new round” looks for them.";
  return { look: "All clusters were looked at. Grow them (2), or look for new ones: “new round”.", grow: "Nothing is left to grow.", name: "All clusters have names. “seston sort export” writes the folders." }[mode];
}

function drawMarks() {
  [...$("grid").children].forEach((figure, i) => {
    const isMarked = marked.has(view.images[i].image);
    figure.classList.toggle("at", i === at && mode !== "name");
    figure.classList.toggle("marked", isMarked);
    figure.setAttribute("aria-selected", isMarked);
  });
  $("keys").replaceChildren(...ACTIONS.filter((one) => one.text && one.on()).map((one) =>
    make("button", { onclick: one.go }, make("kbd", { textContent: KEYS[one.key] ?? one.key }), ` ${one.text}`)));
}

function drawTree() {
  const under = new Map();
  for (const one of state.clusters) under.set(one.parent, [...(under.get(one.parent) ?? []), one]);
  const rows = [];
  const add = (parent, depth) => {
    for (const one of under.get(parent) ?? []) {
      rows.push(row(one, depth));
      add(one.n, depth + 1);
    }
  };
  add(null, 0);
  $("tree").replaceChildren(...rows);
  $("tree").querySelector(".here")?.scrollIntoView({ block: "nearest" });
}

function row(one, depth) {
  const face = one.face === null ? make("span", { className: "fold", textContent: "▾" }) : make("img", { src: `/vignette?n=${one.face}`, alt: "", draggable: false, loading: "lazy" });
  const item = make("li", { draggable: true, title: one.status, className: one.n === here ? "here" : "" }, face,
    make("span", { className: one.name ? "label" : "label unnamed", textContent: label(one) }),
    make("span", { className: "n", textContent: one.size || "" }), make("i", { className: `dot ${one.status}` }));
  item.dataset.n = one.n;
  item.style.marginLeft = `${Math.min(depth, 6)}rem`;
  item.addEventListener("click", () => show(one.n));
  item.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", String(one.n)));
  item.addEventListener("dragover", (event) => { event.preventDefault(); item.classList.add("over"); });
  item.addEventListener("dragleave", () => item.classList.remove("over"));
  item.addEventListener("drop", (event) => {
    event.preventDefault();
    const moved = parseInt(event.dataTransfer.getData("text/plain"), 10);
    if (!Number.isFinite(moved) || moved === one.n) return;
    if (event.shiftKey) then("merge", { cluster: moved, into: one.n }, () => show(one.n));
    else then("move", { cluster: moved, parent: one.n }, show);
  });
  return item;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !state) return;
  const typing = event.target.tagName === "INPUT";
  if (event.key === "Escape") {
    if (choosing) endChoosing();
    else if (typing) $("grid").focus();
    else { marked.clear(); drawMarks(); }
    return;
  }
  if (typing || (event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " "))) return;
  const wide = Math.max(1, getComputedStyle($("grid")).gridTemplateColumns.split(" ").length);
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide }[event.key];
  if (step && view?.images.length) {
    at = Math.min(Math.max(at + step, 0), view.images.length - 1);
    drawMarks();
    $("grid").children[at].scrollIntoView({ block: "nearest" });
  } else if (event.key === "z") undo();
  else if ("123".includes(event.key)) setMode(["look", "grow", "name"][event.key - 1]);
  else {
    const action = ACTIONS.find((one) => one.key === event.key && one.on());
    if (!action) return;
    action.go();
  }
  event.preventDefault();
});

const undo = () => then("undo", {}, () => show(here, 0));
$("undo").addEventListener("click", undo);
$("round").addEventListener("click", () => { say("looking for clusters…"); then("cluster", {}, () => { mode = "look"; return show(null); }); });
$("arrange").addEventListener("click", () => then("arrange", {}, show));
$("top").addEventListener("click", () => here !== null && then("move", { cluster: here, parent: null }, show));
for (const button of $("modes").children) button.addEventListener("click", () => setMode(button.dataset.mode));
ask("/state.json").then((told) => { state = told; return show(null); }).catch((error) => say(error.message, true));
