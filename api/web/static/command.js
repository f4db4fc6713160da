// @ts-check
// The command line that a form stands for. `api/page_words.py` says the same on the server.

/**
 * @param {string} kind
 * @param {FormData} form
 * @param {string[]} chosen the kinds of pictures of which any were chosen
 * @param {Record<string, string>} usual what the recipe sets, as the form writes it
 */
export function commandOf(kind, form, chosen, usual = {}) {
  const words = ["beholder", ...(kind === "study" ? study(form, chosen) : dream(form, chosen.length > 0, usual))];
  words.push("--network", text(form, "network") || "vgg19");
  const size = text(form, "size");
  if (size && size !== (usual.size || "224")) words.push("--size", size);
  // The built-in network was trained on raw pixels, whatever the recipe.
  const normalised = usual.normalize === "yes" && text(form, "network") !== "specimens";
  const asked = text(form, "normalize");
  const wanted = asked ? asked === "yes" : normalised;
  if (wanted !== normalised) words.push(normalised ? "--raw" : "--normalize");
  if (form.get("pre_relu")) words.push("--pre-relu");
  if (text(form, "name")) words.push("--name", text(form, "name"));
  const priority = text(form, "priority");
  if (priority && priority !== "normal") words.push("--priority", priority);
  return words.map(quoted).join(" ");
}

// Fields that the article's dream has not, with what it has in their place.
const CONTROLS = {
  measure: "norm", octaves: "1", octave_scale: "1.4", jitter: "0", gradient: "plain", smoothing: "0",
  optimiser: "ascent", schedule: "constant", parameters: "pixels", transforms: "none", blend: "0",
};

/**
 * @param {FormData} form
 * @param {boolean} pictures
 * @param {Record<string, string>} usual
 */
function dream(form, pictures, usual) {
  const words = ["submit"];
  const recipe = text(form, "recipe") || "article";
  if (recipe !== "article") words.push("--recipe", recipe);
  // A recipe's own noise is for where there are no pictures.
  const noise = Number(text(form, "noise") || (!pictures && usual.noise));
  if (pictures || !noise) words.push("--dir", "DIR");
  if (noise) words.push("--noise", String(noise));
  if (noise || Number(text(form, "seed"))) words.push("--seed", text(form, "seed") || "0");
  const layers = form.getAll("layers").map(Number);
  const objective = text(form, "objective");
  if (objective) words.push("--objective", objective);
  else words.push("--layer", layers.length === 37 ? "all" : runs(layers) || "LAYERS");
  const channels = text(form, "channels").replace(/\s+/g, "");
  if (channels) words.push("--channel", channels);
  for (const [name, standard] of Object.entries({ steps: "30", learning_rate: "0.01" })) {
    const value = text(form, name) || usual[name] || standard;
    if (recipe === "article" || value !== usual[name]) words.push(option(name), value);
  }
  for (const [name, standard] of Object.entries(CONTROLS)) {
    const value = text(form, name);
    if (value && value !== (usual[name] ?? standard)) words.push(option(name), value);
    if (name === "transforms") {
      for (const file of ["mask", "guide"]) {
        const given = form.get(file);
        if ((given instanceof File && given.size) || (file === "guide" && recipe === "guide")) words.push(option(file), file.toUpperCase());
      }
      if (form.get("keep_colour")) words.push("--keep-colour");
    }
  }
  const kept = text(form, "snapshots").split(/[\s,]+/).filter(Boolean);
  if (kept.length) words.push("--snapshots", kept.join(","));
  const zoom = text(form, "zoom");
  if (zoom) words.push("--zoom", zoom, "--frames", text(form, "frames") || "1");
  if (text(form, "carry")) words.push("--carry", text(form, "carry"));
  const precision = text(form, "precision");
  if (precision && precision !== "auto") words.push("--precision", precision);
  return words;
}

/**
 * @param {FormData} form
 * @param {string[]} chosen
 */
function study(form, chosen) {
  const words = ["study", "--dir", "TARGETS"];
  const siblings = chosen.includes("siblings");
  if (siblings) words.push("--sibling", "SIBLINGS");
  if (!siblings || chosen.includes("controls")) words.push("--control", "CONTROLS");
  const standard = {
    recipe: "article", target: "vote", top: "10", min_layer: "20", most_common: "5", threshold: "4",
    alpha: "0.5", dose: "", draws: "199", seed: "0", method: "iterative", mode: "zero",
  };
  for (const [name, usual] of Object.entries(standard)) {
    const value = text(form, name);
    if (value && value !== usual) words.push(option(name), value);
  }
  if (form.get("matrix")) words.push("--matrix");
  return words;
}

/**
 * "0-4,7" of ascending numbers.
 * @param {number[]} numbers
 */
function runs(numbers) {
  /** @type {number[][]} */
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** @param {HTMLInputElement[]} chosen */
export function layersWords(chosen) {
  const names = chosen.map((box) => `${box.value} ${box.dataset.name}`);
  if (!names.length) return "No layer chosen yet.";
  if (names.length <= 8) return names.join(", ");
  return `${names.length} layers, from ${names[0]} to ${names.at(-1)}`;
}

/**
 * @param {FormData} form
 * @param {string} name
 */
function text(form, name) {
  return String(form.get(name) ?? "").trim();
}

/** @param {string} name */
function option(name) {
  return `--${name.replaceAll("_", "-")}`;
}

/** @param {string} word */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
