// The keyboard, and what a tab tells by itself: its zone, its title, its icon.
"use strict";

(() => {
  const PULSE = 10000;
  // So long the key after g counts.
  const SECOND_KEY = 1500;
  const root = document.documentElement;

  // --- The zone of the browser, for who chose none; times tell how long ago they are.

  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone) {
    const secure = location.protocol === "https:" ? ";secure" : "";
    document.cookie = `zone=${timeZone};path=/;max-age=31536000;samesite=lax${secure}`;
  }

  // As common/templatetags/ui.py says it.
  function relative(then, now) {
    const minutes = Math.floor(Math.abs(then - now) / 60000);
    const later = then > now;
    if (!minutes) return later ? "in under a minute" : "just now";
    let words = `${Math.floor(minutes / 1440)} days`;
    if (minutes < 60) words = `${minutes} min`;
    else if (minutes < 180) words = `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    else if (minutes < 2880) words = `${Math.floor(minutes / 60)} h`;
    return later ? `in ${words}` : `${words} ago`;
  }

  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest("time[datetime]");
    if (!time) return;
    time.dataset.utc ??= time.title;
    const far = relative(new Date(time.dateTime).getTime(), Date.now());
    time.title = time.dataset.utc ? `${time.dataset.utc}, ${far}` : far;
  });

  // --- The pulse: what runs and fails, in title, icon and rail, while somebody looks.

  const icon = document.querySelector("link[data-pulse]");
  const prefix = (words) => (words ? `(${words}) ` : "");
  let words = icon ? icon.dataset.words : "";
  let etag = "";
  let failures = 0;
  let timer = 0;

  function tell(told) {
    const had = prefix(words);
    const name = document.title.startsWith(had)
      ? document.title.slice(had.length) : document.title;
    words = told.words;
    document.title = prefix(words) + name;
    icon.href = icon.dataset[told.icon || "calm"];
    for (const tally of document.querySelectorAll("[data-tally]")) {
      const number = told.tallies[tally.dataset.tally] || 0;
      tally.hidden = !number;
      tally.querySelector("b").textContent = number.toLocaleString("en");
    }
  }

  async function beat() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch(icon.dataset.pulse, {
        headers: etag ? { "If-None-Match": etag } : {},
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(PULSE),
      });
      // The session has ended: the page says so as soon as it is used.
      if (answer.type === "opaqueredirect") return;
      if (answer.ok) {
        etag = answer.headers.get("ETag") || "";
        tell(await answer.json());
      }
      failures = answer.ok || answer.status === 304 ? 0 : failures + 1;
    } catch {
      failures += 1;
    }
    timer = setTimeout(beat, PULSE * 2 ** Math.min(failures, 4));
  }

  if (icon) {
    timer = setTimeout(beat, PULSE);
    document.addEventListener("visibilitychange", beat);
  }

  // --- Where one can go. The places of the last project are kept for pages without one.

  function places() {
    const found = {};
    for (const link of document.querySelectorAll("[data-go]")) {
      found[link.dataset.go] = link.getAttribute("href");
    }
    const own = {};
    for (const link of document.querySelectorAll("#places-project + ul [data-go]")) {
      own[link.dataset.go] = link.getAttribute("href");
    }
    try {
      if (Object.keys(own).length) localStorage.setItem("places", JSON.stringify(own));
      return { ...JSON.parse(localStorage.getItem("places")), ...found };
    } catch {
      return found;
    }
  }

  const known = places();

  // --- Rows: the focus is on the first link of a row, so Enter opens it by itself.

  const linkOf = (row) => row.querySelector("a[href]");

  function rows() {
    const marked = [...document.querySelectorAll("main [data-row]")];
    const all = marked.length ? marked : [...document.querySelectorAll("main tbody tr")];
    return all.filter((row) => linkOf(row) && row.getClientRects().length);
  }

  function move(step) {
    const all = rows();
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = at < 0 ? all[step > 0 ? 0 : all.length - 1] : all[at + step];
    if (!next) return;
    linkOf(next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function tick() {
    const row = rows().find((one) => one.contains(document.activeElement));
    row?.querySelector("input[type=checkbox]")?.click();
  }

  function search() {
    const field = document.querySelector("main [type=search]");
    if (!field) return openPalette();
    field.focus();
    field.select();
  }

  // --- The palette: things, places and deeds by a few words. A deed leads to a page or
  // presses a button of this one; the combobox of ARIA 1.2.

  const finder = document.querySelector(".find");
  const shortcut = /mac|iphone|ipad/i.test(navigator.platform) ? "⌘K" : "Ctrl+K";
  const LATER = 80;
  let palette = null;

  function makePalette() {
    const field = element("input");
    const list = element("ul");
    const news = element("p");
    const box = element("dialog", "", field, list, news);
    box.className = "dialog palette";
    box.setAttribute("aria-label", "Find");
    list.id = "palette-list";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Found");
    news.className = "quiet";
    news.setAttribute("role", "status");
    const told = {
      type: "text", role: "combobox", placeholder: "A thing, a place, or what to do",
      autocomplete: "off", spellcheck: "false", "aria-label": "Find",
      "aria-controls": list.id, "aria-expanded": "true", "aria-autocomplete": "list",
    };
    for (const [name, value] of Object.entries(told)) field.setAttribute(name, value);
    document.body.append(box);

    let found = [];
    let at = 0;
    let timer = 0;
    let asked = null;
    // Enter before the answer: the best of what comes is chosen then.
    let hurried = null;

    function mark(next) {
      const options = list.children;
      options[at]?.setAttribute("aria-selected", "false");
      at = options.length ? (next + options.length) % options.length : 0;
      const option = options[at];
      if (!option) return field.removeAttribute("aria-activedescendant");
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({ block: "nearest" });
      field.setAttribute("aria-activedescendant", option.id);
    }

    function show() {
      list.replaceChildren(...found.map((line, i) => {
        const about = [line.kind, line.project].filter(Boolean).join(" · ");
        const aside = element("span", about);
        aside.className = "quiet";
        const option = element("li", "", element("span", line.title), " ", aside);
        option.id = `palette-${i}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        option.addEventListener("click", () => choose(line));
        return option;
      }));
      news.textContent = found.length ? "" : "Nothing is called that.";
      mark(0);
      if (hurried && found.length) choose(found[0], hurried.elsewhere);
    }

    async function ask() {
      clearTimeout(timer);
      timer = 0;
      asked?.abort();
      asked = new AbortController();
      const query = new URLSearchParams({ q: field.value, project: finder.dataset.find });
      try {
        const answer = await fetch(`${finder.action}?${query}`, {
          headers: { Accept: "application/json" },
          redirect: "manual",
          signal: asked.signal,
        });
        // The session has ended: the page of the sign-in comes by loading this one.
        if (answer.type === "opaqueredirect") return location.reload();
        if (!answer.ok) throw new Error(answer.status);
        found = (await answer.json()).found;
        asked = null;
        show();
      } catch (error) {
        if (error.name === "AbortError") return;
        news.textContent = "The search does not answer.";
        asked = null;
      }
      hurried = null;
    }

    function choose(line, elsewhere) {
      hurried = null;
      box.close();
      if (line.press) document.getElementById(line.press)?.click();
      else if (elsewhere) window.open(line.url, "_blank", "noopener");
      else location.assign(line.url);
    }

    field.addEventListener("input", () => {
      hurried = null;
      clearTimeout(timer);
      timer = setTimeout(ask, LATER);
    });
    field.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "ArrowDown") mark(at + 1);
      else if (event.key === "ArrowUp") mark(at - 1);
      else if (event.key === "Enter") {
        const elsewhere = event.ctrlKey || event.metaKey;
        if (timer || asked) hurried = { elsewhere };
        else if (found[at]) choose(found[at], elsewhere);
      } else return;
      event.preventDefault();
    });
    // Beside the dialog, on what is behind it.
    box.addEventListener("click", (event) => {
      if (event.target === box) box.close();
    });
    box.addEventListener("close", () => {
      clearTimeout(timer);
      asked?.abort();
      hurried = null;
    });
    return () => {
      field.value = "";
      box.showModal();
      ask();
    };
  }

  function openPalette() {
    palette ??= makePalette();
    palette();
  }

  if (finder) {
    const field = finder.querySelector("input");
    if (matchMedia("(hover: hover)").matches) field.placeholder = `Find  ${shortcut}`;
    field.setAttribute("aria-keyshortcuts", "Control+K Meta+K");
  }

  // --- Keys. `?` shows this table.

  const KEYS = [
    ["/", "Search this list, or everything", search],
    ["j", "Next row", () => move(1)],
    ["k", "Row before", () => move(-1)],
    ["Enter", "Open the row", null],
    ["x", "Tick the row", tick],
    ["?", "Show these keys", () => help()],
  ];
  const GO = [
    ["h", "Home"],
    ["p", "Projects"],
    ["i", "Warehouse imports"],
    ["s", "Warehouse sources"],
    ["c", "Cloud connectors"],
    ["n", "Ingestions"],
    ["f", "Files"],
    ["l", "Lookup tables"],
    ["a", "Service accounts"],
    ["j", "Jobs"],
    ["e", "Errors"],
  ];
  const single = root.dataset.shortcuts !== "off" && Boolean(icon);

  function element(name, text, ...inside) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    made.append(...inside);
    return made;
  }

  function line(keys, words) {
    const term = element("dt");
    keys.forEach((key, i) => term.append(i ? " " : "", element("kbd", key)));
    return [term, element("dd", words)];
  }

  let dialog = null;

  function help() {
    if (!dialog) {
      dialog = element("dialog");
      dialog.className = "dialog keys";
      const heading = element("h2", "Keys");
      heading.id = "keys-heading";
      dialog.setAttribute("aria-labelledby", heading.id);
      const list = element("dl");
      if (single) {
        for (const [key, words] of KEYS) list.append(...line([key], words));
        for (const [key, words] of GO) {
          if (known[key]) list.append(...line(["g", key], words));
        }
      }
      list.append(...line([shortcut], "Find a thing, a place, or what to do"));
      list.append(...line(["Esc"], "Close what is open"));
      const close = element("button", "Close");
      close.addEventListener("click", () => dialog.close());
      dialog.append(heading, list, element("p", "", close));
      document.body.append(dialog);
    }
    dialog.showModal();
  }

  const TYPED = "select, textarea, [contenteditable], " +
    "input:not([type=checkbox], [type=radio], [type=button], [type=submit])";
  let going = 0;

  function pressed(event) {
    if (!single || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.isComposing || event.repeat && !"jk".includes(event.key)) return;
    if (event.target.closest(TYPED) || document.querySelector("dialog[open]")) return;
    const second = Date.now() < going;
    going = 0;
    if (second) {
      if (!GO.some(([key]) => key === event.key)) return;
      event.preventDefault();
      location.assign(known[event.key] || known.p);
      return;
    }
    if (event.key === "g") {
      going = Date.now() + SECOND_KEY;
      return;
    }
    const found = KEYS.find(([key, , act]) => act && key === event.key);
    if (!found) return;
    event.preventDefault();
    found[2]();
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented) return;
    const held = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    if (!held || event.key.toLowerCase() !== "k" || !finder) return pressed(event);
    event.preventDefault();
    if (!document.querySelector("dialog[open]")) openPalette();
  });

  for (const button of document.querySelectorAll("[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", help);
  }
})();
