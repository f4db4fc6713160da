// @ts-check
// The dream page: the slider over the picture, the filmstrip that plays, choosing from the grid.

import { followJob } from "./job.js";
import { refresh } from "./parts.js";

const FRAME_MS = 450;
let playing = 0;

/** @param {Element | null} part */
function cut(part) {
  const slider = /** @type {HTMLInputElement | null} */ (part?.querySelector("[data-cut]"));
  const figure = /** @type {HTMLElement | null | undefined} */ (slider?.closest("[data-compare]"));
  if (slider && figure) figure.style.setProperty("--cut", `${slider.value}%`);
}

/** @param {HTMLElement} frame */
function showFrame(frame) {
  const part = frame.closest("[data-look]");
  const image = /** @type {HTMLImageElement | null} */ (part?.querySelector("[data-dream]"));
  if (!part || !image) return;
  part.querySelectorAll("[data-frame]").forEach((one) => one.removeAttribute("aria-current"));
  frame.setAttribute("aria-current", "true");
  image.src = frame.dataset.frame ?? "";
  image.closest(".after")?.classList.toggle("cropped", frame.dataset.number === "0" && !!part.querySelector(".before.cropped"));
  const words = part.querySelector("[data-step]");
  if (words) words.textContent = frame.dataset.number === "0" ? "start" : `step ${frame.dataset.number}`;
}

function stop() {
  clearTimeout(playing);
  playing = 0;
  document.querySelector("[data-play]")?.setAttribute("aria-pressed", "false");
}

/** @param {Element} part */
async function play(part) {
  const frames = /** @type {HTMLElement[]} */ ([...part.querySelectorAll("[data-frame]")]);
  part.querySelector("[data-play]")?.setAttribute("aria-pressed", "true");
  const slider = /** @type {HTMLInputElement | null} */ (part.querySelector("[data-cut]"));
  if (slider && Number(slider.value) > 20) {
    slider.value = "0";
    cut(part);
  }
  playing = -1;
  // Decoded first, so that the film runs without blinking.
  await Promise.all(frames.map((frame) => {
    const image = new Image();
    image.src = frame.dataset.frame ?? "";
    return image.decode().catch(() => {});
  }));
  let next = 0;
  const turn = () => {
    showFrame(frames[next]);
    next += 1;
    playing = next < frames.length ? window.setTimeout(turn, FRAME_MS) : window.setTimeout(stop, FRAME_MS);
  };
  if (playing) turn();
}

/** @param {HTMLAnchorElement} link */
async function look(link) {
  stop();
  const cutAt = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-cut]"))?.value;
  history.replaceState(null, "", link.href.split("#")[0]);
  document.querySelectorAll("[data-item]").forEach((cell) => cell.removeAttribute("aria-current"));
  link.setAttribute("aria-current", "true");
  if (!(await refresh(location.href, ["[data-look]"]))) return;
  const slider = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-cut]"));
  if (slider && cutAt) slider.value = cutAt;
  cut(document.querySelector("[data-look]"));
  const part = document.querySelector("[data-look]");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (part && part.getBoundingClientRect().top < 0) {
    part.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
  }
}

document.addEventListener("input", (event) => {
  const slider = /** @type {HTMLElement} */ (event.target);
  if (slider.matches("[data-cut]")) cut(slider.closest("[data-look]"));
});

document.addEventListener("click", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey);
  const frame = /** @type {HTMLElement | null} */ (target.closest("[data-frame]"));
  const cell = /** @type {HTMLAnchorElement | null} */ (target.closest("[data-item]"));
  const button = target.closest("[data-play]");
  if (frame && plain) {
    event.preventDefault();
    stop();
    showFrame(frame);
  } else if (cell && plain) {
    event.preventDefault();
    void look(cell);
  } else if (button) {
    const part = button.closest("[data-look]");
    if (playing) stop();
    else if (part) void play(part);
  }
});

followJob(() => cut(document.querySelector("[data-look]")));
