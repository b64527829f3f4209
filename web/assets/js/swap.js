// Posts, searches and pages of a list are shown without a whole new page: what stands around it, and a stream, stay.
(() => {
  const main = document.querySelector("#main");
  if (!main || !document.querySelector(".shell")) return;
  let last = 0;
  // What was posted and has no answer yet: nothing else is shown before that.
  let posting = false;

  // A page that came from a Post is not posted again by a reload.
  history.replaceState(null, "", location.href);
  // A menu without room for all that it holds shows where one is.
  const menu = document.querySelector(".menu");
  const here = menu.querySelector("[aria-current=page]");
  if (here) {
    const list = here.closest("ul") ?? menu;
    menu.scrollTop = here.offsetTop - menu.clientHeight / 2;
    list.scrollLeft = here.offsetLeft - (list.clientWidth - here.offsetWidth) / 2;
  }

  function refuse(words) {
    const place = main.querySelector("[data-not-posted]");
    if (!place) return;
    place.textContent = words || place.dataset.words || place.textContent;
    place.hidden = false;
    place.scrollIntoView({ block: "nearest" });
  }

  // What is ticked and typed but not posted, by row: it is there again when the list is shown anew.
  function pending() {
    return [...main.querySelectorAll("[data-row]")].map((row) => [
      row.getAttribute("aria-labelledby"), row.querySelector("[data-act]")?.checked, row.querySelector("[data-value]")?.value,
    ]).filter(([id, ticked, value]) => id && (ticked || value));
  }
  function restore(kept) {
    for (const [id, ticked, value] of kept) {
      const row = document.getElementById(id)?.closest("[data-row]");
      const field = row?.querySelector("[data-value]");
      const box = row?.querySelector("[data-act]");
      if (field && value) field.value = value;
      if (box && ticked) { box.disabled = false; box.checked = true; }
    }
  }

  async function show(url, options, push, kept = []) {
    if (posting) return;
    const posted = options?.method === "POST";
    posting = posted;
    last += 1;
    const mine = last;
    main.setAttribute("aria-busy", "true");
    const answer = await fetch(url, options).catch(() => null);
    const text = answer ? await answer.text().catch(() => null) : null;
    if (posted) posting = false;
    if (mine !== last) return;
    main.removeAttribute("aria-busy");
    if (text === null) { refuse(); return; }
    if (new URL(answer.url).pathname === "/login") { document.dispatchEvent(new Event("herald:left")); return; }
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.querySelector("#main");
    if (!fresh) { refuse(page.querySelector("main p:not(.brand)")?.textContent); return; }
    main.replaceChildren(...fresh.childNodes);
    restore(kept);
    if (push) history.pushState(null, "", url);
    document.title = page.title;
    document.dispatchEvent(new CustomEvent("herald:shown", { detail: { title: page.title, posted } }));
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.target === "_blank" || !main.contains(form)) return;
    if (form.matches(".search")) {
      event.preventDefault();
      const fields = [...new FormData(form)].filter(([, value]) => value.trim() !== "");
      const query = new URLSearchParams(fields).toString();
      show(`${form.getAttribute("action")}${query ? `?${query}` : ""}`, undefined, true);
    } else if (form.matches("#post") || (form.matches("[data-answers]") && main.querySelector("#post"))) {
      event.preventDefault();
      // A reply from the reading pane leaves the list where it is.
      const action = form.matches("#post") ? form.action : main.querySelector("#post").action;
      const body = new URLSearchParams(new FormData(form, event.submitter));
      show(action, { method: "POST", body }, false, form.matches("#post") ? [] : pending());
    }
  });

  main.addEventListener("click", (event) => {
    const link = event.target.closest(".pager a, .tabs a, .arrived a, .filters a, .empty a");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    show(link.href, undefined, true);
    scrollTo({ top: 0 });
  });
  let shown = location.pathname + location.search;
  document.addEventListener("herald:shown", () => { shown = location.pathname + location.search; });
  addEventListener("popstate", () => {
    // To a place within the page.
    if (location.pathname + location.search === shown) return;
    if (main.querySelector(".search") && /^\/(alerts|messages)$/.test(location.pathname)) show(location.href);
    else location.reload();
  });

  // A list that is being read does not move: it says that there is more. An empty one shows it.
  document.addEventListener("herald:counts", (event) => {
    const arrived = main.querySelector("[data-arrived]");
    if (!arrived) return;
    const which = arrived.dataset.arrived;
    const many = event.detail[which];
    const newest = event.detail[which === "alerts" ? "newest_alert" : "newest_message"] || "";
    if (many < Number(arrived.dataset.shown)) arrived.dataset.shown = many;
    const more = many - Number(arrived.dataset.shown);
    const pending = main.querySelector("[data-pending]");
    if (pending) pending.textContent = document.querySelector(`[data-count=${which}] strong`).textContent;
    arrived.hidden = more <= 0 && newest <= arrived.dataset.newest;
    if (arrived.hidden) return;
    const link = arrived.querySelector("a");
    link.textContent = more > 0 ? arrived.dataset.many.replace("0", more) : arrived.dataset.some;
    const typing = main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    if (!main.querySelector("[data-row]") && !location.search && !typing) show(link.href);
  });
})();
