// @ts-check
// The list of jobs, live. A few jobs are followed at a time: a browser keeps six connections open.

import { show, watch } from "./live.js";
import { refresh } from "./parts.js";

const FOLLOWED = 3;
const followed = new Set();

function follow() {
  // What runs first, then what has waited longest and so runs next: the list begins with the newest.
  const waiting = [...document.querySelectorAll('.job[data-live="yes"]')].reverse();
  const runs = (/** @type {Element} */ row) => !!row.querySelector(".state.running");
  const open = [...waiting.filter(runs), ...waiting.filter((row) => !runs(row))];
  for (const row of open.slice(0, FOLLOWED)) {
    const job = /** @type {HTMLElement} */ (row).dataset.job ?? "";
    if (followed.has(job)) continue;
    followed.add(job);
    watch(job, (progress, ended) => {
      const place = document.querySelector(`.job[data-job="${job}"]`);
      if (place) show(place, progress);
      if (place) thumbs(place, progress.latest);
      if (ended) {
        followed.delete(job);
        void refresh(location.href, ["[data-list]"]).then(follow);
      }
    });
  }
}

/**
 * New dreams take the places of thumbnails, oldest first.
 * @param {Element} place
 * @param {import("./live.js").Latest[]} latest
 */
function thumbs(place, latest) {
  const boxes = [...place.querySelectorAll("[data-thumbs] span")];
  latest.slice(0, boxes.length).forEach((picture, number) => {
    const image = boxes[number].querySelector("img") ?? document.createElement("img");
    if (image.getAttribute("src") === picture.thumbnail) return;
    image.alt = "";
    image.src = picture.thumbnail;
    if (!image.parentElement) boxes[number].append(image);
  });
}

follow();
