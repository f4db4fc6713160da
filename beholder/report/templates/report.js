/* Hands out the data that the page carries; everything else works without. */
for (const button of document.querySelectorAll("[data-save]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const text = document.getElementById("evidence").textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = button.dataset.save;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
