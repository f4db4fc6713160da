/* Hands out the data that the page carries; everything else works without. */
for (const button of document.querySelectorAll("[data-save]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const data = document.getElementById(button.dataset.from);
    const text = data.textContent; // of an archive in base64
    const content = data.type === "application/json" ? text : Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: data.type }));
    link.download = button.dataset.save;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
