"use strict";
// How reconstructions emerged: a slider for each card, one for all, filters and orders.
(() => {
  const FRAME_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1200 : 160;
  const cards = [...document.querySelectorAll(".card")];
  const numbers = (text) => text.split(",").map(Number);
  const union = (lists) => [...new Set(lists.flat())].sort((a, b) => a - b);
  const latest = (at, now) => at.reduce((found, each, i) => (each <= now ? i : found), 0);

  // A film is a strip of pictures or lines of text; each knows how to show one of its frames.
  // Strips are decoded when they are first asked for: there may be thousands.
  // A comparison's strips are style values of the card, which its print uses too.
  const strip = (element) => {
    if (!element.dataset.film) return `data:image/png;base64,${element.querySelector("script").textContent}`;
    const value = element.closest(".card").style.getPropertyValue(element.dataset.film);
    return value.trim().replace(/^url\(["']?/, "").replace(/["']?\)$/, "");
  };
  const decoded = (film) => {
    film.image ??= (async () => {
      const image = new Image();
      image.src = strip(film.element);
      await image.decode();
      return image;
    })();
    return film.image;
  };
  const drawPicture = async (film, frame) => {
    film.wanted = frame;
    film.canvas.hidden = frame === film.at.length - 1;
    if (film.canvas.hidden) return;
    const image = await decoded(film);
    if (film.wanted !== frame) return;
    const width = image.naturalWidth / film.at.length;
    film.canvas.width = width;
    film.canvas.height = image.naturalHeight;
    film.canvas.getContext("2d").drawImage(image, -frame * width, 0);
  };
  const token = ([text, , mark]) => {
    if (!mark) return document.createTextNode(text);
    const span = document.createElement("span");
    span.className = `tok ${mark}`;
    if (mark !== "right") {
      const aloud = document.createElement("span");
      aloud.className = "aloud";
      aloud.textContent = `${mark}: `;
      span.append(aloud);
    }
    span.append(text);
    return span;
  };
  const drawLine = (film, frame) => {
    if (film.drawn === frame) return;
    film.drawn = frame;
    film.lines ??= JSON.parse(film.element.querySelector("script").textContent);
    // A line never shrinks, so that what stands below does not dance.
    film.line.style.minHeight = `${film.line.offsetHeight}px`;
    const parts = film.lines.rows[frame].map((place) => film.lines.tokens[place]);
    film.line.replaceChildren(
      ...parts.flatMap((part, i) => (i === 0 || part[1] ? [token(part)] : [" ", token(part)])),
    );
  };
  const filmsOf = (card) =>
    [...card.querySelectorAll(".film[data-at]")].map((element) => {
      const line = element.querySelector(".line");
      return {
        element,
        line,
        at: numbers(element.dataset.at),
        now: JSON.parse(element.dataset.now),
        canvas: element.querySelector("canvas"),
        draw: line ? drawLine : drawPicture,
      };
    });
  const evaluations = (count) => `${count.toLocaleString("en")} evaluation${count === 1 ? "" : "s"}`;
  const said = (value) => {
    if (value === null) return "";
    if (value >= 0.001 && value < 10000) return String(Number(value.toPrecision(2)));
    return value.toExponential(1).replace("-", "−").replace("+", "");
  };

  class Card {
    constructor(element) {
      this.element = element;
      this.films = filmsOf(element);
      this.scrub = element.querySelector(".scrub");
      this.names = element.dataset.names ? JSON.parse(element.dataset.names) : null;
      this.steps = union(this.films.map((film) => film.at));
      if (!this.scrub) return;
      this.scrub.hidden = false;
      [this.input, this.output] = this.scrub.children;
      this.input.max = this.steps.length - 1;
      this.input.value = this.input.max;
      this.input.addEventListener("input", () => this.show(this.steps[this.input.value]));
      this.show(this.steps.at(-1));
    }
    show(now) {
      if (!this.scrub) return;
      const step = latest(this.steps, now);
      this.input.value = step;
      const text = this.names ? this.names[step] : this.told(now);
      this.output.textContent = text;
      this.input.setAttribute("aria-valuetext", text);
      for (const film of this.films) {
        const frame = latest(film.at, now);
        film.draw(film, frame);
        if (this.names) this.caption(film, frame);
      }
    }
    told(now) {
      const each = this.films.map((film) => said(film.now[latest(film.at, now)]));
      const objective = each.filter(Boolean).join(" / ");
      const count = evaluations(Math.min(now, this.steps.at(-1)));
      return objective ? `${count}, objective ${objective}` : count;
    }
    caption(film, frame) {
      if (!film.now[frame]) return;
      const { sign, css, text } = film.now[frame];
      const badge = film.element.querySelector(".badge");
      badge.className = `badge ${css}`;
      badge.firstChild.textContent = sign;
      badge.lastChild.textContent = text;
    }
  }
  const byElement = new Map(cards.map((element) => [element, new Card(element)]));

  const bar = document.querySelector(".bar");
  if (!bar) return;
  bar.hidden = false;
  const [play, all, at] = ["play", "all", "all-at"].map((id) => document.getElementById(id));
  const steps = union([...byElement.values()].map((card) => card.steps));
  const visible = new Set();
  const inWords = (now) =>
    bar.dataset.unit ? `${bar.dataset.unit} ${now + 1} of ${steps.length}` : evaluations(now);
  const showAll = () => {
    const now = steps[all.value];
    const text = inWords(now);
    at.textContent = text;
    all.setAttribute("aria-valuetext", text);
    for (const element of visible) byElement.get(element).show(now);
  };
  let moved = false;
  if (steps.length > 1) {
    all.max = steps.length - 1;
    all.value = all.max;
    at.textContent = inWords(steps.at(-1));
    all.addEventListener("input", () => {
      moved = true;
      showAll();
    });
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) {
          visible.delete(target);
          continue;
        }
        visible.add(target);
        if (moved) byElement.get(target).show(steps[all.value]);
      }
    });
    cards.forEach((card) => watch.observe(card));
  } else {
    play.parentElement.hidden = true;
  }

  let timer = null;
  const playing = (on) => {
    clearInterval(timer);
    timer = null;
    play.setAttribute("aria-pressed", String(on));
    play.replaceChildren(on ? "❚❚ Pause" : "▶ Play");
    if (!on) return;
    moved = true;
    if (all.value === all.max) all.value = 0;
    showAll();
    timer = setInterval(() => {
      all.stepUp();
      showAll();
      if (all.value === all.max) playing(false);
    }, FRAME_MS);
  };
  play.addEventListener("click", () => playing(timer === null));
  all.addEventListener("pointerdown", () => playing(false));

  const grid = document.getElementById("cards");
  const rows = [...grid.querySelectorAll(".row")];
  const inOrder = [...grid.children];
  const filters = [...document.querySelectorAll("[data-filter]")];
  const order = document.getElementById("order");
  const shown = document.getElementById("shown");
  const fits = (card) =>
    filters.every(({ value, dataset: { filter } }) =>
      value === "" || card.dataset[filter].split(filter === "verdict" ? "|" : "\0").includes(value));
  const apply = () => {
    for (const card of cards) card.hidden = !fits(card);
    const left = cards.filter((card) => !card.hidden);
    const named = new Set(left.map((card) => card.dataset.group));
    const inRows = !order || order.value === "group";
    for (const row of rows) row.hidden = !inRows || !named.has(row.dataset.group);
    shown.textContent = `${left.length} of ${cards.length} shown`;
  };
  const number = (card, key) => (card.dataset[key] === "" ? -Infinity : Number(card.dataset[key]));
  const orders = {
    leaked: (a, b) => number(b, "leaked") - number(a, "leaked"),
    client: (a, b) => number(a, "partition") - number(b, "partition"),
    round: (a, b) => number(a, "round") - number(b, "round"),
  };
  order?.addEventListener("change", () => {
    grid.append(...(order.value === "group" ? inOrder : [...cards].sort(orders[order.value])));
    apply();
  });
  filters.forEach((filter) => filter.addEventListener("change", apply));
  apply();
})();
