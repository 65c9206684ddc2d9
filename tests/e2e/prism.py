"""Stoplight Prism in front of a stand-in: it holds every request and every answer against a vendor's own description.

https://docs.stoplight.io/docs/prism/3ad5c9b9c9d1a-validation-proxy
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.processes import bare_environment, free_port, running, wait_for

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PRISM = _CACHE / "segmentation-prism" / "node_modules" / ".bin" / "prism"
NODE = shutil.which("node")
needs_prism = pytest.mark.skipif(
    NODE is None or not PRISM.exists(), reason="Prism is not on this machine (sh tests/e2e/install.sh)"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RECEIVED = re.compile(r"\[HTTP SERVER\] (\w+) (\S+).*Request received")
_OBJECTION = re.compile(r"(?:Violation|Request terminated with error): (.*)")


@dataclass(frozen=True)
class Proxy:
    """A running Prism: speak to ``address``, read what it has seen and what it held against it."""

    address: str
    log: Path

    @property
    def seen(self) -> list[str]:
        """Requests that reached it, as 'METHOD path'."""
        return [f"{found[1].upper()} {found[2]}" for line in self._lines if (found := _RECEIVED.search(line))]

    @property
    def objections(self) -> list[str]:
        """What the description does not allow in requests and answers, one at a time, as 'METHOD path: words'."""
        request, found = "", []
        for line in self._lines:
            if received := _RECEIVED.search(line):
                request = f"{received[1].upper()} {received[2]}"
            elif objection := _OBJECTION.search(line):
                found.append(f"{request}: {objection[1]}")
        return found

    @property
    def _lines(self) -> list[str]:
        return _COLOUR.sub("", self.log.read_text()).splitlines()


@contextmanager
def prism(description: Path, upstream: str, *flags: str) -> Iterator[Proxy]:
    """Run Prism between a client and ``upstream``; with the flag --errors it refuses what it objects to."""
    folder, port = description.parent, free_port()
    log = folder / f"{description.stem}-{port}.log"
    environment = bare_environment(folder / "home")
    environment["PATH"] = f"{Path(str(NODE)).parent}:{environment['PATH']}"
    command = [str(PRISM), "proxy", str(description), upstream, "--port", str(port), *flags]
    with running(command, environment, log) as process:

        def listens() -> bool:
            assert process.process.poll() is None, log.read_text()
            return "Prism is listening" in log.read_text()

        wait_for(listens, "answer of Prism", 60)
        yield Proxy(f"http://127.0.0.1:{port}", log)
