"""The Prefect server of a single command: it starts while the flow is still being imported.

Prefect starts such a server by itself where no API is configured, but only when a flow runs, and after loading the
whole server into this process too. On two cores that is six seconds and a hundred megabytes of every command.
"""

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import httpx

HEALTH_SECONDS = 0.1
STOP_SECONDS = 5
_FACTORY = "prefect.server.api.server:create_app"
_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


@contextmanager
def flows_of(module: str) -> Iterator[Any]:
    """The imported ``module``, whose flows run on the configured API, or else on a server of this command alone.

    Should that server not come up, Prefect starts its own.
    """
    from flows.console import ERR, progress

    begin = time.monotonic()
    ERR.print("[dim]   0.0s[/dim] starting")
    server = _start()
    flows = import_module(module)
    with ExitStack() as stack:
        stack.enter_context(progress(begin))  # after the import, with which Prefect sets up its logging
        if server is not None and server.is_ready():
            stack.enter_context(server.in_use())
        yield flows


@dataclass(frozen=True, slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    address: str
    patience_seconds: float

    def is_ready(self) -> bool:
        """Wait until the server answers; false when it ended, or did not answer in time."""
        end = time.monotonic() + self.patience_seconds
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < end and self.process.poll() is None:
                try:
                    if client.get(f"{self.address}/health").is_success:
                        return True
                except httpx.TransportError:
                    pass
                time.sleep(HEALTH_SECONDS)
        return False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Point Prefect at the server."""
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: self.address}):
            yield

    def stop(self) -> None:
        """End the process; what a run remembers lies in Prefect's home."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _start() -> _Server | None:
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url:
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = ["-m", "uvicorn", "--factory", _FACTORY, "--host", "127.0.0.1", "--port", port, "--log-level", "error"]
    chosen = settings.to_environment_variables(exclude_unset=True)
    process = subprocess.Popen(  # noqa: S603 - this interpreter with fixed arguments
        [sys.executable, *command, "--lifespan", "on"], env={**os.environ, **chosen, **_ENVIRONMENT}
    )
    server = _Server(process, f"http://127.0.0.1:{port}/api", settings.server.ephemeral.startup_timeout_seconds)
    atexit.register(server.stop)  # as the last thing: Prefect sends its last lines at exit, too
    return server
