// Act becomes usable with a value; ranges, the whole page, and how many are ticked.
(() => {
  const all = (selector, within) => (within ? [...within.querySelectorAll(selector)] : []);
  const list = () => document.querySelector("#post");
  let last;

  function update() {
    const post = list();
    if (!post) return;
    const boxes = all("[data-act]", post);
    for (const box of boxes) {
      const value = box.closest("[data-row]").querySelector("[data-value]");
      const ready = !value || value.value.trim() !== "";
      box.disabled = !ready;
      if (!ready) box.checked = false;
    }
    const usable = boxes.filter((box) => !box.disabled);
    const ticked = usable.filter((box) => box.checked).length;
    const selected = post.querySelector("[data-selected]");
    if (selected) selected.textContent = ticked ? selected.dataset.words.replace("0", ticked) : "";
    // Post stands out once there is something to post.
    post.querySelector(".bar [type=submit]")?.classList.toggle("primary", ticked > 0);
    const everything = post.querySelector("[data-all]");
    if (everything) {
      everything.hidden = boxes.length === 0;
      const box = everything.querySelector("input");
      box.disabled = usable.length === 0;
      box.checked = ticked > 0 && ticked === usable.length;
      box.indeterminate = ticked > 0 && ticked < usable.length;
    }
  }

  document.addEventListener("click", (event) => {
    const box = event.target;
    if (!box.matches?.("[data-act]")) return;
    const boxes = all("[data-act]", list());
    const at = boxes.indexOf(box);
    const from = boxes.indexOf(last);
    if (event.shiftKey && from >= 0) {
      for (const other of boxes.slice(Math.min(at, from), Math.max(at, from) + 1)) {
        if (!other.disabled) other.checked = box.checked;
      }
    }
    last = box;
    update();
  });
  document.addEventListener("change", (event) => {
    const changed = event.target;
    if (changed.closest("[data-all]")) {
      for (const box of all("[data-act]", list())) if (!box.disabled) box.checked = changed.checked;
    } else if (changed.matches("select[data-value]")) {
      // A value that was chosen is meant: its row is ticked.
      const box = changed.closest("[data-row]").querySelector("[data-act]");
      box.disabled = changed.value === "";
      box.checked = changed.value !== "";
    }
    update();
  });
  document.addEventListener("input", (event) => {
    const typed = event.target;
    if (!typed.matches("[data-value]")) return;
    const box = typed.closest("[data-row]")?.querySelector("[data-act]");
    if (box && !typed.matches("select")) {
      box.disabled = typed.value.trim() === "";
      box.checked = !box.disabled;
    }
    update();
  });
  document.addEventListener("herald:shown", update);
  update();
})();
