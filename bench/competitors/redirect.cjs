// Loaded before mixpanel-import, whose hosts are fixed: lets its connection pools (those of
// undici) reach the sink instead. Nothing else of it is changed, and if it tried to reach
// any other host, that would fail.
const Module = require("node:module");
const sink = process.env.SINK_URL;
const load = Module._load;

Module._load = function (name, ...rest) {
  const loaded = load.call(this, name, ...rest);
  if (name !== "undici") return loaded;
  class Pool extends loaded.Pool {
    constructor(origin, options) {
      super(/^https:\/\/api(-eu|-in)?\.mixpanel\.com$/.test(origin) ? sink : origin, options);
    }
  }
  return { ...loaded, Pool };
};
