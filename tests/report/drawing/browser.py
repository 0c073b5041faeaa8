"""A headless browser that a test controls: Chromium's DevTools protocol, over a pair of pipes.

The keys, clicks and touches are those of a user: they pass through the browser's own handling of input.
"""

import base64
import itertools
import json
import os
import select
import shutil
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("XPNET_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
TIMEOUT = 120.0  # seconds, for anything that a test waits for
KEYS = {" ": ("Space", 32), "Tab": ("Tab", 9), "Escape": ("Escape", 27), "Enter": ("Enter", 13)} | {
    f"Arrow{name}": (f"Arrow{name}", 37 + i)
    for i, name in enumerate(("Left", "Up", "Right", "Down"))
}


def pipe():
    """The two ends of a pipe, whose numbers are not 3 or 4: as the browser starts, these become its own."""
    import fcntl  # not on Windows

    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high


class Browser:
    """One browser with one page.

    Attributes
    ----------
    events : list of dict
        What the browser has reported so far: requests, messages in the console, uncaught errors.
    """

    def __init__(self, profile):
        reads, self.writer = pipe()  # the browser reads its file 3, and writes to its file 4
        self.reader, writes = pipe()
        self.process = os.posix_spawnp(
            BROWSER,
            [BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reads, 3),
                (os.POSIX_SPAWN_DUP2, writes, 4),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
        os.close(reads)
        os.close(writes)
        self.rest = b""
        self.numbers = itertools.count(1)
        self.session = None
        self.events = []
        (target,) = [
            x for x in self.call("Target.getTargets")["targetInfos"] if x["type"] == "page"
        ]
        attached = {"targetId": target["targetId"], "flatten": True}
        self.session = self.call("Target.attachToTarget", **attached)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        """End the browser."""
        self.call("Browser.close")
        os.waitpid(self.process, 0)
        os.close(self.writer)
        os.close(self.reader)

    def call(self, method, **parameters):
        """Call a method of the protocol, and return its result."""
        (result,) = self.calls((method, parameters))
        return result

    def calls(self, *calls):
        """Call methods one after the other, without waiting in between, and return their results."""
        numbers = [self._send(*call) for call in calls]
        answers = {}
        while len(answers) < len(numbers):
            message = self._next()
            if "id" in message:
                answers[message["id"]] = message
            else:
                self.events.append(message)
        for number, call in zip(numbers, calls, strict=True):
            assert "error" not in answers[number], (call, answers[number]["error"])
        return [answers[number]["result"] for number in numbers]

    def _send(self, method, parameters):
        """Call a method, and return the number that its answer will have."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        return number

    def _next(self):
        """The next message of the browser."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.reader], [], [], TIMEOUT)
            assert ready, f"The browser was silent for {TIMEOUT} s."
            self.rest += os.read(self.reader, 2**20)
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def run(self, code):
        """The value of a JavaScript expression on the page; a promise is awaited."""
        found = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, code):
        """Wait until a JavaScript expression is true, and return its value."""
        end = time.monotonic() + TIMEOUT
        while not (value := self.run(code)):
            assert time.monotonic() < end, (
                f"Not true after {TIMEOUT} s: {code}\n{self.complaints()}"
            )
            time.sleep(0.02)
        return value

    def open(self, path, width=1200, height=900, scale=1):
        """Open a file in a window of this size, and wait until its network runs."""
        self.resize(width, height, scale)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.settle()

    def settle(self):
        """Wait until the page shows what the network makes of the drawing."""
        self.wait("document.documentElement?.dataset.state === 'ready'")

    def resize(self, width, height=900, scale=1):
        """Make the window this large, in CSS pixels."""
        metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": scale,
            "mobile": width < 600,
        }
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def prefer(self, **features):
        """Set what the user prefers: color_scheme="dark", reduced_motion="reduce"."""
        media = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self.call("Emulation.setEmulatedMedia", features=media)

    def mouse(self, points):
        """Draw a stroke through these points of the window, with the left button held."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        self.calls(
            *(
                ("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **button})
                for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True)
            )
        )

    def touch(self, points):
        """Draw a stroke through these points of the window, with a finger."""
        kinds = ["touchStart", *["touchMove"] * (len(points) - 1), "touchEnd"]
        places = [*([{"x": x, "y": y}] for x, y in points), []]
        self.calls(
            ("Emulation.setTouchEmulationEnabled", {"enabled": True}),
            *(
                ("Input.dispatchTouchEvent", {"type": kind, "touchPoints": place})
                for kind, place in zip(kinds, places, strict=True)
            ),
            ("Emulation.setTouchEmulationEnabled", {"enabled": False}),
        )

    def press(self, *keys):
        """Press and release keys, one after the other."""
        for key in keys:
            code, number = KEYS.get(key, (f"Key{key.upper()}", ord(key.upper()[0])))
            pressed = {"key": key, "code": code, "windowsVirtualKeyCode": number}
            if len(key) == 1 or key == "Enter":
                pressed["text"] = "\r" if key == "Enter" else key
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed)
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def box(self, name):
        """Left, top and width of an element, in CSS pixels of the window."""
        code = f"(({{left, top, width}}) => [left, top, width])(document.getElementById('{name}').getBoundingClientRect())"
        return self.run(code)

    def click(self, name):
        """Click the middle of an element."""
        code = f"(b => [b.left + b.width / 2, b.top + b.height / 2])(document.getElementById('{name}').getBoundingClientRect())"
        self.mouse([self.run(code)])

    def screenshot(self, path, whole=True):
        """Save the page as a PNG file: the whole of it, or what the window shows."""
        code = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(code))

    def requested(self):
        """The addresses of all requests, other than that for the page and for data in the page itself."""
        urls = [
            e["params"]["request"]["url"]
            for e in self.events
            if e.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls[1:] if not url.startswith(("data:", "blob:"))]

    def complaints(self):
        """The messages in the console, and uncaught errors."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in kinds]
