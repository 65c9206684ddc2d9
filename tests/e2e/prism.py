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


@dataclass(frozen=True)
class Proxy:
    """A running Prism: speak to ``address``, read what it has seen and what it held against it."""

    address: str
    log: Path

    @property
    def seen(self) -> list[str]:
        """Requests that reached it, as 'METHOD path'."""
        found = re.findall(r"\[HTTP SERVER\] (\w+) (\S+).*Request received", self._text)
        return [f"{method.upper()} {path}" for method, path in found]

    @property
    def objections(self) -> list[str]:
        """Everything in requests and answers that the description does not allow, and every request it broke off."""
        return re.findall(r"(?:Violation: |Request terminated with error: ).*", self._text)

    @property
    def _text(self) -> str:
        return _COLOUR.sub("", self.log.read_text())


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
