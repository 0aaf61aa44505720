// Sends the files of a form in pieces (tus 1.0), so that a cut, a reload or a night's
// sleep loses one piece at most. Without this the form posts the files as a whole.
"use strict";

(() => {
  const PIECE = 8 * 1024 * 1024;
  const LONGEST_PAUSE = 30000;
  // A piece that takes longer than this is taken for lost.
  const LONGEST_PIECE = 10 * 60 * 1000;
  const FORGET = 24 * 60 * 60 * 1000;

  // What an answer means for what comes next.
  class Stop extends Error {}
  class Later extends Error {}
  class Gone extends Error {}

  const sleep = (milliseconds, signal) => new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });

  // --- Where each file goes on: fingerprint -> address, kept over a reload.

  function keyOf(root, file) {
    const parts = [root.dataset.uploads, file.name, file.size, file.lastModified];
    return `upload ${parts.join(" ")}`;
  }

  function remembered(key) {
    try {
      const kept = JSON.parse(localStorage.getItem(key));
      return kept && Date.now() - kept.at < FORGET ? kept.url : "";
    } catch {
      return "";
    }
  }

  function remember(key, url) {
    try {
      localStorage.setItem(key, JSON.stringify({ url, at: Date.now() }));
    } catch {
      // Full or forbidden: then a reload begins this file anew.
    }
  }

  function forget(key) {
    try {
      localStorage.removeItem(key);
    } catch {
      // Nothing was kept then either.
    }
  }

  // --- Requests

  async function ask(item, method, url, headers, body) {
    let answer;
    try {
      answer = await fetch(url, {
        method,
        body,
        credentials: "same-origin",
        redirect: "error",
        signal: AbortSignal.any([item.stop.signal, AbortSignal.timeout(LONGEST_PIECE)]),
        headers: { "Tus-Resumable": "1.0.0", "X-CSRFToken": item.csrf(), ...headers },
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Later("no connection");
    }
    if (answer.ok) return answer;
    const words = await wordsOf(answer);
    if (answer.status === 404 || answer.status === 410) throw new Gone(words);
    // Somebody else writes, or we are not where the server is: look again.
    if ([409, 423, 429].includes(answer.status)) throw new Later(words);
    if (answer.status >= 500 && answer.status !== 507) throw new Later(words);
    if (answer.status === 400 && method === "PATCH") throw new Later(words);
    throw new Stop(words);
  }

  async function wordsOf(answer) {
    try {
      const body = await answer.json();
      return body.errors.map((error) => error.detail).join(" ");
    } catch {
      return `the server answered ${answer.status}`;
    }
  }

  async function begin(item) {
    const body = JSON.stringify({ name: item.file.name, size: item.file.size });
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(item, "POST", item.root.dataset.uploads, headers, body);
    const made = await answer.json();
    item.url = new URL(answer.headers.get("Location"), location.href).pathname;
    remember(item.key, item.url);
    return made.received;
  }

  async function whereItStands(item) {
    if (!item.url) return begin(item);
    try {
      const answer = await ask(item, "HEAD", item.url, {});
      const length = Number(answer.headers.get("Upload-Length"));
      if (length !== item.file.size) throw new Gone("another file");
      return Number(answer.headers.get("Upload-Offset"));
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      forget(item.key);
      item.url = "";
      return begin(item);
    }
  }

  async function send(item) {
    let pause = 1000;
    item.offset = null;
    for (;;) {
      try {
        if (item.offset === null) item.offset = await whereItStands(item);
        show(item);
        if (item.offset >= item.file.size) return;
        const piece = item.file.slice(item.offset, item.offset + PIECE);
        const headers = {
          "Content-Type": "application/offset+octet-stream",
          "Upload-Offset": String(item.offset),
        };
        const began = performance.now();
        const answer = await ask(item, "PATCH", item.url, headers, piece);
        item.offset = Number(answer.headers.get("Upload-Offset"));
        measure(item, piece.size, (performance.now() - began) / 1000);
        item.problem = "";
        pause = 1000;
      } catch (error) {
        // Paused: what is shown stays what it was.
        if (error.name === "AbortError") throw error;
        // Where it stands is asked for again, whatever went wrong.
        item.offset = null;
        if (error instanceof Gone) {
          forget(item.key);
          item.url = "";
        } else if (!(error instanceof Later)) {
          throw error;
        }
        item.problem = error.message;
        show(item);
        await sleep(pause * (0.5 + Math.random() / 2), item.stop.signal);
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      }
    }
  }

  // --- What is shown

  function measure(item, bytes, seconds) {
    const rate = bytes / Math.max(seconds, 0.001);
    item.rate = item.rate ? item.rate * 0.7 + rate * 0.3 : rate;
  }

  function sizeOf(bytes) {
    const units = ["bytes", "KB", "MB", "GB", "TB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
      bytes /= 1024;
      unit += 1;
    }
    return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
  }

  function timeOf(seconds) {
    if (seconds < 60) return `${Math.ceil(seconds)} s`;
    if (seconds < 3600) return `${Math.ceil(seconds / 60)} min`;
    return `${Math.floor(seconds / 3600)} h ${Math.ceil((seconds % 3600) / 60)} min`;
  }

  function percentOf(done, size) {
    return `${size ? Math.floor((100 * done) / size) : 100} %`;
  }

  function sentence(item) {
    const size = sizeOf(item.file.size);
    if (item.state === "done") return `${size}, complete`;
    if (item.state === "failed") return `Not uploaded: ${item.problem}`;
    const percent = percentOf(item.offset || 0, item.file.size);
    if (item.state === "paused") {
      return `Paused at ${percent}, ${sizeOf(item.offset || 0)} of ${size}`;
    }
    if (item.state === "waiting") return `${size}, waiting for its turn`;
    if (item.problem) return `Held up at ${percent}, tried again by itself: ${item.problem}`;
    if (item.offset === null) return "Asking how much is there";
    const left = item.rate
      ? `, ${sizeOf(item.rate)}/s, ${timeOf((item.file.size - item.offset) / item.rate)} left`
      : "";
    return `${percent}, ${sizeOf(item.offset)} of ${size}${left}`;
  }

  function element(name, text) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    return made;
  }

  function makeLine(item) {
    const line = element("li");
    line.className = "upload-line";
    const name = element("strong", item.file.name);
    item.bar = element("progress");
    item.bar.max = Math.max(item.file.size, 1);
    item.bar.setAttribute("aria-label", item.file.name);
    item.words = element("span");
    item.pause = element("button", "Pause");
    item.cancel = element("button", "Remove");
    for (const button of [item.pause, item.cancel]) {
      button.type = "button";
      button.setAttribute("aria-label", `${button.textContent} ${item.file.name}`);
    }
    item.pause.addEventListener("click", () => togglePause(item));
    item.cancel.addEventListener("click", () => remove(item));
    line.append(name, " ", item.bar, " ", item.words, " ", item.pause, " ", item.cancel);
    item.line = line;
    return line;
  }

  function show(item) {
    item.bar.value = item.state === "done" ? item.bar.max : item.offset || 0;
    item.words.textContent = sentence(item);
    item.line.dataset.state = item.problem && item.state === "sending" ? "held" : item.state;
    const words = { paused: "Resume", failed: "Try again" };
    item.pause.hidden = item.state === "done" || Boolean(item.hopeless);
    item.pause.textContent = words[item.state] || "Pause";
    item.pause.setAttribute("aria-label", `${item.pause.textContent} ${item.file.name}`);
    showTotal(item.all);
  }

  // All files together, where there are several. Not read out: what ended is.
  function showTotal(all) {
    if (!all.total) return;
    const sum = (what) => all.items.reduce((n, item) => n + what(item), 0);
    const done = all.items.filter((item) => item.state === "done").length;
    const sent = sum((item) => item.state === "done" ? item.file.size : item.offset || 0);
    all.total.hidden = all.items.length < 2;
    all.total.textContent = `${done} of ${all.items.length} files are uploaded, ` +
      `${percentOf(sent, sum((item) => item.file.size))} of their bytes.`;
  }

  // --- One file after the other

  function setUp(root) {
    const form = root.closest("form");
    const input = root.querySelector("input[type=file]");
    const lines = root.querySelector("[data-upload-lines]");
    const news = root.querySelector("[data-upload-news]");
    const csrf = () => form.elements.namedItem("csrfmiddlewaretoken").value;
    const total = root.querySelector("[data-upload-total]");
    const all = { root, form, news, lines, total, items: [], busy: false };

    all.input = input;
    // From here on the form posts ids, not the files a second time.
    input.removeAttribute("name");

    function add(files) {
      for (const file of files) {
        const item = { all, root, file, csrf, key: keyOf(root, file), state: "waiting" };
        if (all.items.some((other) => other.key === item.key)) continue;
        item.url = remembered(item.key);
        item.offset = null;
        item.problem = "";
        all.items.push(item);
        lines.append(makeLine(item));
        lines.hidden = false;
        const most = Number(root.dataset.most);
        if (file.size > most) {
          item.state = "failed";
          item.hopeless = true;
          item.problem = `it is larger than ${sizeOf(most)}`;
        }
        show(item);
      }
      next(all);
    }

    input.addEventListener("change", () => {
      add(input.files);
      input.value = "";
    });
    root.addEventListener("dragover", (event) => {
      event.preventDefault();
      root.classList.add("is-over");
    });
    root.addEventListener("dragleave", () => root.classList.remove("is-over"));
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      root.classList.remove("is-over");
      add(event.dataTransfer.files);
    });
    form.addEventListener("submit", (event) => {
      const open = all.items.filter((item) => item.state !== "done");
      if (!open.length) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      news.textContent = `Not sent yet: ${open.length} of the files are not complete. ` +
        "Wait for them, or remove them from the list.";
    }, true);
    window.addEventListener("beforeunload", (event) => {
      if (all.busy) event.preventDefault();
    });
  }

  async function next(all) {
    if (all.busy) return;
    const item = all.items.find((other) => other.state === "waiting");
    if (!item) return;
    all.busy = true;
    item.state = "sending";
    item.stop = new AbortController();
    try {
      await send(item);
      finish(item);
    } catch (error) {
      if (error.name !== "AbortError") {
        item.state = "failed";
        item.problem = error.message;
        all.news.textContent = `${item.file.name} was not uploaded: ${error.message}`;
      }
      if (item.line.isConnected) show(item);
    }
    all.busy = false;
    next(all);
  }

  function finish(item) {
    item.state = "done";
    forget(item.key);
    const id = item.url.replace(/\/$/, "").split("/").pop();
    const field = element("input");
    field.type = "hidden";
    field.name = "uploads";
    field.value = id;
    item.line.append(field);
    show(item);
    item.all.news.textContent = `${item.file.name} is uploaded.`;
    item.root.dispatchEvent(
      new CustomEvent("uploaded", { bubbles: true, detail: { id, name: item.file.name } }),
    );
  }

  function togglePause(item) {
    if (item.state === "paused" || item.state === "failed") {
      item.state = "waiting";
      item.problem = "";
      show(item);
      next(item.all);
      return;
    }
    const wasSending = item.state === "sending";
    const at = item.offset;
    item.state = "paused";
    if (wasSending) item.stop.abort();
    item.offset = at;
    show(item);
  }

  async function remove(item) {
    const { all, url } = item;
    if (item.state === "sending") item.stop.abort();
    item.state = "removed";
    const place = all.items.indexOf(item);
    all.items = all.items.filter((other) => other !== item);
    item.line.remove();
    all.lines.hidden = !all.items.length;
    showTotal(all);
    // Whoever removes by keyboard is not thrown back to the top of the page.
    const beside = all.items[Math.min(place, all.items.length - 1)];
    (beside ? beside.cancel : all.input).focus();
    all.news.textContent = `${item.file.name} was removed.`;
    forget(item.key);
    if (!url) return;
    item.stop = new AbortController();
    try {
      await ask(item, "DELETE", url, {});
    } catch {
      // Then it is removed by itself after a day.
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const root of document.querySelectorAll("[data-uploads]")) setUp(root);
  });
})();
