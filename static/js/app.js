// What makes pages handier. Every page works without it.
"use strict";

// A form that was sent is not sent twice by a second click.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 5000);
});

// data-only-if="kind=a,b": the field is shown only while that other field says so.
function showFields(form) {
  for (const part of form.querySelectorAll("[data-only-if]")) {
    const [name, values] = part.dataset.onlyIf.split("=");
    const other = form.elements.namedItem(name);
    if (!other) continue;
    const value = other.type === "checkbox" ? String(other.checked) : other.value;
    part.hidden = !values.split(",").includes(value) &&
      !part.classList.contains("is-wrong");
  }
}

document.addEventListener("change", (event) => {
  if (event.target.form) showFields(event.target.form);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  navigator.clipboard.writeText(text).then(() => {
    button.textContent = "Copied";
  });
});

function begin(root) {
  for (const form of root.querySelectorAll("form")) showFields(form);
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("DOMContentLoaded", () => begin(document));
document.addEventListener("htmx:afterSwap", (event) => begin(event.target));
