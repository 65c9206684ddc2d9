"""Real servers and workers for the end-to-end tests: each is started here and ended here, by its own process group."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar

import httpx

Found = TypeVar("Found")

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "OMP_NUM_THREADS": "1",
}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bare_environment(home: Path, **more: str) -> dict[str, str]:
    """Return the least a process needs: nothing of the caller's Prefect or AWS settings comes along."""
    home.mkdir(parents=True, exist_ok=True)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "PREFECT_HOME": str(home / ".prefect"), **QUIET, **more}


def wait_for(look: Callable[[], Found | None], what: str, seconds: float = 300) -> Found:
    """Return the first thing that ``look`` finds; fail with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"after {seconds:.0f} s there is still no {what}")


class Running:
    """A process and everything it starts, wherever it hides: all of them carry the same mark in their environment."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.mark = f"E2E_MARK={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env={**environment, name: value}, cwd="/", stdout=output, stderr=subprocess.STDOUT
            )

    def members(self) -> list[int]:
        """Ids of all processes with the mark; a child in a session of its own is found too."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._marked(entry)]

    def _marked(self, entry: Path) -> bool:
        try:
            return self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return False

    def kill(self) -> None:
        """Kill all members at once, as when a container is killed."""
        while members := self.members():
            for member in members:
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.05)
        self.process.wait(timeout=30)

    def end(self, seconds: float = 15) -> None:
        """Ask the process to end, then kill what is left."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)
        self.kill()


@contextmanager
def running(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a process; end it with all its children afterwards."""
    started = Running(command, environment, log)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run PostgreSQL, as a server in production does, with a database of its own; yield Prefect's address of it.

    Where PostgreSQL is not installed the address is empty: SQLite will do, but its one writer makes many clients wait.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        yield ""
        return
    data, port = Path(tempfile.mkdtemp(prefix="segmentation-postgres-")), free_port()
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(data, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    make = [str(programs[-1].with_name("initdb")), "-D", str(data), "-U", "prefect", "-A", "trust", "--no-sync"]
    subprocess.run([*as_user, *make], env=environment, cwd="/", check=True, capture_output=True)
    options = ["-k", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    command = [*as_user, str(programs[-1]), "-D", str(data), *options]
    try:
        with running(command, environment, folder / "postgres.log"):
            wait_for(lambda: _listens(port), "answer of PostgreSQL", 60)
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def prefect_server(folder: Path, **settings: str) -> Iterator[str]:
    """Run a Prefect server with a database of its own; yield the address of its API."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = bare_environment(
        folder / "server",
        PREFECT_UI_URL=address,
        PREFECT_SERVER_UI_API_URL=f"{address}/api",
        PREFECT_SERVER_DATABASE_TIMEOUT="60",  # SQLite has one writer; on a busy machine it is waited for longer
        PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT="60",
        **settings,
    )
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, environment, folder / "server.log") as server:
        wait_for(lambda: answers(server, f"{address}/api/health"), "answer of the Prefect server")
        yield f"{address}/api"


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """Run moto's AWS; yield its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, bare_environment(folder), folder / "moto.log") as server:
        wait_for(lambda: answers(server, f"{address}/moto-api/"), "answer of moto")
        yield address


def answers(server: Running, address: str) -> bool:
    """Whether the server answers at the address without an error of its own; fails when its process has ended."""
    assert server.process.poll() is None, f"{server.process.args} has ended before it answered"
    try:
        return httpx.get(address, timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


@contextmanager
def webhook_receiver() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Listen for alerts; yield the address and the list that they are added to, each with the second it came."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            received.append({**body, "at": time.time()})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts", received
    finally:
        server.shutdown()
        server.server_close()
