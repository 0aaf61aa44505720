"""What a person would see on a page, as numbers and sentences."""

import re

from axe_playwright_python.base import AXE_SCRIPT

PHONE = {"width": 390, "height": 844}
LAPTOP = {"width": 1280, "height": 800}
RULES = (
    *("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"),
    "best-practice",
)
# Begins before anything of the page does, and is not under its policy.
OBSERVE = """
window.seen = {shifts: [], refused: []};
const name = (node) => {
  const element = node && (node.nodeType === 1 ? node : node.parentElement);
  if (!element) return "something that is gone";
  return element.tagName.toLowerCase() + (element.id ? "#" + element.id : "") +
    (element.className && element.className.split ?
      "." + element.className.trim().split(/\\s+/).join(".") : "");
};
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (!entry.hadRecentInput) window.seen.shifts.push(
      {by: entry.value, what: entry.sources.map((source) => name(source.node))});
}).observe({type: "layout-shift", buffered: true});
document.addEventListener("securitypolicyviolation", (event) => {
  window.seen.refused.push(
    `${event.effectiveDirective} refused ${event.blockedURI} ${event.sample} ` +
    `${event.sourceFile}:${event.lineNumber}`);
});
"""
AXE = """(tags) => axe.run(document, {
  runOnly: {type: "tag", values: tags}, resultTypes: ["violations"],
}).then((results) => results.violations.flatMap((rule) => rule.nodes.map(
  (node) => `${rule.id}: ${node.target.join(" ")} -- ` +
    (node.any[0] || node.all[0] || node.none[0] || {message: rule.help}).message)))"""


class Watched:
    """A page, and everything that went wrong on it so far.

    `problems` holds what the browser complained of since it was last emptied: errors
    in the console, refusals of the security policy, requests that failed.
    """

    def __init__(self, context):
        context.add_init_script(OBSERVE)
        self.page = page = context.new_page()
        self.problems = []
        self.requests = []
        self.allowed = ()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.on("request", lambda request: self.requests.append(request))
        self._sizes, self._kinds = {}, {}
        self._cdp = context.new_cdp_session(page)
        self._cdp.on("Network.responseReceived", self._received)
        self._cdp.on("Network.loadingFinished", self._finished)
        self._cdp.send("Network.enable")
        self._cdp.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _console(self, message):
        # An answer that is expected to be an error is in the console too.
        expected = self.allowed and "status of" in message.text
        # How htmx tells that a question was withdrawn, because another one followed or
        # the page was left. One that failed is told by other names.
        withdrawn = re.match("htmx:(sendAbort|afterRequest)", message.text)
        if message.type == "error" and not expected and not withdrawn:
            self.problems.append(f"console: {message.text}")

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # the page was left
            self.problems.append(f"failed: {request.url}: {request.failure}")

    def _answered(self, response):
        if response.status >= 400 and response.status not in self.allowed:
            self.problems.append(f"{response.status}: {response.url}")

    def _received(self, event):
        self._kinds[event["requestId"]] = event["type"]

    def _finished(self, event):
        if self._kinds.get(event["requestId"]) in ("Script", "Stylesheet"):
            self._sizes[event["requestId"]] = event["encodedDataLength"]

    def goto(self, url):
        """Open a page and wait until it is quiet."""
        self._sizes.clear()
        answer = self.page.goto(url)
        self.settle()
        return answer

    def settle(self):
        """Two frames: what was to be drawn is drawn."""
        self.page.evaluate(
            "() => new Promise((done) =>"
            " requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    @property
    def weight(self):
        """Bytes of scripts and styles that came over the network for this page."""
        return sum(self._sizes.values())

    def shifts(self):
        """What moved by itself, "" if nothing to speak of did."""
        seen = self.page.evaluate("() => window.seen.shifts")
        total = sum(entry["by"] for entry in seen)
        moved = sorted({what for entry in seen for what in entry["what"]})
        return f"{total:.3f} by {', '.join(moved)}" if total >= 0.01 else ""

    def refused(self):
        return self.page.evaluate("() => window.seen.refused")

    def axe(self):
        """Every violation: rule, selector, what is wrong."""
        if not self.page.evaluate("() => Boolean(window.axe)"):
            self.page.evaluate(AXE_SCRIPT)
        return self.page.evaluate(AXE, list(RULES))

    def is_fine(self):
        """Nothing went wrong so far, and the page can be read by everybody."""
        wrong = self.problems + self.refused() + self.axe()
        assert not wrong, "\n".join(wrong)

    def spills(self):
        """What sticks out of the window to the right, "" if the page fits."""
        return self.page.evaluate("""() => {
          const wide = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= wide) return "";
          const out = [...document.querySelectorAll("body *")].filter((e) =>
            e.getBoundingClientRect().right > wide + 1 && !e.closest(".scroll"));
          return `${document.documentElement.scrollWidth} wide: ` + out.slice(0, 4)
            .map((e) => e.tagName.toLowerCase() + (e.className && e.className.split ?
              "." + e.className.split(" ").join(".") : "")).join(", ");
        }""")
