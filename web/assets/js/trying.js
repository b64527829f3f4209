// Tries a form while it is typed: sends it as its button "try" would, and shows what stands beside it then, and at its fields.
"use strict";
(() => {
  const form = document.querySelector("form[data-live]");
  const place = document.querySelector("[data-beside]");
  if (!form || !place) return;
  // Long enough not to ask for each key.
  const rest = 350;
  let timer;
  let last = 0;

  function showBeside(fresh) {
    const open = [...place.querySelectorAll("details[open]")].map((it) => it.id);
    const top = place.scrollTop;
    place.replaceChildren(...fresh.childNodes);
    for (const id of open) place.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    place.scrollTop = top;
  }

  function showProblems(fresh) {
    for (const field of form.querySelectorAll("[data-field]")) {
      const now = fresh.querySelector(`[data-field="${CSS.escape(field.dataset.field)}"]`);
      if (!now) continue;
      field.querySelector(".problem")?.remove();
      const problem = now.querySelector(".problem");
      if (problem) field.append(problem);
      const control = "input, select, textarea";
      for (const name of ["aria-invalid", "aria-describedby"]) {
        const value = now.querySelector(control)?.getAttribute(name);
        if (value) field.querySelector(control).setAttribute(name, value);
        else field.querySelector(control)?.removeAttribute(name);
      }
    }
  }

  // Told when it changes, so that a screen reader does not say the same at each pause.
  function say(page) {
    const now = page.querySelector("[data-said]").textContent;
    const said = form.querySelector("[data-said]");
    if (said.textContent !== now) said.textContent = now;
    document.querySelector("[data-refused]")?.remove();
  }

  async function look() {
    last += 1;
    const mine = last;
    const body = new URLSearchParams(new FormData(form));
    body.set("do", "try");
    place.setAttribute("aria-busy", "true");
    const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
    const text = answer ? await answer.text().catch(() => null) : null;
    if (mine !== last) return;
    place.removeAttribute("aria-busy");
    if (text === null) return;
    if (new URL(answer.url).pathname === "/login") { document.dispatchEvent(new Event("herald:left")); return; }
    const page = new DOMParser().parseFromString(text, "text/html");
    const beside = page.querySelector("[data-beside]");
    const typed = page.querySelector("form[data-live]");
    if (!beside || !typed) return;
    showBeside(beside);
    showProblems(typed);
    say(typed);
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, rest);
  });
})();
