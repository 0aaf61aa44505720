// Choosing rows of a list. Without it the buttons speak of "the ticked" rows.
"use strict";

const rowTicks = () => [...document.querySelectorAll("input[form=bulk][name=id]")];

// What is selected, in numbers and in the words of the buttons.
function countTicks() {
  const bar = document.querySelector(".bulk");
  if (!bar) return;
  const ticks = rowTicks();
  const ticked = ticks.filter((box) => box.checked).length;
  const all = document.getElementById("bulk-all");
  const number = all && all.checked ? Number(bar.dataset.total) : ticked;
  const { one, many } = bar.dataset;
  const set = `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
  document.getElementById("bulk-count").textContent = `${set} selected`;
  for (const words of bar.querySelectorAll("[data-words]")) {
    words.textContent = words.dataset.words.replace("{}", set);
    words.closest("button").disabled = number === 0;
  }
  const page = document.getElementById("choose-page");
  page.hidden = false;
  page.checked = ticked > 0 && ticked === ticks.length;
  page.indeterminate = ticked > 0 && ticked < ticks.length;
}

let lastTick = null;

document.addEventListener("click", (event) => {
  const box = event.target;
  if (!box.matches("input[form=bulk][name=id]")) return;
  // With Shift, everything from the box before to this one.
  const ticks = rowTicks();
  const [from, to] = [ticks.findIndex((tick) => tick.value === lastTick), ticks.indexOf(box)];
  if (event.shiftKey && from >= 0) {
    for (const tick of ticks.slice(Math.min(from, to), Math.max(from, to) + 1)) {
      tick.checked = box.checked;
    }
  }
  lastTick = box.value;
  countTicks();
});

document.addEventListener("change", (event) => {
  if (event.target.id === "choose-page") {
    for (const box of rowTicks()) box.checked = event.target.checked;
  }
  if (event.target.matches("#choose-page, input[form=bulk]")) countTicks();
});

// A view is kept of what the list shows now, not of what it showed when it was loaded.
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-keeps-query]")) {
    event.target.elements.query.value = location.search;
  }
});

// After app.js has given a new part its ticks back.
document.addEventListener("htmx:afterSettle", countTicks);
document.addEventListener("DOMContentLoaded", countTicks);
window.addEventListener("pageshow", countTicks);
