"use strict";
// Asks once a second, and not while the page is hidden. Words from the instrument become text, never markup.
const EVERY_MS = 1000, PATIENCE_MS = 6000, MOST_ROWS = 10;
const GLYPH = { good: "✓ good", look: "! look", BAD: "✖ BAD", "-": "– –" };
const LETTER = {
  dark: "D", "over-exposed": "O", blurred: "B", dropped: "X", late: "L", duplicate: "2", corrupt: "C", "inference-failed": "F",
};
const PALETTE = ["#f0e442", "#56b4e9", "#e69f00", "#2fc79a", "#ff8f66", "#e58ec0", "#a9b7ff", "#ffffff"];
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
let shown = null, picture = null, loading = null, patienceS = 8, heardMs = performance.now();

function make(space, name, attributes, ...inside) {
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...inside.filter((one) => one !== null).map((one) => (one instanceof Node ? one : String(one))));
  return made;
}
const html = (name, attributes, ...inside) => make(null, name, attributes, ...inside);
const svg = (name, attributes, ...inside) => make(SVG, name, attributes, ...inside);
const say = (id, text) => { $(id).textContent = text; };
const number = (value) => Number(value).toLocaleString("en");
const colour = (label) => PALETTE[[...label].reduce((sum, one) => (31 * sum + one.codePointAt(0)) % 9973, 7) % PALETTE.length];
const isUnsure = (particle) => particle.taxon === "unclassified";
const isTrouble = (outcome) => outcome in LETTER;
const cssOf = (status) => (status === "-" ? "none" : status.toLowerCase());
const mm = (um) => (um / 1000).toFixed(um < 10000 ? 2 : 1);
const utc = (ms) => new Date(ms).toISOString().slice(11, 19);

function niceStep(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [5, 2, 1].find((step) => step * power <= most);
}

function bars(table, rows) {
  const most = Math.max(1, ...rows.map((row) => row[1]));
  table.replaceChildren(...rows.map(([label, n]) => {
    const bar = html("i", isTrouble(label) ? { class: "trouble" } : {});
    bar.style.width = `${(100 * n) / most}%`;
    return html("tr", {}, html("td", { class: "word" }, label), html("td", { class: "share" }, bar), html("td", { class: "n" }, number(n)));
  }));
}

function drawOverlay(frame) {
  const overlay = $("overlay"), width = frame.width_px, height = frame.height_px;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const unit = width / Math.max(1, overlay.getBoundingClientRect().width || 1); // px of the frame for one of the screen
  const drawn = [];
  if ($("show-sized").checked) {
    const named = new Set(frame.particles.map((one) => one.box.join()));
    for (const [x, y, w, h, esd] of frame.regions) {
      if (named.has([x, y, w, h].join())) continue;
      const radius = Math.max(Math.hypot(w, h) / 2, 3 * unit);
      drawn.push(svg("circle", { cx: x + w / 2, cy: y + h / 2, r: radius, class: "sized" }, svg("title", {}, `${mm(esd)} mm`)));
    }
  }
  const taken = []; // by labels: the sure and the large come first, and none lies on another
  const isFree = (a) => taken.every((b) => a.right < b.left || a.left > b.right || a.low < b.top || a.top > b.low);
  const mostLabels = Math.round(width / unit / 30);
  const order = [...frame.particles].sort((a, b) => isUnsure(a) - isUnsure(b) || b.esd_um - a.esd_um);
  for (const one of order) {
    const [x, y, w, h] = one.box, pad = 3 * unit, isSure = !isUnsure(one);
    const box = svg("rect", { x: x - pad, y: y - pad, width: w + 2 * pad, height: h + 2 * pad, class: isSure ? "named" : "unsure" });
    if (isSure) box.style.stroke = colour(one.taxon);
    drawn.push(box);
    if (!$("show-names").checked || taken.length >= mostLabels) continue;
    const words = `${one.taxon} ${mm(one.esd_um)}`, wide = 7.4 * unit * words.length;
    const left = Math.max(0, Math.min(x - pad, width - wide)), base = y > 20 * unit ? y - 7 * unit : y + h + 16 * unit;
    const place = { left, right: left + wide, top: base - 13 * unit, low: base + 3 * unit };
    if (!isFree(place)) continue;
    taken.push(place);
    const text = svg("text", { x: left, y: base, "font-size": 13 * unit, "stroke-width": 3 * unit }, words);
    if (isSure) text.style.fill = colour(one.taxon);
    drawn.push(text);
  }
  const step = niceStep((width * frame.pixel_um) / 1000 / 4), length = (1000 * step) / frame.pixel_um;
  const left = 14 * unit, low = height - 14 * unit;
  drawn.push(svg("line", { x1: left, x2: left + length, y1: low, y2: low, class: "bar" }));
  drawn.push(svg("text", { x: left, y: low - 8 * unit, "font-size": 14 * unit, "stroke-width": 3 * unit, id: "scale" }, `${Number(step.toPrecision(2))} mm`));
  overlay.replaceChildren(...drawn);
}

