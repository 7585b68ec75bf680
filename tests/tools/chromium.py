"""A page in a headless Chromium, driven through a pipe (the Chrome DevTools protocol): no further package is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell")
PATIENCE = 120.0  # seconds until a page that does not answer is an error


def program() -> str | None:
    """The browser on PATH, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """The one page of a browser that lives as long as the with block. problems: errors in its console."""

    def __init__(self, folder, width: int = 1400, height: int = 900):
        self.folder, self.size = str(folder), f"{width},{height}"
        self.problems: list[str] = []

    def __enter__(self):
        down, self._write = os.pipe()
        self._read, up = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={self.folder}",
                 f"--window-size={self.size}", "about:blank"]
        line = f'exec "$0" "$@" 3<&{down} 4>&{up}'  # the pipes are its file descriptors 3 and 4
        self._process = subprocess.Popen(["/bin/bash", "-c", line, program(), *flags], pass_fds=(down, up),
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(down)
        os.close(up)
        self._rest, self._count, self._session, self._loaded = b"", 0, None, set()
        target = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        return self

    def __exit__(self, *error):
        os.close(self._write)  # so it ends
        os.close(self._read)
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()

    def _message(self) -> dict:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            part = os.read(self._read, 1 << 16)
            if not part:
                raise ConnectionError(f"Chromium has ended with status {self._process.wait()}")
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(first)
        what = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                found = what["exceptionDetails"]
                self.problems.append(found.get("exception", {}).get("description") or found["text"])
            case "Log.entryAdded" if what["entry"]["level"] == "error":
                self.problems.append(what["entry"]["text"])
            case "Page.lifecycleEvent" if what["name"] == "load":
                self._loaded.add(what["loaderId"])
        return message

    def _call(self, method: str, **parameters) -> dict:
        self._count += 1
        asked = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            m = self._message()
            if m.get("id") == self._count:
                if "error" in m:
                    raise RuntimeError(f"{method}: {m['error']}")
                return m["result"]

    def go(self, address: str) -> None:
        """Open an address, and wait until its document has been read whole."""
        loader = self._call("Page.navigate", url=address)["loaderId"]
        while loader not in self._loaded:
            self._message()

    def prefer(self, scheme: str) -> None:
        """Emulate a preference: "dark" or "light"."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, expression: str):
        """The value of a JavaScript expression in the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, expression: str):
        """Its value, once it is true."""
        end = time.monotonic() + PATIENCE
        while True:
            value = self.run(expression)
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}; problems: {self.problems}")
            time.sleep(0.05)

    def picture(self, path) -> None:
        """Save what the page looks like as a PNG."""
        with open(path, "wb") as f:
            f.write(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))
