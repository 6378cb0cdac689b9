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
  const values = JSON.parse(cards.dataset.values);
  const select = document.getElementById("gallery-key"), order = document.getElementById("gallery-order");
  const size = document.getElementById("gallery-size");
  const text = (value) => value === null ? "\u2013" : String(Number(value.toPrecision(5)));
  let isHighest = false;
  const sortCards = () => {
    const column = values[select.value];
    const items = [...cards.children].sort((one, two) => {
      const a = column[one.dataset.i], b = column[two.dataset.i];
      if (a === null || b === null) return (a === null) - (b === null);
      return (isHighest ? b - a : a - b) || one.dataset.i - two.dataset.i;
    });
    for (const item of items) item.querySelector(".value").textContent = text(column[item.dataset.i]);
    cards.replaceChildren(...items);
  };
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
