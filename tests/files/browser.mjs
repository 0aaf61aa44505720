// Just enough of a browser to run static/js/upload.js against a server: the elements of
// templates/files/_upload.html, localStorage, and a fetch with the cookies of a session.
// What the test says comes as one JSON line each on standard input; what is seen goes out.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";

const [script, base, cookie, csrf, uploads, most] = process.argv.slice(2);

class Element extends EventTarget {
  constructor(name) {
    super();
    this.tagName = name;
    this.children = [];
    this.attributes = {};
    this.dataset = {};
    this.hidden = false;
    this.parent = null;
    this.textContent = "";
  }
  append(...children) {
    for (const child of children) {
      if (child instanceof Element) child.parent = this;
      this.children.push(child);
    }
  }
  remove() {
    const { parent } = this;
    if (parent) parent.children = parent.children.filter((other) => other !== this);
    this.parent = null;
  }
  get isConnected() { return Boolean(this.parent); }
  setAttribute(name, value) { this.attributes[name] = value; }
  removeAttribute(name) { delete this[name]; }
  querySelector(selector) { return this.parts[selector]; }
  closest() { return form; }
  focus() { focused = this; }
}

let focused = null;
const storage = new Map();
const form = new Element("form");
form.elements = { namedItem: () => ({ value: csrf }) };
const root = new Element("div");
root.parent = form;
root.dataset = { uploads, most };
const input = new Element("input");
input.name = "files";
const lines = new Element("ul");
const news = new Element("p");
const total = new Element("p");
root.parts = {
  "input[type=file]": input,
  "[data-upload-lines]": lines,
  "[data-upload-news]": news,
  "[data-upload-total]": total,
};

let cut = 0;
const calls = [];
const document = new EventTarget();
document.createElement = (name) => new Element(name);
document.querySelectorAll = () => [root];

async function fetchHere(path, options) {
  calls.push(`${options.method} ${options.headers["Upload-Offset"] || ""}`.trim());
  if (cut && options.method === "PATCH") {
    cut -= 1;
    throw new TypeError("network");
  }
  const headers = { ...options.headers, Cookie: cookie };
  return fetch(base + path, { ...options, headers, redirect: "error" });
}

function run() {
  vm.runInNewContext(readFileSync(script, "utf8"), {
    document,
    window: new EventTarget(),
    location: { href: base },
    localStorage: {
      getItem: (key) => storage.get(key) ?? null,
      setItem: (key, value) => storage.set(key, value),
      removeItem: (key) => storage.delete(key),
    },
    fetch: fetchHere,
    setTimeout: (work, time) => setTimeout(work, Math.min(time, 20)),
    clearTimeout,
    performance,
    AbortController,
    AbortSignal,
    DOMException,
    CustomEvent,
    URL,
    Error,
    TypeError,
    JSON,
    Date,
    Math,
    Number,
    String,
  });
  document.dispatchEvent(new Event("DOMContentLoaded"));
}

const tell = (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`);

function state() {
  const shown = lines.children.map((line) => {
    const parts = line.children.filter((child) => child instanceof Element);
    const words = parts.find((part) => part.tagName === "span");
    const ids = parts.filter((part) => part.name === "uploads").map((part) => part.value);
    const labels = parts.filter((part) => part.tagName === "button" && !part.hidden)
      .map((part) => part.attributes["aria-label"]);
    return { words: words.textContent, ids, labels, state: line.dataset.state };
  });
  return {
    shown,
    news: news.textContent,
    total: total.hidden ? "" : total.textContent,
    focused: focused?.attributes["aria-label"] ?? focused?.tagName ?? "",
    calls,
    stored: storage.size,
    name: input.name ?? null,
  };
}

function pick(files) {
  input.files = files.map(({ name, size, fill, modified }) => {
    const bytes = new Uint8Array(size).map((_, n) => (n * 7 + fill) % 251);
    return new File([bytes], name, { lastModified: modified ?? 1 });
  });
  input.dispatchEvent(new Event("change"));
}

const press = (line, label) => {
  const parts = lines.children[line].children;
  parts.find((part) => part.textContent === label).dispatchEvent(new Event("click"));
};

run();
for await (const text of createInterface({ input: process.stdin })) {
  const order = JSON.parse(text);
  if (order.cut) cut = order.cut;
  if (order.keep) storage.set(order.keep[0], order.keep[1]);
  if (order.pick) pick(order.pick);
  if (order.press) press(...order.press);
  if (order.submit) {
    const event = new Event("submit", { cancelable: true });
    form.dispatchEvent(event);
    tell({ ...state(), prevented: event.defaultPrevented });
  } else {
    if (order.wait) await new Promise((done) => setTimeout(done, order.wait));
    tell(state());
  }
}
