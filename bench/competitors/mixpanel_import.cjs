// mixpanel-import as a program of one's own would call it: node mixpanel_import.cjs FILE
// [highWater]. 10 workers and gzip are what its command line uses and what it advises.
const path = require("node:path");
const modules = path.join(process.env.BENCH_MODULES, "mixpanel-import");
const mixpanelImport = require(modules);

const [file, highWater] = process.argv.slice(2);
const credentials = { acct: "bench.mp-service-account", pass: "bench", project: 1 };
const options = { recordType: "event", streamFormat: "jsonl", compress: true, workers: 10 };
if (highWater) options.highWater = Number(highWater);

mixpanelImport(credentials, file, options).then(
  (summary) => {
    console.log(JSON.stringify({ total: summary.total, success: summary.success }));
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
