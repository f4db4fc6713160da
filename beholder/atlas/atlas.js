
"use strict";
const root = document.documentElement;
const view = document.querySelector("main");
const world = document.querySelector("ol");
const find = document.querySelector("input");
const MOST = 6; // times as large as the pictures are

root.classList.add("zooms");
document.querySelector("form").hidden = false;
world.style.gridTemplateColumns = "repeat(" + root.dataset.columns + ", 224px)";

let scale = 1, left = 0, top_ = 0;

function show() {
  world.style.transform = "translate(" + left + "px," + top_ + "px) scale(" + scale + ")";
}

/** The scale at which all of it is in view. */
function whole() {
  return Math.min(view.clientWidth / world.offsetWidth, view.clientHeight / world.offsetHeight, 1);
}

function all() {
  scale = whole();
  left = (view.clientWidth - world.offsetWidth * scale) / 2;
  top_ = (view.clientHeight - world.offsetHeight * scale) / 2;
  show();
}

/** Zoom by a factor; what is at (x, y) of the view stays there. */
function zoom(factor, x, y) {
  const next = Math.min(MOST, Math.max(whole() / 2, scale * factor));
  left = x - (x - left) * next / scale;
  top_ = y - (y - top_) * next / scale;
  scale = next;
  show();
}

function zoomMiddle(factor) { zoom(factor, view.clientWidth / 2, view.clientHeight / 2); }

function move(across, down) { left += across; top_ += down; show(); }

/** Bring a tile to the middle, large enough to be looked at. */
function visit(tile) {
  scale = Math.max(scale, Math.min(2, view.clientHeight / tile.offsetHeight * 0.8));
  left = view.clientWidth / 2 - (tile.offsetLeft + tile.offsetWidth / 2) * scale;
  top_ = view.clientHeight / 2 - (tile.offsetTop + tile.offsetHeight / 2) * scale;
  show();
}

function visitHash() {
  view.scrollTo(0, 0); // the browser scrolls to what an address names, by itself
  const tile = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  if (tile) visit(tile);
}

view.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = view.getBoundingClientRect();
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(-event.deltaY * lines / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

const held = new Map(); // pointers, by id
let moved = 0, apart = 0;

function spread() {
  const [one, other] = [...held.values()];
  return Math.hypot(one.x - other.x, one.y - other.y);
}

view.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  moved = held.size === 1 ? 0 : moved;
  apart = held.size === 2 ? spread() : 0;
});

addEventListener("pointermove", (event) => {
  const last = held.get(event.pointerId);
  if (!last) return;
  const across = event.clientX - last.x, down = event.clientY - last.y;
  moved += Math.abs(across) + Math.abs(down);
  held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (held.size === 2 && apart) {
    const now = spread(), box = view.getBoundingClientRect();
    const [one, other] = [...held.values()];
    zoom(now / apart, (one.x + other.x) / 2 - box.left, (one.y + other.y) / 2 - box.top);
    apart = now;
  } else {
    move(across, down);
  }
  view.classList.toggle("held", moved > 4);
});

for (const end of ["pointerup", "pointercancel"]) {
  addEventListener(end, (event) => {
    held.delete(event.pointerId);
    view.classList.remove("held");
  });
}

view.addEventListener("click", (event) => {
  if (moved > 4) event.preventDefault(); // it was dragged, not chosen
  else if (event.target.closest('a[href="' + location.hash + '"]')) visitHash();
}, true);

const KEYS = {
  "+": () => zoomMiddle(1.5), "=": () => zoomMiddle(1.5), "-": () => zoomMiddle(1 / 1.5), "0": all,
  ArrowLeft: () => move(80, 0), ArrowRight: () => move(-80, 0),
  ArrowUp: () => move(0, 80), ArrowDown: () => move(0, -80),
};
addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.target === find || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});

// Who walks from link to link sees where they are.
world.addEventListener("focusin", (event) => {
  view.scrollTo(0, 0);
  const tile = event.target.closest("li");
  if (tile && event.target.matches(":focus-visible")) visit(tile);
});

for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => zoomMiddle(Number(button.dataset.zoom)));
}
document.querySelector("[data-all]").addEventListener("click", all);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
find.addEventListener("change", () => {
  if (find.value && document.getElementById("c" + find.value)) location.hash = "c" + find.value;
});
addEventListener("hashchange", visitHash);
addEventListener("resize", () => { if (!location.hash) all(); });

all();
visitHash();
