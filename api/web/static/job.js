// @ts-check
// A job's own page, live: progress as it comes, pictures when there are new ones, all at the end.

import { show, watch } from "./live.js";
import { copying, refresh } from "./parts.js";

const EVERY_MS = 1500; // how often new results are put in at most

/** This page's address, with the dream that is looked at, so that it stays. */
function here() {
  const address = new URL(location.href);
  const look = /** @type {HTMLElement | null} */ (document.querySelector("[data-look]"))?.dataset.look;
  if (look && !address.searchParams.has("item")) address.searchParams.set("item", look);
  return address.href;
}

/**
 * @param {() => void} [after] called when a part of the page was put in anew
 */
export function followJob(after = () => {}) {
  copying();
  const place = /** @type {HTMLElement | null} */ (document.querySelector('.status[data-live="yes"]'));
  if (!place) return;
  const job = place.dataset.job ?? "";
  let seen = "";
  let wait = 0;

  const parts = async () => {
    wait = 0;
    if (await refresh(here(), ["[data-live-part]"])) after();
  };
  const follow = () => watch(job, async (progress, ended) => {
    const now = document.querySelector(`.status[data-job="${job}"]`);
    if (now) show(now, progress);
    const mark = `${progress.done} ${progress.measured} ${progress.stage}`;
    if (ended) {
      clearTimeout(wait);
      if (await refresh(here(), [".status", "[data-live-part]", "#provenance"])) after();
      if (document.querySelector(`.status[data-job="${job}"][data-live="yes"]`)) follow(); // retried
    } else if (seen && mark !== seen && !wait) {
      wait = window.setTimeout(parts, EVERY_MS);
    }
    seen = mark;
  });
  follow();
}
