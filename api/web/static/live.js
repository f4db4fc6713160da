// @ts-check
// Live progress: `watch` follows a job's events, `show` writes one into its place on the page.

/**
 * @typedef {{position: number, step: number, url: string, thumbnail: string}} Latest
 * @typedef {{job_id: string, kind: string, state: string, stage: string | null, total: number,
 *   done: number, failed: number, cancelled: number, measured: number, completed: number,
 *   rate: number | null, paused: string | null, waits: string | null, seconds_left: number | null,
 *   latest: Latest[]}} Progress
 */

/**
 * Follow a job to its end. A hidden page lets go of the connection and takes it up again later.
 * @param {string} job
 * @param {(progress: Progress, ended: boolean) => void} tell
 */
export function watch(job, tell) {
  /** @type {EventSource | null} */
  let source = null;
  let over = false;

  const stop = () => { source?.close(); source = null; };
  const start = () => {
    if (over || source || document.hidden) return;
    source = new EventSource(`/v1/jobs/${job}/events`);
    source.addEventListener("progress", (event) => tell(JSON.parse(event.data), false));
    source.addEventListener("end", (event) => {
      over = true;
      stop();
      tell(JSON.parse(event.data), true);
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  window.addEventListener("pagehide", stop);
  start();
}

/**
 * Write a job's progress into the part of the page that shows it. Every box keeps its size.
 * @param {Element} place
 * @param {Progress} progress
 */
export function show(place, progress) {
  const part = place.querySelector("[data-progress]");
  if (!part) return;
  const state = /** @type {HTMLElement} */ (part.querySelector("[data-state]"));
  const bar = /** @type {HTMLProgressElement} */ (part.querySelector("progress"));
  const partly = progress.state === "done" && progress.failed > 0;
  state.textContent = partly ? "partly done" : progress.state;
  state.className = `state ${progress.state}${partly ? " partly" : ""}`;
  bar.max = progress.total;
  bar.value = fruitful(progress);
  bar.className = progress.state;
  share(part, progress);
  put(part, "[data-count]", counts(progress));
  put(part, "[data-pace]", pace(progress));
}

/**
 * What failed and what was cancelled, behind what is done.
 * @param {Element} part
 * @param {Progress} progress
 */
function share(part, progress) {
  const done = fruitful(progress);
  part.querySelector(".shares svg")?.setAttribute("viewBox", `0 0 ${Math.max(progress.total, 1)} 1`);
  const rests = { failed: [done, progress.failed], cancelled: [done + progress.failed, progress.cancelled] };
  for (const [name, [from, width]] of Object.entries(rests)) {
    const rect = part.querySelector(`.shares rect.${name}`);
    rect?.setAttribute("x", `${from}`);
    rect?.setAttribute("width", `${width}`);
  }
}

/**
 * What is done, with what is partly done in an open job.
 * @param {Progress} progress
 */
function fruitful(progress) {
  const ended = ["done", "failed", "cancelled"].includes(progress.state);
  return ended ? progress.done : Math.max(progress.done, progress.completed - progress.failed - progress.cancelled);
}

/** @param {Progress} progress */
function counts(progress) {
  const done = Math.floor(fruitful(progress));
  const failed = progress.failed ? `, ${progress.failed.toLocaleString("en")} failed` : "";
  return `${done.toLocaleString("en")} of ${progress.total.toLocaleString("en")}${failed}`;
}

/** @param {Progress} progress */
function pace(progress) {
  if (progress.paused) return `paused: ${progress.paused}`;
  if (progress.state === "queued") return progress.waits ? `waiting: ${progress.waits}` : "waiting for a worker";
  if (progress.state !== "running") return "";
  const words = [progress.stage ?? "running"];
  if (progress.rate) {
    const rate = progress.rate;
    words.push(rate >= 1 ? `${digits(rate)} a second` : `${digits(rate * 60)} a minute`);
  }
  if (progress.seconds_left !== null) words.push(`${duration(progress.seconds_left)} left`);
  return words.join(" · ");
}

/** @param {number} value */
function digits(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(2);
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.round(hours / 24)} days`;
}

/**
 * @param {Element} part
 * @param {string} selector
 * @param {string} text
 */
function put(part, selector, text) {
  const found = part.querySelector(selector);
  if (found && found.textContent !== text) found.textContent = text;
}
