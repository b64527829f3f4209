// Single keys: j k o x a r / ? Enter. The sheet that `?` shows can turn them off (WCAG 2.1.4).
(() => {
  const sheet = document.querySelector("[data-keys]");
  if (!sheet) return;
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const setting = "herald-keys";
  const stored = (() => { try { return localStorage.getItem(setting); } catch { return null; } })();
  const toggle = sheet.querySelector("[data-keys-on]");
  toggle.checked = stored !== "off";
  toggle.addEventListener("change", () => {
    try { localStorage.setItem(setting, toggle.checked ? "on" : "off"); } catch { /* it holds for this page */ }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-show-keys]")) sheet.showModal(); });

  let at = -1;
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) at = rows().indexOf(row);
  });
  const current = () => rows()[Math.max(at, 0)];
  function go(to) {
    const row = rows()[to];
    if (!row) return;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    at = to;
    // Who reads in the pane goes on reading there.
    if (document.querySelector("[data-pane] [data-message]")) read(row);
  }
  const read = (row) => document.dispatchEvent(new CustomEvent("herald:read", { detail: row }));
  function reply(row) {
    const field = row.querySelector("[data-value]");
    if (field) field.focus();
    return Boolean(field);
  }
  function tick(row) {
    const box = row.querySelector("[data-act]");
    if (!box) return;
    if (box.disabled) { reply(row); return; }
    box.click();
    row.focus({ preventScroll: true });
  }
  const post = () => document.querySelector("#post")?.requestSubmit(document.querySelector("#post .bar [type=submit]"));
  function enter(row) {
    if (document.querySelector("[data-act]:checked")) post();
    else if (row.querySelector("[form^=open-]")) row.querySelector("[form^=open-]").click();
    else if (!reply(row)) read(row);
  }

  const keys = {
    j: () => go(Math.min(at + 1, rows().length - 1)),
    k: () => go(Math.max(at - 1, 0)),
    o: () => read(current()),
    x: () => tick(current()),
    r: () => reply(current()),
    a: () => document.querySelector("[data-all] input")?.click(),
    Enter: () => enter(current()),
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || sheet.open) return;
    const place = event.target;
    const field = place.closest?.("[data-value]");
    if (field && (event.key === "Escape" || (event.key === "Enter" && field.matches("select")))) {
      event.preventDefault();
      if (event.key === "Enter" && field.value) post();
      else field.closest("[data-row]").focus();
      return;
    }
    const typing = place.matches?.("input:not([type=checkbox]), select, textarea");
    if (typing || !toggle.checked) return;
    if (event.key === "?") sheet.showModal();
    else if (event.key === "/") document.querySelector("[data-search]")?.focus();
    else if (!keys[event.key] || !current()) return;
    else if (event.key === "Enter" && place !== document.body && !place.matches("[data-row], main, .results")) return;
    else keys[event.key]();
    event.preventDefault();
  });

  // After a Post the next row is at hand, and what stood beside the list gives way to it.
  document.addEventListener("herald:shown", (event) => {
    if (!event.detail.posted) { at = -1; return; }
    const left = rows().length;
    at = Math.min(Math.max(at, 0), left - 1);
    if (left > 0) rows()[at].focus({ preventScroll: true });
    else document.querySelector("#main").focus({ preventScroll: true });
  });
  const button = () => { for (const one of document.querySelectorAll("[data-show-keys]")) one.hidden = false; };
  document.addEventListener("herald:shown", button);
  button();
})();
