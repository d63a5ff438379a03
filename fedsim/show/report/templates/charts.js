"use strict";
// Charts are drawn before the page counts as loaded, so that a plain screenshot or print has them.
(() => {
  const figures = JSON.parse(document.getElementById("charts").textContent);
  const charts = [...document.querySelectorAll(".chart")];
  const nonce = document.currentScript.nonce;
  let library = null;

  const unpack = async () => {
    const packed = atob(document.getElementById("plotly").textContent);
    const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.nonce = nonce;
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  };
  const colours = (light) => {
    const style = getComputedStyle(document.documentElement);
    const of = (name, printed) => (light ? printed : style.getPropertyValue(name).trim());
    return { ink: of("--ink", "#000"), faint: of("--faint", "#444"), line: of("--line", "#bbb"), paper: of("--paper", "#fff") };
  };
  const axes = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  const dressed = (layout, light = false) => {
    const { ink, line, paper } = colours(light);
    const whole = {
      font: { family: "system-ui, sans-serif", size: 13, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 64, r: 16, t: layout.annotations ? 40 : 16, b: layout.showlegend === false ? 50 : 100 },
      legend: { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom" },
      hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink } },
      ...layout,
    };
    for (const key of new Set(["xaxis", "yaxis", ...axes(layout)])) {
      whole[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...layout[key] };
    }
    for (const note of whole.annotations ?? []) note.font = { ...note.font, color: ink };
    return structuredClone(whole);
  };
  // Without a pointer that hovers, Plotly would show its tool bar all the time.
  const displayModeBar = matchMedia("(hover: hover)").matches ? "hover" : false;
  const config = { displaylogo: false, displayModeBar, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

  const draw = async (element) => {
    const { data, layout } = figures[element.dataset.chart];
    library ??= unpack();
    const Plotly = await library;
    await Plotly.newPlot(element, data, dressed(layout), config);
    element.dataset.drawn = "yes";
  };
  const redress = (light) => {
    for (const element of charts) {
      if (element.dataset.drawn) window.Plotly.relayout(element, dressed(figures[element.dataset.chart].layout, light));
    }
  };
  document.addEventListener("colours", () => redress(false));
  addEventListener("beforeprint", () => redress(true));
  addEventListener("afterprint", () => redress(false));

  // A frame whose document is still open holds the page's load event back.
  const holding = document.createElement("iframe");
  holding.hidden = true;
  document.body.append(holding);
  holding.contentDocument.open();
  Promise.allSettled(charts.map(draw)).then(() => {
    holding.contentDocument.close();
    holding.remove();
  });
})();
