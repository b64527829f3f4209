// Wide screens read beside the list; others, and a click with a modifier, on a page of its own.
(() => {
  const wide = matchMedia("(min-width: 70rem)");
  let last = 0;
  async function read(row) {
    const pane = document.querySelector("[data-pane]");
    const link = row && row.querySelector("[data-read]");
    if (!pane || !link || !wide.matches) return false;
    last += 1;
    const mine = last;
    for (const other of document.querySelectorAll("[data-row][aria-current]")) other.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    const answer = await fetch(`${link.getAttribute("href")}/pane`).catch(() => null);
    if (mine !== last) return true;
    if (!answer || !answer.ok) { location.assign(link.href); return true; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    pane.replaceChildren(...page.body.childNodes);
    pane.scrollTop = 0;
    row.classList.remove("new");
    return true;
  }
  document.addEventListener("herald:read", (event) => {
    const row = event.detail;
    if (!wide.matches || !document.querySelector("[data-pane]")) row.querySelector("[data-read]").click();
    else read(row);
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (!row || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const control = event.target.closest("a, button, label, input, select, textarea");
    if (control && !control.matches("[data-read]")) return;
    if (!control && String(getSelection())) return;
    if (!wide.matches || !document.querySelector("[data-pane]")) return;
    event.preventDefault();
    row.focus({ preventScroll: true });
    read(row);
  });
  // An action opens in another tab; its row stays until the list is shown again.
  document.addEventListener("submit", (event) => {
    const opens = event.target.dataset.opens;
    if (opens === undefined) return;
    const id = opens || event.target.id.replace("open-", "");
    document.querySelector(`#subject-${CSS.escape(id)}`)?.closest("[data-row]")?.classList.add("opened");
  });
})();
