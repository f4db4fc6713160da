// @ts-check
// What several pages do: swap a part of the page for the server's newest, copy a command.

/**
 * Load an address of this page again and put the newest of these parts in place of the old ones.
 * Pictures are decoded first, so that nothing blinks; what has the focus keeps it.
 * @param {string} address
 * @param {string[]} selectors
 */
export async function refresh(address, selectors) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const selector of selectors) {
    const [old, young] = [document.querySelector(selector), fresh.querySelector(selector)];
    if (!old || !young) continue;
    const part = document.adoptNode(young);
    const pictures = [...part.querySelectorAll("img:not([loading])")];
    await Promise.all(pictures.map((picture) => /** @type {HTMLImageElement} */ (picture).decode().catch(() => {})));
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const scrolled = [...old.querySelectorAll("[data-grid]")].map((box) => [box.scrollLeft, box.scrollTop]);
    old.replaceWith(part);
    part.querySelectorAll("[data-grid]").forEach((box, place) => {
      if (scrolled[place]) [box.scrollLeft, box.scrollTop] = scrolled[place];
    });
    if (focused) findAgain(part, focused)?.focus({ preventScroll: true });
  }
  return true;
}

/**
 * @param {Element} part
 * @param {Element} focused
 * @returns {HTMLElement | undefined}
 */
function findAgain(part, focused) {
  const key = focused.getAttribute("href") ?? focused.textContent;
  return /** @type {HTMLElement[]} */ ([...part.querySelectorAll(focused.tagName.toLowerCase())])
    .find((other) => (other.getAttribute("href") ?? other.textContent) === key);
}

/** Let the copy buttons copy the command beside them. */
export function copying() {
  document.addEventListener("click", async (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("[data-copy]");
    const code = button?.parentElement?.querySelector("[data-command]");
    if (!button || !code) return;
    const words = button.innerHTML;
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      button.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.innerHTML = words; }, 1600);
  });
}
