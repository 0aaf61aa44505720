"""`make page-weight`: what each page costs a laptop that is slow and far away.

A report, not a test: the figures depend on the machine. Sizes are bytes over the
network, compressed as they are served. The processor is slowed down four times and the
network is a slow mobile one (1.6 Mbit/s down, 150 ms away), as Lighthouse does it.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import chromium, installation
from tests.browser.conftest import session_of
from tests.browser.looking import LAPTOP

PAGES = {
    "sign in": "/accounts/sign-in/",
    "home": "/",
    "imports": "/projects/1/imports/",
    "import": "/projects/1/imports/1/",
    "new import": "/projects/1/imports/new/?kind=event_stream&source=1",
    "connectors": "/projects/1/connectors/",
    "ingestions": "/projects/1/ingestions/",
    "ingestion": "/projects/1/ingestions/2/",
    "rejected": "/projects/1/ingestions/2/rejected/",
    "send files": "/projects/1/ingestions/new/?kind=events",
    "jobs": "/jobs/",
}
NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_600_000 / 8,
    "uploadThroughput": 750_000 / 8,
}
# When the page can be used: its scripts have run and no task blocks it any more.
OBSERVE = """
window.cost = {paint: 0, busy: 0};
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) cost.paint = entry.startTime;
}).observe({type: "largest-contentful-paint", buffered: true});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    cost.busy = Math.max(cost.busy, entry.startTime + entry.duration);
}).observe({type: "longtask", buffered: true});
"""
READ = """() => {
  const [page] = performance.getEntriesByType("navigation");
  return {first: page.responseStart, ready: page.domContentLoadedEventEnd, ...cost};
}"""


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
    ):
        static = Path(folder, "static")
        installation.collect_static(static)
        env = {"STATIC_ROOT": str(static)}
        with installation.demo(Path(folder, "demo"), **env) as demo:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(), args=chromium.OPTIONS
            )
            session = session_of(browser, demo)
            head = ("page", "HTML", "CSS", "JS", "requests")
            head += ("cold paint", "ready", "warm paint", "ready")
            line(*head)
            for name, path in PAGES.items():
                measure(browser, session, name, demo.url + path)
            browser.close()


def line(name, *cells):
    sys.stdout.write(f"{name:<12}" + "".join(f"{cell!s:>12}" for cell in cells) + "\n")
    sys.stdout.flush()


def measure(browser, session, name, url):
    """A first visit, with nothing in the cache, and a second one."""
    options = {} if name == "sign in" else {"storage_state": session}
    context = browser.new_context(viewport=LAPTOP, **options)
    context.add_init_script(OBSERVE)
    page = context.new_page()
    control = context.new_cdp_session(page)
    sizes, kinds = {}, {}
    control.on(
        "Network.responseReceived",
        lambda event: kinds.update({event["requestId"]: event["type"]}),
    )
    control.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}),
    )
    control.send("Network.enable")
    control.send("Network.emulateNetworkConditions", NETWORK)
    control.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    times = []
    for _ in range(2):
        page.goto(url, wait_until="load")
        page.wait_for_timeout(1_500)
        seen = page.evaluate(READ)
        ready = max(seen["ready"], seen["busy"])
        times += [f"{seen['paint']:.0f} ms", f"{ready:.0f} ms"]
        if len(times) == 2:
            cold = [
                f"{sum(n for key, n in sizes.items() if kinds.get(key) == kind):,}"
                for kind in ("Document", "Stylesheet", "Script")
            ]
            requests = len(sizes)
    line(name, *cold, requests, *times)
    context.close()


if __name__ == "__main__":
    if chromium.find() is None:
        sys.exit(chromium.HELP)
    main()
