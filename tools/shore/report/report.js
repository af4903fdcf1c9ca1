// Draws the plots that are on the page and lets the reader choose taxa, phases and sources.
// No number is computed here: figures come ready from the program.
"use strict";
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const narrow = window.matchMedia("(max-width: 600px)").matches;
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset" };
  const drawn = new Set();
  let following = false;

  const chosen = (name) =>
    new Set([...document.querySelectorAll(`[data-toggle="${name}"] input:checked`)].map((box) => box.value));

  // What a trace says of itself decides whether it is shown; traces that say nothing always are.
  const visibility = (figure) => {
    const sources = chosen("source");
    const phases = chosen("phase");
    return figure.data.map(({ meta }) => !meta || ((!meta.source || sources.has(meta.source)) && (!meta.phase || phases.has(meta.phase))));
  };

  // A plot as it is to be drawn now: with the bins chosen, made ready once for this screen.
  const ready = new Set();
  const figureOf = (place) => {
    const bins = document.querySelector(".bins input:checked")?.value ?? "";
    const figure = plots[place.dataset.figure + bins] ?? plots[place.dataset.figure];
    const { data, layout } = figure;
    if (!ready.has(figure)) {
      ready.add(figure);
      layout.dragmode = touch ? false : "zoom"; // a finger scrolls the page, a tap reads a value
      if (place.dataset.pressure !== undefined) layout.xaxis.fixedrange = true;
      if (place.dataset.legend !== undefined) {
        layout.showlegend = true;
        layout.legend = { orientation: "h", yanchor: "bottom", y: 1.02, x: 0, font: { size: 11 }, itemwidth: 30 };
        const rows = Math.ceil(data.length / Math.max(1, Math.floor(place.clientWidth / 130)));
        layout.margin.t += 19 * rows;
        layout.height += place.dataset.legend === "grow" ? 19 * rows : 0;
      }
    }
    if (place.closest(".panel")) {
      const shown = visibility(figure);
      data.forEach((trace, i) => { trace.visible = shown[i]; });
    }
    return figure;
  };

  // Plotly is most of the page, and to run it most of the wait: it stands there as text until it is needed.
  const wake = () => {
    const script = document.createElement("script");
    script.text = document.getElementById("plotly").textContent;
    document.head.append(script);
  };

  const draw = (place) => {
    const isNew = !drawn.has(place);
    if (!window.Plotly) wake();
    if (isNew) place.replaceChildren();
    drawn.add(place);
    const { data, layout } = figureOf(place);
    Plotly.react(place, data, layout, config);
    if (isNew && place.dataset.pressure !== undefined) place.on("plotly_relayout", (change) => follow(place, change));
  };

  // Zooming one pressure axis zooms all of them.
  const follow = (from, change) => {
    const top = change["yaxis.range[0]"];
    if (following || (top === undefined && !change["yaxis.autorange"] && !change["yaxis.range"])) return;
    const range = [...from.layout.yaxis.range];
    following = true;
    const others = [...drawn].filter((place) => place !== from && place.dataset.pressure !== undefined);
    Promise.all(others.map((place) => Plotly.relayout(place, { "yaxis.range": range }))).finally(() => { following = false; });
  };

  const showPanel = (name, shown) => {
    const panel = document.querySelector(`[data-panel="${name}"]`);
    panel.hidden = !shown;
    if (shown) panel.querySelectorAll("[data-figure]").forEach((place) => {
      draw(place);
    });
  };

  document.querySelectorAll(".chips input").forEach((box) =>
    box.addEventListener("change", () => showPanel(box.value, box.checked)));
  document.querySelectorAll(".chips button").forEach((button) =>
    button.addEventListener("click", () => document.querySelectorAll(".chips input").forEach((box) => {
      const want = button.dataset.choose === "all" || (button.dataset.choose === "first" && box.dataset.first !== undefined);
      if (box.checked !== want) { box.checked = want; showPanel(box.value, want); }
    })));
  document.querySelectorAll(".toggles input").forEach((box) =>
    box.addEventListener("change", () => {
      drawn.forEach((place) => {
        if (place.closest(".panel:not([hidden])")) draw(place);
      });
      const parked = chosen("phase").has("park");
      document.querySelectorAll("[data-park]").forEach((place) => { place.hidden = !parked; });
    }));

  document.querySelectorAll(".bins input").forEach((choice) =>
    choice.addEventListener("change", () => drawn.forEach((place) => {
      if (!place.closest("[hidden]") && plots[place.dataset.figure + "@recorded"]) draw(place);
    })));

  // A phone opens with fewer panels.
  if (narrow) [...document.querySelectorAll(".chips input:checked")].slice(5).forEach((box) => {
    box.checked = false;
    document.querySelector(`[data-panel="${box.value}"]`).hidden = true;
  });
  // One plot a turn, those in view first and the others when there is nothing better to do, so that the page can
  // be read and scrolled while it is drawn; each has its room from the beginning.
  const waiting = new Set([...document.querySelectorAll("[data-figure]")].filter((place) => !place.closest("[hidden]")));
  const heights = [...waiting].map((place) => [place, figureOf(place).layout.height]);
  heights.forEach(([place, height]) => { place.style.minHeight = `${height}px`; });
  const inView = new Set();
  const watch = new IntersectionObserver((seen) => seen.forEach(({ target, isIntersecting }) =>
    inView[isIntersecting ? "add" : "delete"](target)), { rootMargin: "300px" });
  waiting.forEach((place) => watch.observe(place));
  const idle = window.requestIdleCallback ? (work) => window.requestIdleCallback(work, { timeout: 500 }) : (work) => setTimeout(work, 20);
  const mark = (name) => { if (!performance.getEntriesByName(name).length) performance.mark(name); };
  const drawOnce = (place) => {
    waiting.delete(place);
    if (!drawn.has(place) && !place.closest("[hidden]")) draw(place);
  };
  const next = () => {
    const place = [...waiting].find((one) => inView.has(one)) ?? [...waiting][0];
    if (!place) { watch.disconnect(); mark("plots-drawn"); document.documentElement.dataset.plots = "drawn"; return; }
    drawOnce(place);
    mark("first-plot");
    mark("first-live-plot");
    (inView.size && [...waiting].some((one) => inView.has(one)) ? setTimeout : idle)(next);
  };
  window.addEventListener("beforeprint", () => waiting.forEach(drawOnce));
  window.addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
    if (document.querySelector("[data-figure] > svg")) mark("first-plot"); // it came as a picture
    next();
  })));
})();
