// data-age="42": seconds that something is old when the server says so. It counts on, also
// while no answer comes, so that silence is seen.
"use strict";

(() => {
  const since = new WeakMap();

  function lasting(seconds) {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  }

  setInterval(() => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-age]")) {
      if (!since.has(part)) since.set(part, Date.now() - 1000 * part.dataset.age);
      const seconds = Math.max(0, Math.floor((Date.now() - since.get(part)) / 1000));
      part.textContent = `${lasting(seconds)} ago`;
    }
  }, 1000);
})();