// What is said of a frame and what is drawn over it change together with its picture.
function takeFrame(frame) {
  const askedMs = performance.now();
  if (frame === null || (shown !== null && shown.key === nameOf(frame)) || (loading !== null && askedMs - loading < PATIENCE_MS)) return;
  if (frame.key === null) {
    say("nothing", `No picture: this frame is ${frame.outcome}.`);
    putPicture(null, frame, askedMs);
    return;
  }
  const next = new Image();
  loading = askedMs;
  next.alt = "The newest frame";
  next.onload = () => { if (loading === askedMs) { loading = null; putPicture(next, frame, askedMs); } };
  next.onerror = () => { if (loading === askedMs) loading = null; };
  next.src = `frame.jpg?key=${encodeURIComponent(frame.key)}${$("whole").checked ? "&whole=1" : ""}`;
}

const nameOf = (frame) => `${frame.frame} ${frame.time_ms} ${frame.key} ${frame.key !== null && $("whole").checked}`;

function putPicture(next, frame, askedMs) {
  if (picture) picture.remove();
  picture = next;
  if (next) $("stack").prepend(next);
  $("nothing").hidden = next !== null;
  shown = { key: nameOf(frame), frame, takenMs: askedMs - 1000 * frame.age_s };
  describe(frame);
  if (next) drawOverlay(frame);
  age();
}

function age() {
  if (shown === null) return;
  const s = (performance.now() - shown.takenMs) / 1000, isOld = s > patienceS;
  $("stack").classList.toggle("old", isOld);
  $("stamp").hidden = !isOld;
  say("stamp", `old: ${number(Math.round(s))} s ago`);
}

function describe(frame) {
  const pressure = frame.pressure_dbar === null ? "no pressure" : `${frame.pressure_dbar.toFixed(1)} dbar`;
  $("frame-facts").replaceChildren(
    html("span", { class: isTrouble(frame.outcome) ? "outcome trouble" : "outcome" }, frame.outcome),
    ` frame ${frame.frame} · ${frame.phase} · ${pressure} · ${utc(frame.time_ms)} UTC${frame.note ? ` · ${frame.note}` : ""}`,
  );
  const n = frame.n_regions, drawn = frame.regions.length;
  say("frame-count", n === null ? "Nobody looked for particles in this frame." :
    `${number(n)} particles${n > drawn ? `, of which the ${drawn} largest are drawn` : ""}; ` +
    `${frame.particles.length ? number(frame.particles.length) : "none"} named` +
    `${frame.unnamed ? `, ${number(frame.unnamed)} large enough and not named` : ""}` +
    `${frame.dirt ? `; ${number(frame.dirt)} left out as dirt` : ""}.`);
  const rows = [...frame.particles].sort((a, b) => b.esd_um - a.esd_um);
  $("particles").hidden = rows.length === 0;
  $("particles").querySelector("tbody").replaceChildren(...rows.slice(0, MOST_ROWS).map((one) => {
    const dot = html("i", { class: "dot" });
    dot.style.borderColor = isUnsure(one) ? "#fff" : colour(one.taxon);
    if (isUnsure(one)) dot.style.borderStyle = "dashed";
    const guess = one.guess === one.taxon ? "" : ` (${one.guess}?)`;
    return html("tr", {}, html("td", { class: "word" }, dot, one.taxon + guess), html("td", { class: "n" }, one.score.toFixed(2)), html("td", { class: "n" }, mm(one.esd_um)));
  }), ...(rows.length > MOST_ROWS ? [html("tr", {}, html("td", { colspan: 3 }, `and ${rows.length - MOST_ROWS} smaller ones`))] : []));
}

