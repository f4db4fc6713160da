// @ts-check
// A place to drop pictures on, or to choose them: `Drop.entries` are the files with their paths.

const SHOWN = 48;
const PICTURES = /\.(avif|bmp|gif|jpe?g|png|ppm|tiff?|webp)$/i;

/** @typedef {{file: File, path: string}} Entry */

export class Drop {
  /** @param {HTMLElement} part */
  constructor(part) {
    this.part = part;
    this.name = part.dataset.drop ?? "pictures";
    /** @type {Entry[]} */
    this.entries = [];
    this.passed = 0; // how many of the files given last are no pictures by their names
    for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (part.querySelectorAll('input[type="file"]'))) {
      input.addEventListener("change", () => {
        this.add([...(input.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
        input.value = "";
      });
    }
    part.querySelector("[data-clear]")?.addEventListener("click", () => { this.entries = []; this.passed = 0; this.draw(); });
    for (const name of ["dragenter", "dragover"]) part.addEventListener(name, (event) => this.#hover(event, true));
    part.addEventListener("dragleave", (event) => this.#hover(event, false));
    part.addEventListener("drop", (event) => { this.#hover(event, false); void this.#take(event); });
  }

  /** @param {Entry[]} entries */
  add(entries) {
    const known = new Set(this.entries.map(key));
    const pictures = entries.filter((entry) => PICTURES.test(entry.file.name));
    const fresh = pictures.filter((entry) => !known.has(key(entry)));
    this.passed = entries.filter(({ file }) => !PICTURES.test(file.name) && !file.name.startsWith(".")).length;
    this.entries.push(...fresh.sort((one, other) => one.path.localeCompare(other.path, "en", { numeric: true })));
    this.draw();
  }

  draw() {
    const list = /** @type {HTMLElement} */ (this.part.querySelector("[data-preview]"));
    const words = /** @type {HTMLElement} */ (this.part.querySelector("[data-words]"));
    const count = this.entries.length;
    list.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
    list.replaceChildren(...this.entries.slice(0, SHOWN).map(tile));
    list.hidden = !count;
    /** @type {HTMLElement} */ (this.part.querySelector("[data-clear]")).hidden = !count;
    const chosen = count ? counted(count, "picture") : (words.dataset.empty ?? "");
    words.textContent = this.passed ? `${chosen.replace(/\.$/, "")}. ${counted(this.passed, "other file")} passed over.` : chosen;
    this.part.dispatchEvent(new Event("pictures", { bubbles: true }));
  }

  /**
   * @param {Event} event
   * @param {boolean} over
   */
  #hover(event, over) {
    event.preventDefault();
    this.part.classList.toggle("over", over);
  }

  /** @param {DragEvent} event */
  async #take(event) {
    const items = [...(event.dataTransfer?.items ?? [])];
    const found = items.map((item) => item.webkitGetAsEntry?.() ?? null);
    const files = [...(event.dataTransfer?.files ?? [])]; // gone after the first await
    if (found.some(Boolean)) {
      const walked = await Promise.all(found.map((entry) => (entry ? walk(entry) : [])));
      this.add(walked.flat());
    } else {
      this.add(files.map((file) => ({ file, path: file.name })));
    }
  }
}

/**
 * @param {number} count
 * @param {string} noun
 */
function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** @param {Entry} entry */
function key({ file, path }) {
  return `${path} ${file.size} ${file.lastModified}`;
}

/** @param {Entry} entry */
function tile({ file, path }) {
  const item = document.createElement("li");
  const image = document.createElement("img");
  image.alt = path;
  image.src = URL.createObjectURL(file);
  item.append(image);
  return item;
}

/**
 * The files of a dropped entry, with those of its folders.
 * @param {FileSystemEntry} entry
 * @returns {Promise<Entry[]>}
 */
async function walk(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [{ file, path }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {Entry[]} */
  const found = [];
  for (;;) { // a reader hands out a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const child of some) if (!child.name.startsWith(".")) found.push(...await walk(child));
  }
}
