// The counts at the bottom left, and the icons: a double-click, a tap or Enter opens the list.
(() => {
  const shell = document.querySelector(".shell");
  if (!shell) return;
  const hint = shell.querySelector("[data-hint]");
  let hintTimer;
  for (const opener of shell.querySelectorAll("[data-open]")) {
    let pointer = "";
    opener.addEventListener("pointerdown", (event) => { pointer = event.pointerType; });
    opener.addEventListener("keydown", () => { pointer = ""; });
    opener.addEventListener("click", (event) => {
      const modified = event.ctrlKey || event.metaKey || event.shiftKey;
      if (pointer !== "mouse" || event.detail === 0 || modified || !opener.hasAttribute("href")) return;
      event.preventDefault();
      hint.hidden = false;
      clearTimeout(hintTimer);
      hintTimer = setTimeout(() => { hint.hidden = true; }, 2500);
    });
    opener.addEventListener("dblclick", () => {
      if (opener.hasAttribute("href")) location.assign(opener.href);
    });
  }

  // What the server says, and nothing else. Above 10,000 it does not count.
  const most = 10000;
  const words = (many) =>
    (many > most ? `${most.toLocaleString("en")}+` : many.toLocaleString("en"));
  let title = document.title;
  let waiting = 0;
  const showTitle = () => { document.title = waiting > 0 ? `(${words(waiting)}) ${title}` : title; };
  document.addEventListener("herald:shown", (event) => { title = event.detail.title; showTitle(); });
  document.addEventListener("herald:counts", (event) => {
    const counts = event.detail;
    for (const place of shell.querySelectorAll("[data-count]")) {
      const many = counts[place.dataset.count];
      place.querySelector("strong").textContent = words(many);
      if (many > 0) place.setAttribute("href", place.dataset.list);
      else place.removeAttribute("href");
    }
    waiting = counts.alerts + counts.messages;
    showTitle();
    showLatest(counts);
  });

  // The dashboard's panel follows.
  let shows;
  async function showLatest(counts) {
    const latest = shell.querySelector("[data-latest]");
    const now = JSON.stringify(counts);
    if (!latest || shows === now) return;
    const first = shows === undefined;
    shows = now;
    if (first && counts.alerts + counts.messages === 0) return;
    const answer = await fetch("/latest").catch(() => null);
    if (!answer || !answer.ok) return;
    const text = await answer.text();
    // What was asked for later shows more.
    if (shows !== now) return;
    const page = new DOMParser().parseFromString(text, "text/html");
    const focused = latest.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    latest.replaceChildren(...page.body.childNodes);
    if (focused) latest.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
})();
