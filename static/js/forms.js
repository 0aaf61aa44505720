// Forms tell what is wrong with a field when it is left, and keep what was typed.
// The server judges; this only asks, and puts its words beside the field. What is typed
// is never touched, so an answer may come late. Without this file forms work all the same.
"use strict";

// Fields that were left and not answered yet. An answer that never comes, because a later
// question took its place, is asked for again with that one.
const left = new WeakMap();
let pressed = false;

document.addEventListener("pointerdown", () => { pressed = true; }, true);
for (const name of ["pointerup", "pointercancel"]) {
  document.addEventListener(name, () => { pressed = false; }, true);
}

function leave(control) {
  const form = control.form;
  if (!form || !form.matches("[data-checks]") || !control.name) return;
  if (!left.has(form)) left.set(form, new Set());
  left.get(form).add(control.name);
  htmx.trigger(form, "left");
}

document.addEventListener("change", (event) => {
  if (!event.target.matches("input, select, textarea")) return;
  leave(event.target);
  editSide(event.target);
});

// A required field that was entered and left empty says so.
document.addEventListener("focusout", (event) => {
  const control = event.target;
  if (control.matches("[aria-required]") && control.value === "") leave(control);
});

document.addEventListener("htmx:configRequest", (event) => {
  const form = event.target;
  if (!form.matches("[data-checks]")) return;
  const names = new Set(left.get(form));
  // What is marked as wrong may have become right through another field.
  for (const part of form.querySelectorAll(".is-wrong [name]")) names.add(part.name);
  const sent = event.detail.formData;
  for (const [name, value] of [...sent]) if (value instanceof File) sent.delete(name);
  for (const name of ["step", "switch"]) sent.delete(name);
  for (const name of names) sent.append("check", name);
  // An answer that came meanwhile may have told all that there was to ask.
  if (!names.size) event.preventDefault();
});

document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target;
  if (!form.matches("[data-checks]") || !event.detail.successful) return;
  // Fields that were left since then are asked for by the next question.
  for (const name of event.detail.requestConfig.formData.getAll("check")) {
    left.get(form)?.delete(name);
  }
  const answer = event.detail.xhr.responseText;
  // A message that appears under a pressed pointer would move the button away from it.
  if (!pressed) renew(answer);
  else document.addEventListener("pointerup", () => setTimeout(renew, 0, answer), { once: true });
});

// Put what is said of each field in place of what was said before.
function renew(html) {
  const answer = new DOMParser().parseFromString(html, "text/html");
  for (const fresh of answer.querySelectorAll(".field[id]")) {
    const here = document.getElementById(fresh.id);
    if (!here) continue;
    here.classList.toggle("is-wrong", fresh.classList.contains("is-wrong"));
    here.querySelector(".said").replaceChildren(...fresh.querySelector(".said").childNodes);
    for (const control of fresh.querySelectorAll("[name]")) copyMarks(control, control.id);
    const group = here.querySelector("fieldset");
    if (group) copyMarks(fresh.querySelector("fieldset"), group);
  }
}

function copyMarks(from, to) {
  const here = typeof to === "string" ? document.getElementById(to) : to;
  if (!here) return;
  for (const name of ["aria-invalid", "aria-describedby"]) {
    if (from.hasAttribute(name)) here.setAttribute(name, from.getAttribute(name));
    else here.removeAttribute(name);
  }
}

// data-sides="name": the same thing as fields and as JSON, of which the hidden input `name`
// says which one counts. Both are shown, and the one that is edited renews the other.
function showSides(root) {
  for (const sides of root.querySelectorAll("[data-sides]")) {
    sides.querySelector(".sides").classList.add("is-both");
    for (const part of sides.querySelectorAll("[data-side]")) part.hidden = false;
    for (const part of sides.querySelectorAll(".switch")) part.hidden = true;
  }
}

function editSide(control) {
  const side = control.closest("[data-side]");
  if (!side) return;
  const sides = side.closest("[data-sides]");
  sides.querySelector(`[name=${sides.dataset.sides}]`).value = side.dataset.side;
  htmx.trigger(sides, "edited");
}

document.addEventListener("htmx:configRequest", (event) => {
  const sides = event.target;
  if (!sides.matches("[data-sides]")) return;
  const sent = event.detail.formData;
  for (const name of ["step", "check"]) sent.delete(name);
  sent.set("switch", sent.get(sides.dataset.sides) === "json" ? "form" : "json");
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.target.matches("[data-sides]") || !event.detail.successful) return;
  const sent = event.detail.requestConfig.formData;
  const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  for (const fresh of answer.querySelectorAll(".field [name]")) {
    const here = document.getElementById(fresh.id);
    // What was typed since the question is newer than the answer.
    if (here && here.value === (sent.get(here.name) ?? "")) here.value = fresh.value;
  }
  renew(event.detail.xhr.responseText);
});

showSides(document);
