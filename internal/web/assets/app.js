// What the pages do beyond links, forms and htmx: one stream of changes, the live log,
// ages that grow, folds that stay folded. Nothing here is needed for reading.
"use strict";

// One stream a page, closed while the page is not looked at: a browser has only a few
// connections for each server.
const stream = {
  source: null,
  after: Number(document.getElementById("log")?.dataset.after ?? 0),
  over: false,

  open() {
    const url = document.body.dataset.events;
    if (!url || this.source || this.over || document.hidden) return;
    const source = new EventSource(url + (log.at ? "?after=" + this.after : ""));
    this.source = source;
    source.onopen = () => sayLive("live");
    source.onerror = () => {
      sayLive("away");
      if (source.readyState === EventSource.CLOSED) {
        this.close();
        setTimeout(() => this.open(), 5000);
      }
    };
    source.addEventListener("changed", () => part.refresh());
    source.addEventListener("lines", (e) => {
      this.after = Number(e.lastEventId);
      log.write(JSON.parse(e.data));
    });
    source.addEventListener("end", () => {
      this.over = true;
      this.close();
      sayLive("");
    });
  },

  close() {
    this.source?.close();
    this.source = null;
  },
};

// The part of the page that is drawn anew when something changed. Its address names the
// version that is shown; the answer is 204 when that is the newest. What changes while
// an answer is on its way makes it ask once more.
const part = {
  busy: false,
  again: false,

  async refresh() {
    this.again = true;
    if (this.busy) return;
    this.busy = true;
    while (this.again) {
      this.again = false;
      const at = document.querySelector("[data-part]");
      if (!at) break;
      try {
        const answer = await fetch(at.dataset.part);
        if (answer.redirected) location.reload(); // no longer logged in
        else if (answer.status === 200) this.draw(at, await answer.text());
      } catch {
        // The stream reconnects when the server is back, and asks again.
      }
    }
    this.busy = false;
  },

  draw(at, text) {
    if (!at.isConnected) {
      this.again = true; // a filter was applied in the meantime
      return;
    }
    const id = "#" + at.parentElement.id;
    htmx.swap(id, text, { swapStyle: "innerHTML" }, { select: id + " > *", selectOOB: "#top" });
  },
};

function sayLive(word) {
  const at = document.getElementById("live");
  if (!at) return;
  at.hidden = word === "";
  at.dataset.state = word;
  at.textContent = word === "away" ? "reconnecting" : word;
}

// The live log. A line has a number; one that comes again is written again, so it
// does not matter where a stream was cut. Its text only ever becomes text nodes.
const log = {
  at: document.getElementById("sections"),

  write(lines) {
    const follow = document.getElementById("follow")?.checked;
    for (const line of lines) {
      let li = document.getElementById("L" + line.n);
      if (!li) li = this.add(line);
      const text = li.lastElementChild;
      text.replaceChildren(...line.s.map(([piece, classes]) => {
        if (!classes) return document.createTextNode(piece);
        const b = document.createElement("b");
        b.className = classes;
        b.textContent = piece;
        return b;
      }));
    }
    document.querySelector(".nolog")?.setAttribute("hidden", "");
    if (follow) window.scrollTo(0, document.documentElement.scrollHeight);
  },

  add(line) {
    let phase = this.at.lastElementChild;
    if (!phase || phase.dataset.phase !== line.p) {
      phase = document.createElement("details");
      phase.className = "phase";
      phase.dataset.phase = line.p;
      phase.open = true;
      const summary = document.createElement("summary");
      summary.textContent = line.p;
      phase.append(summary, document.createElement("ol"));
      this.at.append(phase);
    }
    const li = document.createElement("li");
    li.id = "L" + line.n;
    const a = document.createElement("a");
    a.href = "#L" + line.n;
    a.dataset.n = line.n;
    a.setAttribute("aria-label", "line " + line.n);
    li.append(a, document.createElement("span"));
    phase.lastElementChild.append(li);
    return li;
  },
};

// Whoever scrolls up wants to read, not to follow.
window.addEventListener("wheel", (e) => {
  const follow = document.getElementById("follow");
  if (follow && e.deltaY < 0) follow.checked = false;
}, { passive: true });
for (const label of document.querySelectorAll(".follow")) label.hidden = false;

function ago(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return Math.floor(seconds) + "s ago";
  if (seconds < 3600) return Math.floor(seconds / 60) + "m ago";
  if (seconds < 48 * 3600) return Math.floor(seconds / 3600) + "h ago";
  return Math.floor(seconds / 86400) + "d ago";
}

// The server's clock counts, not this machine's: both ages and "now" come from it.
const skew = Date.now() - Date.parse(document.body.dataset.now);
setInterval(() => {
  for (const t of document.querySelectorAll("time[data-age]")) {
    const text = ago((Date.now() - skew - Date.parse(t.dateTime)) / 1000);
    if (t.textContent !== text) t.textContent = text;
  }
}, 5000);

// A part that is drawn anew keeps what its reader folded or unfolded.
const folds = new Map();
document.addEventListener("toggle", (e) => {
  if (e.target.id && e.target.tagName === "DETAILS") folds.set(e.target.id, e.target.open);
}, true);
document.addEventListener("htmx:afterSwap", () => {
  for (const [id, open] of folds) {
    const at = document.getElementById(id);
    if (at) at.open = open;
  }
});

document.addEventListener("submit", (e) => {
  const question = e.target.dataset.confirm;
  if (question && !window.confirm(question)) e.preventDefault();
}, true);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.close();
  else stream.open();
});
stream.open();
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
