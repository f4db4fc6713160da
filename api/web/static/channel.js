// @ts-check
// A channel's page while its dream is on its way.

import { show, watch } from "./live.js";
import { refresh } from "./parts.js";

const place = /** @type {HTMLElement | null} */ (document.querySelector('.status[data-live="yes"]'));
if (place) {
  watch(place.dataset.job ?? "", (progress, ended) => {
    show(place, progress);
    if (ended) void refresh(location.href, ["[data-live-part]"]);
  });
}
