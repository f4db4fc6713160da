// @ts-check
// The form of a new job: pictures by drop, folder or choice, layers by quick picks, the command.

import { commandOf, layersWords } from "./command.js";
import { Drop } from "./drop.js";
import { copying } from "./parts.js";

const form = /** @type {HTMLFormElement} */ (document.querySelector("[data-new]"));
const kind = form.dataset.new ?? "dream";
const usual = JSON.parse(form.dataset.usual || "{}");
const rates = JSON.parse(form.dataset.rates || "{}");
let rated = networkWritten();
const drops = [...form.querySelectorAll("[data-drop]")].map((part) => new Drop(/** @type {HTMLElement} */ (part)));
const boxes = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll('input[name="layers"]')]);

/** The kinds of pictures of which any are dropped. */
function chosen() {
  return drops.filter((drop) => drop.entries.length > 0).map((drop) => drop.name);
}

function networkWritten() {
  return String(new FormData(form).get("network")).trim();
}

/** Propose the learning rate of another network, unless somebody has chosen one. */
function rate() {
  const field = /** @type {HTMLInputElement | null} */ (form.querySelector("#learning_rate"));
  const [before, now] = [rated, networkWritten()].map((network) => rates[network] ?? rates[""]);
  if (field && now && field.value === before) field.value = now;
  rated = networkWritten();
}

function tell() {
  rate();
  const code = form.querySelector("[data-command]");
  if (code) code.textContent = commandOf(kind, new FormData(form), chosen(), usual);
  const words = form.querySelector("[data-chosen]");
  if (words) words.textContent = layersWords(boxes.filter((box) => box.checked));
  widths();
}

/** How many channels the drawing's layers have on the network that is written. */
function widths() {
  const network = networkWritten();
  const name = network.startsWith("random:") ? "random:SEED" : network;
  const options = /** @type {HTMLOptionElement[]} */ ([...form.querySelectorAll("#networks option")]);
  const divisor = Number(options.find((one) => one.value === name)?.dataset.divisor);
  if (!divisor) return; // only its file knows
  for (const width of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-width]"))) {
    width.textContent = String(Number(width.dataset.width) / divisor);
  }
}

/** @param {string} wanted */
function pick(wanted) {
  const numbers = wanted.split(",");
  for (const box of boxes) {
    box.checked = wanted === "all" || box.dataset.kind === wanted || numbers.includes(box.value);
  }
  tell();
}

/** @param {string} text */
function complain(text) {
  const problem = /** @type {HTMLElement} */ (document.querySelector("[data-problem]"));
  problem.textContent = text;
  problem.hidden = !text;
  if (text) problem.scrollIntoView({ block: "center" });
}

/** Send the form by hand: with progress, and with the folder that each picture came from. */
function send() {
  const data = new FormData();
  for (const [name, value] of new FormData(form)) {
    // Pictures come from the drops; a mask and a guide are the form's own.
    if (typeof value === "string" || ((name === "mask" || name === "guide") && value.size)) data.append(name, value);
  }
  for (const drop of drops) for (const { file, path } of drop.entries) data.append(drop.name, file, path);
  const request = new XMLHttpRequest();
  const button = /** @type {HTMLButtonElement} */ (form.querySelector(".submit button"));
  const bar = /** @type {HTMLProgressElement} */ (form.querySelector("[data-sent]"));
  const words = /** @type {HTMLElement} */ (form.querySelector("[data-sending]"));
  const rest = () => { button.disabled = false; bar.hidden = true; words.textContent = ""; };
  request.upload.addEventListener("progress", (event) => {
    bar.value = event.total ? event.loaded / event.total : 0;
    if (event.loaded === event.total) words.textContent = "taking the pictures in";
  });
  request.addEventListener("load", () => {
    if (request.status < 300 && new URL(request.responseURL).pathname.startsWith("/jobs/")) {
      location.assign(request.responseURL);
      return;
    }
    rest();
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    complain(page.querySelector(".problem")?.textContent || `The server answered ${request.status}.`);
  });
  request.addEventListener("error", () => { rest(); complain("The server does not answer. Is `beholder up` still running?"); });
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "text/html"); // so that a refusal is a page, with the sentence
  complain("");
  button.disabled = true;
  bar.hidden = false;
  words.textContent = "sending pictures";
  request.send(data);
}

form.addEventListener("input", tell);
form.addEventListener("pictures", tell);
form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
form.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("[data-pick]");
  if (button) pick(/** @type {HTMLElement} */ (button).dataset.pick ?? "");
});
copying();
tell();