function showCulprit(frame) {
  const place = $("culprit");
  place.hidden = frame === null;
  if (frame === null) return;
  place.querySelector("p").replaceChildren(html("span", { class: "outcome trouble" }, frame.outcome),
    ` frame ${frame.frame}, ${number(Math.round(frame.age_s))} s ago${frame.key === null ? "; it has no picture" : ""}`);
  const source = frame.key === null ? "" : `frame.jpg?key=${encodeURIComponent(frame.key)}`;
  const old = place.querySelector("img");
  if ((old ? old.getAttribute("src") : "") === source) return;
  if (old) old.remove();
  if (source) place.append(html("img", { src: source, alt: "The newest frame that was not as it should be" }));
}

function drawTrack(track) {
  const place = $("track").querySelector("svg"), deepest = Math.max(10, ...track.map((one) => one[1]));
  const last = track.length ? Math.max(1, track[track.length - 1][0]) : 1;
  const x = (s) => 44 + (288 * s) / last, y = (dbar) => 10 + (130 * Math.max(0, dbar)) / deepest;
  const span = last >= 7200 ? `${(last / 3600).toFixed(1)} h` : last >= 120 ? `${(last / 60).toFixed(0)} min` : `${last.toFixed(0)} s`;
  place.replaceChildren(
    svg("line", { x1: 44, x2: 332, y1: 10, y2: 10, class: "axis" }), svg("line", { x1: 44, x2: 44, y1: 10, y2: 140, class: "axis" }),
    svg("text", { x: 40, y: 14, "text-anchor": "end" }, "0"), svg("text", { x: 40, y: 142, "text-anchor": "end" }, deepest.toFixed(0)),
    svg("text", { x: 2, y: 78 }, "dbar"), svg("text", { x: 44, y: 160 }, "start"), svg("text", { x: 332, y: 160, "text-anchor": "end" }, span),
    svg("polyline", { class: "curve", points: track.map(([s, dbar]) => `${x(s).toFixed(1)},${y(dbar).toFixed(1)}`).join(" ") }),
    track.length ? "" : svg("text", { x: 188, y: 80, "text-anchor": "middle" }, "no pressure in the log yet"),
  );
}

function drawSpectrum(spectrum, volume) {
  const place = $("spectrum").querySelector("svg"), wide = 300 / spectrum.length;
  const rates = spectrum.map((one) => one[2] || 0), most = Math.max(...rates), least = Math.min(...rates.filter((one) => one > 0));
  const floor = Math.floor(Math.log10(least)) , top = Math.max(floor + 1, Math.ceil(Math.log10(most)));
  const is_any = most > 0, y = (rate) => 140 - (126 * (Math.log10(rate) - floor)) / (top - floor);
  say("spectrum-words", volume ? `Particles a litre by ESD in mm, ${number(Number(volume.toPrecision(3)))} L seen` : "No water was seen yet.");
  place.replaceChildren(...(is_any ? [
    svg("text", { x: 32, y: 18, "text-anchor": "end" }, Number((10 ** top).toPrecision(1))), svg("text", { x: 32, y: 142, "text-anchor": "end" }, Number((10 ** floor).toPrecision(1))),
  ] : []), svg("line", { x1: 36, x2: 336, y1: 140, y2: 140, class: "axis" }), ...spectrum.flatMap(([low, n, rate], i) => [
    rate ? svg("rect", { x: 37 + i * wide, y: y(rate), width: wide - 2, height: Math.max(1, 140 - y(rate)), class: "column" }, svg("title", {}, `from ${low} um: ${number(n)}`)) : "",
    i % 4 === 0 ? svg("text", { x: 36 + i * wide, y: 156 }, Number((low / 1000).toPrecision(2))) : "",
  ]));
}

