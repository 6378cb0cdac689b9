"use strict";
const sortRows = (head) => {
  const body = head.closest("table").tBodies[0];
  const isDown = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  const key = (row) => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent.trim();
  const rows = [...body.rows].sort((one, two) => {
    const a = key(one), b = key(two);
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return isDown ? -order : order;
  });
  body.append(...rows);
};
for (const head of document.querySelectorAll("table.sortable thead th")) {
  head.tabIndex = 0;
  head.addEventListener("click", () => sortRows(head));
  head.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    sortRows(head);
  });
}

const themeButton = document.getElementById("theme");
const themes = ["as the system", "light", "dark"];
let theme = 0;
const showTheme = () => {
  if (theme) document.documentElement.dataset.theme = themes[theme];
  else delete document.documentElement.dataset.theme;
  themeButton.textContent = "theme: " + themes[theme];
};
try { theme = Math.max(0, themes.indexOf(localStorage.getItem("tomocyte-theme"))); } catch { theme = 0; }
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  theme = (theme + 1) % themes.length;
  try { localStorage.setItem("tomocyte-theme", themes[theme]); } catch { /* a page opened from a file may not store */ }
  showTheme();
});
showTheme();

const cards = document.getElementById("cards");
if (cards) {
  const part = (name) => document.getElementById("gallery-" + name);
  const select = part("key"), order = part("order"), size = part("size"), back = part("back"), on = part("on");
  const model = cards.children[0].cloneNode(true), n = Number(cards.dataset.sheet);
  let cells, sorted, isHighest = false, first = 0;
  // Numbers of all cells are read when they are first asked for.
  const read = () => {
    if (cells) return;
    cells = JSON.parse(cards.dataset.cells);
    sorted = cells.cards.map((_, i) => i);
  };
  const text = (value) => value === null ? "\u2013" : String(value).replace("-", "\u2212");
  const card = (i) => {
    const [item, label, frame, track, sprite, x, y] = cells.cards[i];
    const li = model.cloneNode(true), link = li.querySelector("a"), tile = li.querySelector("i"), b = li.querySelector("b");
    li.dataset.i = i;
    link.href = "#item-" + item;
    link.title = cells.items[item] + ", label " + label + (frame ? ", frame " + frame : "") + (track ? ", track " + track : "") + "; bar " + cells.bars[sprite];
    tile.className = "s" + sprite;
    tile.style.backgroundPosition = x + "px " + y + "px";
    b.textContent = label;
    if (frame) b.append(Object.assign(document.createElement("small"), { textContent: " t" + frame }));
    li.querySelector(".value").textContent = select.value ? text(cells.values[select.value][i]) : "";
    return li;
  };
  const show = () => {
    const shown = sorted.slice(first, first + n);
    cards.replaceChildren(...shown.map(card));
    cards.scrollTop = 0;
    back.disabled = first === 0;
    on.disabled = first + n >= sorted.length;
    part("sheets").querySelector("output").textContent = (first + 1) + " to " + (first + shown.length) + " of " + sorted.length;
  };
  const sortCards = () => {
    read();
    const column = cells.values[select.value];
    sorted.sort((one, two) => {
      const a = column[one], b = column[two];
      if (a === null || b === null) return (a === null) - (b === null);
      return (isHighest ? b - a : a - b) || one - two;
    });
    first = 0;
    show();
  };
  const turn = (by) => { read(); first += by; show(); };
  back.addEventListener("click", () => turn(-n));
  on.addEventListener("click", () => turn(n));
  select.addEventListener("change", sortCards);
  order.addEventListener("click", () => {
    isHighest = !isHighest;
    order.setAttribute("aria-pressed", isHighest);
    order.textContent = isHighest ? "highest first" : "lowest first";
    sortCards();
  });
  size.addEventListener("input", () => cards.style.setProperty("--zoom", size.value / 88));
  if (select.options.length) cards.previousElementSibling.hidden = false;
}

for (const planes of document.querySelectorAll(".planes")) {
  const slider = planes.querySelector("input"), picture = planes.querySelector("i");
  const tiles = planes.querySelectorAll("li"), output = planes.querySelector("output");
  slider.parentNode.hidden = false;
  slider.addEventListener("input", () => {
    const tile = tiles[slider.value];
    picture.style.backgroundPosition = tile.dataset.x + "px " + tile.dataset.y + "px";
    picture.setAttribute("aria-label", tile.textContent);
    slider.setAttribute("aria-valuetext", tile.textContent);
    output.textContent = tile.textContent;
  });
}

addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
