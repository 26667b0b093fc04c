// The console's page: theme switch, sorting, and what is live. Not here: any figure; the server
// makes the whole page, and this takes the parts that changed out of the newest one.
"use strict";

const EVERY_MS = 2000;
const PATIENCE_MS = 8000;

// --- Theme: as the system has it, light, dark ----------------------------------------------------

const THEMES = ["auto", "light", "dark"];
const themeButton = document.getElementById("theme");

function showTheme() {
  const theme = document.documentElement.dataset.theme || "auto";
  themeButton.textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme];
  themeButton.setAttribute("aria-label", `Theme: ${theme}. Change it`);
}

themeButton.addEventListener("click", () => {
  const now = THEMES.indexOf(document.documentElement.dataset.theme || "auto");
  const next = THEMES[(now + 1) % THEMES.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("hearth-theme", next);
  } catch {
    // It lasts for this page alone.
  }
  showTheme();
});
showTheme();
themeButton.hidden = false;

// --- Sorting: by the button of a column; kept when the rows come anew ----------------------------

const orders = new Map(); // table id -> {column, direction}

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
}

function sortTable(table) {
  const order = orders.get(table.id);
  if (!order) return;
  const { column, direction } = order;
  const sign = direction === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  });
  table.tBodies[0].append(...rows);
  [...table.tHead.rows[0].cells].forEach((cell, number) =>
    cell.setAttribute("aria-sort", number === column ? direction : "none"),
  );
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort]");
  if (!button) return;
  const cell = button.closest("th");
  const table = button.closest("table");
  const order = orders.get(table.id);
  const isNumber = cell.classList.contains("number");
  const first = isNumber ? "descending" : "ascending";
  const other = isNumber ? "ascending" : "descending";
  const again = order && order.column === cell.cellIndex && order.direction === first;
  orders.set(table.id, { column: cell.cellIndex, direction: again ? other : first });
  sortTable(table);
});

// --- Live: parts that changed are exchanged, whatever has the focus keeps it ---------------------

const live = document.getElementById("live");
let tag = null;

function say(text, level) {
  if (live.textContent !== text) live.textContent = text;
  live.className = `live ${level}`;
  live.hidden = false;
}

function pathOf(element, root) {
  const path = [];
  for (let one = element; one !== root; one = one.parentElement)
    path.unshift([...one.parentElement.children].indexOf(one));
  return path;
}

function exchange(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const path = focused && focused !== old ? pathOf(focused, old) : null;
  const address = focused?.getAttribute("href");
  const open = [...old.querySelectorAll("details[open]")].map((one) => one.id);
  const scrolled = [...old.querySelectorAll("pre")].map((one) => one.scrollTop);
  old.replaceChildren(...fresh.childNodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  old.querySelectorAll("pre").forEach((one, number) => (one.scrollTop = scrolled[number] || 0));
  old.querySelectorAll("table[id]").forEach(sortTable);
  if (!path) return;
  // The same link may stand in another row now; else the same place.
  const same = address && [...old.querySelectorAll("a")].find((one) => one.getAttribute("href") === address);
  (same || path.reduce((one, number) => one?.children[number], old))?.focus({ preventScroll: true });
}

const shown = new Map(); // id -> what the server made, before sorting

function remember() {
  for (const part of document.querySelectorAll("[data-live]")) shown.set(part.id, part.innerHTML);
}

function update(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const parts = [...document.querySelectorAll("[data-live]")];
  const anew =
    document.querySelector("[data-reload]") ||
    parts.some((part) => !page.getElementById(part.id)) ||
    page.querySelectorAll("[data-live]").length !== parts.length;
  if (anew) {
    location.reload(); // another page stands at this address now
    return;
  }
  for (const part of parts) {
    const fresh = page.getElementById(part.id);
    if (fresh.innerHTML === shown.get(part.id)) continue;
    shown.set(part.id, fresh.innerHTML);
    exchange(part, fresh);
  }
}

async function look() {
  if (document.hidden) return;
  try {
    const headers = { "X-Hearth-Follow": "1" };
    if (tag) headers["If-None-Match"] = tag;
    const answer = await fetch(location.pathname + location.search, {
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (answer.status === 304) say("live", "good");
    else if (answer.headers.get("X-Hearth-Follow") === "503") say("waiting for Redis", "bad");
    else {
      tag = answer.headers.get("ETag");
      update(await answer.text());
      say("live", "good");
    }
    if (document.querySelector("#problem .banner")) say("waiting for Redis", "bad");
  } catch {
    say("the console does not answer, trying again", "bad");
  }
}

// A page that is an answer to a form, or says that something was not done, stays as it is.
if (document.querySelector("[data-live], [data-reload]")) {
  remember();
  const follow = () => look().finally(() => setTimeout(follow, EVERY_MS));
  setTimeout(follow, EVERY_MS);
  document.addEventListener("visibilitychange", look);
}
