"""One account, several workers: a global limit on a real server paces them together, not each by itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.destinations.task import limit_name
from tests.e2e.processes import bare_environment, prefect_server

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
ACCOUNT = "intercom:token-of-the-shop"
PER_SECOND, CALLS, WORKERS = 8, 16, 2
WORKER = f"""
import json, sys, time
from tasks.destinations.task import GlobalPace
pace = GlobalPace()
pace(sys.argv[1], 1e6)
at = []
for _ in range({CALLS}):
    pace(sys.argv[1], 1e6)
    at.append(time.time())
print(json.dumps(at))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("limits")) as api:
        yield api


def times_of_calls(api: str, folder: Path, account: str) -> list[list[float]]:
    """When each of two worker processes was allowed to call."""
    environment = bare_environment(folder, PREFECT_API_URL=api, PYTHONPATH=str(ROOT))
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, account], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(WORKERS)
    ]
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * WORKERS
    return [json.loads(one) for one in said]


def test_two_workers_share_the_pace_of_an_account(server: str, tmp_path: Path) -> None:
    name = limit_name(ACCOUNT)
    assert name == "segmentation-intercom-token-of-the-shop"
    limit = {"name": name, "limit": PER_SECOND, "active": True, "slot_decay_per_second": PER_SECOND}
    httpx.post(f"{server}/v2/concurrency_limits/", json=limit).raise_for_status()
    at = sorted(moment for worker in times_of_calls(server, tmp_path, ACCOUNT) for moment in worker)
    assert len(at) == WORKERS * CALLS
    busiest = max(sum(start <= one < start + 1 for one in at) for start in at)
    assert busiest <= 2 * PER_SECOND + 1, "a full bucket and what comes back within the second"
    assert at[-1] - at[0] >= (len(at) - 2 * PER_SECOND) / PER_SECOND


def test_an_account_without_a_limit_of_its_own_waits_for_nobody(server: str, tmp_path: Path) -> None:
    for worker in times_of_calls(server, tmp_path, "mailchimp:another"):
        assert worker[-1] - worker[0] < 1.0
