// Notices of alerts at the bottom right: announced, never focused, there until they are dismissed.
(() => {
  const shell = document.querySelector(".shell");
  if (!shell) return;
  const told = new Set(shell.dataset.known.split(" ").filter(Boolean));
  const notices = shell.querySelector("[data-notices]");
  document.addEventListener("herald:alert", (event) => {
    const alert = event.detail;
    if (told.has(alert.id)) return;
    told.add(alert.id);
    const notice = document.querySelector("#notice").content.cloneNode(true);
    const link = notice.querySelector("a");
    link.textContent = alert.subject;
    link.href = `/messages/${alert.id}`;
    notice.querySelector("p span").textContent = alert.from;
    notice.querySelector("[name=ids]").value = alert.id;
    notices.prepend(notice);
    for (const old of [...notices.querySelectorAll(".notice")].slice(4)) old.remove();
  });
  notices.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    // Who goes elsewhere at once has dismissed it too.
    fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual", keepalive: true })
      .catch(() => null);
    const notice = form.closest(".notice");
    const next = notice.nextElementSibling || notice.previousElementSibling;
    if (notice.contains(document.activeElement)) (next?.querySelector("a") || document.querySelector("#main")).focus({ preventScroll: true });
    notice.remove();
  });
})();
