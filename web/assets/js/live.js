// A stream while the page is seen; otherwise, and where streams fail, a look now and then.
(() => {
  const shell = document.querySelector(".shell");
  if (!shell) return;
  const refresh = Number(shell.dataset.refresh) * 1000;
  const offline = shell.querySelector("[data-offline]");
  document.addEventListener("herald:left", () => { shell.querySelector("[data-left]").hidden = false; });
  const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`herald:${name}`, { detail }));
  // A last event may come after the word that the network has gone.
  const told = (name) => (event) => {
    if (navigator.onLine) offline.hidden = true;
    tell(name, JSON.parse(event.data));
  };
  let stream;
  let failures = 0;
  let again;
  async function look() {
    const answer = await fetch("/counts", { headers: { accept: "application/json" } }).catch(() => null);
    if (answer && answer.status === 401) { document.dispatchEvent(new Event("herald:left")); return; }
    offline.hidden = Boolean(answer && answer.ok);
    if (!answer || !answer.ok) {
      clearTimeout(again);
      again = setTimeout(() => { if (!offline.hidden) look(); }, 2000);
      return;
    }
    const { new_alerts: alerts, ...counts } = await answer.json();
    alerts.reverse().forEach((alert) => tell("alert", alert));
    tell("counts", counts);
  }
  function connect() {
    if (stream || document.hidden || !window.EventSource) return;
    stream = new EventSource("/live");
    stream.addEventListener("open", () => { failures = 0; if (navigator.onLine) offline.hidden = true; });
    stream.addEventListener("counts", told("counts"));
    stream.addEventListener("alert", told("alert"));
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
  document.addEventListener("herald:shown", () => { look(); });
  addEventListener("offline", () => { offline.hidden = false; look(); });
  addEventListener("online", () => { look(); connect(); });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  setInterval(() => { if (!stream || stream.readyState !== EventSource.OPEN) look(); }, refresh);
  connect();
})();
