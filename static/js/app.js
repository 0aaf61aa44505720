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

// data-copy="id": copies what stands there. data-dialog="id": opens that dialog; the
// link under it leads to a page that does the same.
document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const words = copy.querySelector("span") || copy;
    navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent)
      .then(() => "Copied", () => "Cannot copy here")
      .then((said) => { words.textContent = said; });
  }
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.dialog).showModal();
  }
});

// A live part asks again by itself. It asks only while somebody looks, says which answer
// it has (so that 304 can be said), and leaves alone what a person is typing into.
const LIVE = "[hx-trigger^=every]";
const answers = new Map();

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (!part.matches(LIVE)) return;
  const busy = part.contains(document.activeElement) &&
    document.activeElement.matches("input:not([type=checkbox]), select, textarea");
  if (document.hidden || busy || part.querySelector("dialog[open]")) event.preventDefault();
});

document.addEventListener("htmx:configRequest", (event) => {
  const { elt, path, headers } = event.detail;
  const known = elt.matches(LIVE) && answers.get(elt.id);
  if (known && known.path === path) headers["If-None-Match"] = known.etag;
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, xhr, pathInfo } = event.detail;
  if (!elt.matches(LIVE)) return;
  const etag = xhr.getResponseHeader("ETag");
  if (etag) answers.set(elt.id, { path: pathInfo.requestPath, etag });
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll(LIVE)) htmx.trigger(part, "seen");
});

// Ticks, opened folds and the focus are a person's, not the server's: they outlive a swap.
let kept = null;

const focusable = (element) => element.id
  ? `#${CSS.escape(element.id)}`
  : element.matches("a[href]") && `a[href="${CSS.escape(element.getAttribute("href"))}"]`;

document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (!event.detail.shouldSwap || !part.id) return;
  const active = part.contains(document.activeElement) && document.activeElement;
  kept = {
    id: part.id,
    ticks: [...part.querySelectorAll("input[type=checkbox]:checked")]
      .map((box) => [box.name, box.value]),
    folds: [...part.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]),
    focus: active && focusable(active),
    scrolls: [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft),
  };
});

document.addEventListener("htmx:afterSwap", (event) => {
  const part = event.target;
  if (!kept || part.id !== kept.id) return;
  for (const box of part.querySelectorAll("input[type=checkbox]")) {
    if (kept.ticks.some(([name, value]) => box.name === name && box.value === value)) {
      box.checked = true;
    }
  }
  for (const [id, open] of kept.folds) {
    const fold = document.getElementById(id);
    if (fold) fold.open = open;
  }
  part.querySelectorAll(".scroll").forEach((box, i) => {
    box.scrollLeft = kept.scrolls[i] || 0;
  });
  if (kept.focus && !part.contains(document.activeElement)) {
    part.querySelector(kept.focus)?.focus({ preventScroll: true });
  }
  kept = null;
});

function begin(root) {
  for (const form of root.querySelectorAll("form")) showFields(form);
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

begin(document);
document.addEventListener("htmx:afterSwap", (event) => begin(event.target));

// --- Failures --------------------------------------------------------------------------
// What a page fetches by itself and does not get is told, once, until it gets it again.
const FAILURES = {
  0: "mixadmin does not answer. What you see here may be old; it is asked again.",
  403: "You may not do this, or the form is too old: reload the page.",
  404: "This is not here any more. Reload the page.",
  409: "Not now: it was refused. Reload the page to see how it stands.",
  502: "Mixpanel did not answer as it should. It is asked again.",
  503: "mixadmin is away for a moment. It is asked again.",
};
let toast = null;

function tellFailure(event) {
  const { xhr } = event.detail;
  const status = xhr ? xhr.status : 0;
  const id = status >= 500 && xhr.getResponseHeader("X-Request-ID");
  const words = FAILURES[status] || "Something broke here. Reload the page.";
  if (!toast) {
    toast = document.createElement("p");
    toast.className = "toast";
    let toasts = document.querySelector(".toasts");
    if (!toasts) {
      toasts = document.createElement("div");
      toasts.className = "toasts";
      document.querySelector("main > [role=status]").append(toasts);
    }
    toasts.append(toast);
  }
  const told = id ? `${words} Request ${id}.` : words;
  if (toast.textContent !== told) toast.textContent = told;
}

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, tellFailure);
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.successful || !toast) return;
  toast.remove();
  toast = null;
});