function showDive(dive) {
  bars($("outcomes").querySelector("tbody"), dive ? dive.outcomes : []);
  bars($("taxa").querySelector("tbody"), dive ? dive.taxa : []);
  if (dive === null || dive.taxa.length === 0) {
    $("taxa").querySelector("tbody").replaceChildren(html("tr", {}, html("td", {}, "Nothing was classified yet.")));
  }
  const recent = dive ? dive.recent : [];
  say("recent-words", recent.length ? `The last ${recent.length} in the log, where they come bloc by bloc` : "No frame is in the log yet.");
  $("recent").replaceChildren(...recent.map(([frame, outcome]) =>
    html("b", { class: isTrouble(outcome) ? "trouble" : outcome, title: `${frame}: ${outcome}` }, LETTER[outcome] || "")));
  $("trouble").replaceChildren(...(dive ? dive.trouble : []).map(([frame, outcome, note]) =>
    html("li", {}, html("time", {}, `frame ${frame}`), `${outcome}${note ? `: ${note}` : ""}`)));
  drawTrack(dive ? dive.track : []);
  $("spectrum").hidden = dive === null;
  if (dive) drawSpectrum(dive.spectrum, dive.volume_l);
}

function show(told) {
  const { frame, dive } = told;
  say("platform", told.platform);
  say("state", told.state === null ? (told.is_fresh ? "replay" : "not at work") : told.state);
  say("pressure", told.is_fresh && frame && frame.pressure_dbar !== null ? `${frame.pressure_dbar.toFixed(1)} dbar` : "");
  const bad = told.checks.filter((one) => one.status === "BAD"), frames = told.checks.find((one) => one.name === "frames");
  $("alarms").replaceChildren(...bad.map((one) => html("li", {}, `${one.name}: ${one.message}`)));
  $("pulse").className = frames.status === "-" ? (told.answers ? "good" : "look") : cssOf(frames.status);
  say("pulse", frames.message);
  $("health").querySelector("dl").replaceChildren(...told.checks.map((one) => html("div", {},
    html("dd", { class: `status ${cssOf(one.status)}` }, GLYPH[one.status]), html("dt", {}, one.name), html("dd", { class: "message" }, one.message))));
  $("said").querySelector("ul").replaceChildren(...told.said.map((one) => html("li", {}, html("time", {}, `${number(one.ago_s)} s ago`), one.text)));
  $("said").hidden = told.said.length === 0;
  patienceS = told.patience_s;
  takeFrame(frame);
  age();
  showCulprit(told.trouble);
  showDive(dive);
  say("place", `${told.folder}${dive ? ` · dive ${String(dive.number).padStart(5, "0")} · bundle ${dive.bundle}` : ""}`);
  document.title = `${bad.length ? "✖ " : ""}${told.state || "seston"} · seston monitor`;
}

function miss() {
  const s = Math.round((performance.now() - heardMs) / 1000);
  $("pulse").className = "bad";
  say("pulse", `the monitor does not answer for ${s} s`);
  say("state", "unknown");
  say("pressure", "");
  $("alarms").replaceChildren(html("li", {}, `Nothing below is new: the monitor does not answer for ${s} s. Is seston monitor at work, and the ssh tunnel open?`));
  age();
}

async function ask() {
  if (document.hidden) return;
  const told = await fetch("state.json", { signal: AbortSignal.timeout(PATIENCE_MS) })
    .then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
  if (told === null) return miss();
  heardMs = performance.now();
  show(told);
}

async function keepAsking() {
  for (;;) {
    await ask().catch((error) => console.error(error));
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

for (const id of ["show-sized", "show-names"]) $(id).addEventListener("change", () => picture && drawOverlay(shown.frame));
$("brighten").addEventListener("change", () => $("stack").classList.toggle("bright", $("brighten").checked));
$("whole").addEventListener("change", () => { $("stack").classList.toggle("whole", $("whole").checked); ask(); });
new ResizeObserver(() => picture && drawOverlay(shown.frame)).observe($("stack"));
keepAsking();
