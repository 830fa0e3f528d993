"use strict";
// Searches and sorts the rows that are in the page already. It shows only the first of them: to lay
// out tens of thousands takes a browser seconds, and nobody reads so many.
const FIRST = 200;
const MORE = 1000;
document.documentElement.classList.add("scripted");
document.addEventListener("DOMContentLoaded", () => {
  const body = document.querySelector("tbody");
  const heads = [...document.querySelectorAll("thead th")];
  const search = document.querySelector("input");
  const found = document.querySelector("output");
  const more = document.querySelector("#more");
  const rows = [...body.rows];
  const text = (row, column) => row.cells[column].textContent;
  const names = rows.map(row => [text(row, 0), text(row, 1).toLowerCase()]);
  const number = count => count.toLocaleString("en");
  let order = rows.map((_, place) => place);
  let most = FIRST;

  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = ([latent, label]) =>
      words.every(word => latent.startsWith(word) || label.includes(word));
    const hits = order.filter(place => matches(names[place]));
    body.replaceChildren(...hits.slice(0, most).map(place => rows[place]));
    const part = hits.length > most ? `the first ${number(most)} of ` : "";
    const whole = hits.length < rows.length ? ` of ${number(rows.length)}` : "";
    found.textContent = `${part}${number(hits.length)}${whole} latents`;
    more.hidden = hits.length <= most;
  }

  function sort(column) {
    const head = heads[column];
    const was = head.getAttribute("aria-sort");
    // What is measured begins with the highest.
    const down = was ? was === "ascending" : column > 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keys = rows.map(row => {
      const said = text(row, column);
      if (!head.classList.contains("numeric")) return said.toLowerCase() || NaN;
      return parseFloat(said.replace("\u2212", "-"));
    });
    const missing = place => Number.isNaN(keys[place]);
    // Those without a value come last either way, and equals in the order of their numbers.
    order.sort((a, b) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b) || a - b;
      if (keys[a] === keys[b]) return a - b;
      return keys[a] < keys[b] === down ? 1 : -1;
    });
    show();
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
  search.addEventListener("input", () => { most = FIRST; show(); });
  more.addEventListener("click", () => { most += MORE; show(); });
  document.querySelector(".tools").hidden = false;
  show();
  document.documentElement.classList.remove("scripted");
});
