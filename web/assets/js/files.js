// A file of one's own goes into the field that its chooser belongs to; nothing is sent by that.
for (const place of document.querySelectorAll("[data-file]")) {
  const field = document.getElementById(place.dataset.file);
  const chooser = place.querySelector("input");
  place.hidden = false;
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (file) field.value = await file.text();
    chooser.value = "";
    field.focus();
  });
}
