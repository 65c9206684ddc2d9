"""A BigQuery that runs here: bqemulator, a server with Google's REST interface and Google's SQL on DuckDB.

https://github.com/abdessamad-elamrani/bqemulator
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import answers, bare_environment, free_port, running, wait_for

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segmentation-bigquery-emulator"
needs_bigquery_emulator = pytest.mark.skipif(
    not (_CACHE / "complete.txt").exists(),
    reason="the BigQuery emulator is not on this machine (sh tests/e2e/install.sh)",
)


@contextmanager
def bigquery_emulator(folder: Path) -> Iterator[str]:
    """Run an empty BigQuery that forgets everything at its end; yield its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(_CACHE / "bin" / "bqemulator"), "start", "--ephemeral", "--log-level", "warning"]
    command += ["--rest-host", "127.0.0.1", "--rest-port", str(port), "--grpc-host", "127.0.0.1", "--grpc-port", "0"]
    with running(command, bare_environment(_CACHE / "home"), folder / "bigquery.log") as server:
        wait_for(lambda: answers(server, f"{address}/bigquery/v2/projects/shop/datasets"), "answer of BigQuery", 60)
        yield address
