"""A headless Chromium that a test looks through: open a page, wait for words, press what says so, take a picture.

It speaks the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) and reaches loopback only.
"""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.e2e.processes import running, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
SETTLED = """
    document.readyState === 'complete' && !document.getAnimations().some(
        each => each.playState === 'running' && each.effect.getComputedTiming().iterations < 100)
"""
PRESS = """
    (() => {
        const says = each => each.innerText?.trim() === LABEL && each.getClientRects().length
        const deepest = each => says(each) && ![...each.children].some(says)
        const named = [...document.querySelectorAll('body *')].filter(deepest)
        named[0]?.click()
        return named.length
    })()
"""


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection, folder: Path) -> None:
        self.socket, self.folder, self.asked = socket, folder, 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv(timeout=60))).get("id") != self.asked:
            pass  # events of the page are not for us
        assert "error" not in answer, answer
        return dict(answer["result"])

    def value(self, script: str) -> Any:
        """What a script comes to."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def open(self, address: str, words: str) -> None:
        """Open a page and wait until it shows ``words``."""
        self.ask("Page.navigate", url=address)
        self.wait(words)

    def wait(self, words: str) -> None:
        """Wait until the page shows ``words`` and nothing moves any more."""
        shown = f"document.body?.innerText.includes({json.dumps(words)})"
        wait_for(lambda: self.value(f"{shown} && {SETTLED}"), f"{words!r} on the page", 60)

    def press(self, label: str) -> None:
        """Press the first button, link or tab of this label."""
        assert self.value(PRESS.replace("LABEL", json.dumps(label))), f"there is nothing to press that says {label}"

    @property
    def text(self) -> str:
        """All that can be read."""
        return str(self.value("document.body.innerText"))

    def picture(self, name: str) -> Path:
        """Keep what is seen as PNG; returns the file."""
        wait_for(lambda: self.value(SETTLED), "still page", 30)
        shot = self.ask("Page.captureScreenshot", format="png")["data"]
        file = self.folder / f"{name}.png"
        file.write_bytes(base64.b64decode(shot))
        return file


@contextmanager
def browsing(folder: Path, width: int = 1280, height: int = 1700) -> Iterator[Page]:
    """A browser with one tab; pictures go to ``folder``."""
    profile = Path(tempfile.mkdtemp(prefix="profile-", dir=folder))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
             f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]  # fmt: skip
    with running([str(CHROMIUM), *flags], {"HOME": str(folder), "PATH": "/usr/bin:/bin"}, folder / "browser.log"):
        port_file = profile / "DevToolsActivePort"
        port = wait_for(lambda: port_file.exists() and port_file.read_text().split(), "port of the browser", 60)[0]
        socket = wait_for(lambda: _tab(port), "tab of the browser", 60)
        with connect(socket, max_size=None, proxy=None) as connection:
            yield Page(connection, folder)


def _tab(port: str) -> str | None:
    tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=10).json()
    return next((tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"), None)
