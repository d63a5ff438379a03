"use strict";
// Search and order of an index.
(() => {
  const list = document.getElementById("runs");
  const entries = [...list.children];
  const [search, kind, order, shown] = ["search", "kind", "order", "shown"].map((id) => document.getElementById(id));
  document.getElementById("search-bar").hidden = false;
  const texts = new Map(entries.map((entry) => [entry, entry.textContent.toLowerCase()]));
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const entry of entries) {
      const fits = words.every((word) => texts.get(entry).includes(word));
      entry.hidden = !fits || (kind.value !== "" && entry.dataset.kind !== kind.value);
    }
    shown.textContent = `${entries.filter((entry) => !entry.hidden).length} of ${entries.length} shown`;
  };
  const orders = {
    started: (a, b) => b.dataset.started.localeCompare(a.dataset.started),
    title: (a, b) => a.dataset.title.localeCompare(b.dataset.title, undefined, { numeric: true }),
    leaked: (a, b) => b.dataset.leaked - a.dataset.leaked,
  };
  order.addEventListener("change", () => list.append(...[...entries].sort(orders[order.value])));
  search.addEventListener("input", apply);
  kind.addEventListener("change", apply);
  apply();
})();
