// A file of one's own goes into the field that its chooser belongs to; nothing is sent by that.
for (const place of document.querySelectorAll("[data-file]")) {
  const field = document.getElementById(place.dataset.file);
  const chooser = place.querySelector("input");
  const problem = place.querySelector(".problem");
  place.hidden = false;
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (!file) return;
    problem.textContent = "";
    const bytes = await file.arrayBuffer().catch(() => null);
    chooser.value = "";
    if (!bytes) { problem.textContent = problem.dataset.notRead; return; }
    try {
      field.value = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      problem.textContent = problem.dataset.notText;
      return;
    }
    field.focus();
  });
}
