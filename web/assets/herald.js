// Makes the pages quicker; each of them works without. No library, no global names.
"use strict";
(() => {
  const shell = document.querySelector(".shell");
  if (!shell) return;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // A page that came from a Post is not posted again by a reload.
  history.replaceState(null, "", location.href);

  // ---- Counts and icons: a double-click, a tap or Enter opens the list ----
  const hint = one("[data-hint]");
  let hintTimer;
  for (const opener of all("[data-open]")) {
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

  // ---- Counts: what the server says, and nothing else ----
  const title = document.title;
  function showCounts(counts) {
    for (const place of all("[data-count]")) {
      const many = counts[place.dataset.count];
      one("strong", place).textContent = many;
      if (many > 0) place.setAttribute("href", place.dataset.list);
      else place.removeAttribute("href");
    }
    const waiting = counts.alerts + counts.messages;
    document.title = waiting > 0 ? `(${waiting}) ${title}` : title;
    showArrived(counts);
    refreshLatest(counts);
  }

  // A list that is being read does not move: it says that there is more.
  function showArrived(counts) {
    const arrived = one("[data-arrived]");
    if (!arrived) return;
    const many = counts[arrived.dataset.arrived];
    const more = many - Number(arrived.dataset.shown);
    if (more < 0) arrived.dataset.shown = many;
    arrived.hidden = more <= 0;
    if (more > 0) {
      const link = one("a", arrived);
      link.textContent = `${more} new, show`;
      link.href = location.pathname;
    }
    one("[data-pending]").textContent = many;
  }

  // The dashboard's panel follows.
  let panelShows = all("[data-count] strong").map((count) => count.textContent).join(" ");
  async function refreshLatest(counts) {
    const latest = one("[data-latest]");
    const now = `${counts.alerts} ${counts.messages}`;
    if (!latest || panelShows === now) return;
    panelShows = now;
    const answer = await fetch("/latest").catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    latest.replaceChildren(...page.body.childNodes);
  }

  // ---- Notices of alerts ----
  const told = new Set(shell.dataset.known.split(" ").filter(Boolean));
  const notices = one("[data-notices]");
  function showAlert(alert) {
    if (told.has(alert.id)) return;
    told.add(alert.id);
    const notice = one("#notice").content.cloneNode(true);
    const link = one("a", notice);
    link.textContent = alert.subject;
    link.href = `/messages/${alert.id}`;
    one("p span", notice).textContent = `Alert from ${alert.sender}`;
    one("[name=ids]", notice).value = alert.id;
    notices.prepend(notice);
    for (const old of all(".notice", notices).slice(4)) old.remove();
  }
  notices.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" })
      .catch(() => null);
    form.closest(".notice").remove();
  });

  // ---- Live: a stream while the page is seen; otherwise, and where streams fail, a look now and then ----
  const refresh = Number(shell.dataset.refresh) * 1000;
  const offline = one("[data-offline]");
  let stream;
  let failures = 0;
  async function look() {
    const answer = await fetch("/counts", { headers: { accept: "application/json" } }).catch(() => null);
    if (answer && answer.status === 401) return location.reload();
    offline.hidden = Boolean(answer && answer.ok);
    if (!answer || !answer.ok) return undefined;
    const snapshot = await answer.json();
    snapshot.new_alerts.reverse().forEach(showAlert);
    return showCounts(snapshot);
  }
  function connect() {
    if (stream || document.hidden || !window.EventSource) return;
    stream = new EventSource("/live");
    stream.addEventListener("open", () => { failures = 0; offline.hidden = true; });
    stream.addEventListener("counts", (event) => showCounts(JSON.parse(event.data)));
    stream.addEventListener("alert", (event) => showAlert(JSON.parse(event.data)));
    stream.addEventListener("error", () => {
      failures += 1;
      if (failures > 1) look();
      if (stream && stream.readyState === EventSource.CLOSED) {
        disconnect();
        setTimeout(connect, refresh);
      }
    });
  }
  function disconnect() {
    if (stream) stream.close();
    stream = undefined;
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  setInterval(() => { if (!stream || stream.readyState !== EventSource.OPEN) look(); }, refresh);
  connect();

  // ---- Lists: Act becomes usable with a value; select all; how many are ticked ----
  const post = one("#post");
  if (post) {
    const boxes = all("[data-act]", post);
    const everything = one("[data-all]", post);
    const selected = one("[data-selected]", post);
    const update = () => {
      for (const box of boxes) {
        const value = one("[data-value]", box.closest("[data-row]"));
        const ready = !value || value.value.trim() !== "";
        box.disabled = !ready;
        if (!ready) box.checked = false;
      }
      const usable = boxes.filter((box) => !box.disabled);
      const ticked = usable.filter((box) => box.checked).length;
      if (selected) selected.textContent = ticked ? `${ticked} selected` : "";
      if (everything) {
        const box = one("input", everything);
        box.disabled = usable.length === 0;
        box.checked = ticked > 0 && ticked === usable.length;
        box.indeterminate = ticked > 0 && ticked < usable.length;
      }
    };
    if (everything && boxes.length > 1) {
      everything.hidden = false;
      one("input", everything).addEventListener("change", (event) => {
        for (const box of boxes) if (!box.disabled) box.checked = event.target.checked;
        update();
      });
    }
    let last;
    post.addEventListener("click", (event) => {
      const at = boxes.indexOf(event.target);
      if (at < 0) return;
      if (event.shiftKey && last !== undefined) {
        const [from, to] = [Math.min(at, last), Math.max(at, last)];
        for (const box of boxes.slice(from, to + 1)) if (!box.disabled) box.checked = event.target.checked;
      }
      last = at;
      update();
    });
    post.addEventListener("input", update);
    // A value that was given is meant: its row is ticked.
    post.addEventListener("change", (event) => {
      if (event.target.matches("select[data-value]")) {
        const box = one("[data-act]", event.target.closest("[data-row]"));
        box.disabled = event.target.value === "";
        box.checked = event.target.value !== "";
      }
      update();
    });
    update();
  }

  // An action opens in another tab; its row stays until the list is shown again.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-opens]")) return;
    const button = one(`[form="${event.target.id}"]`);
    if (button) button.closest("[data-row]").classList.add("opened");
  });
})();
