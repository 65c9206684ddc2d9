"""One account, several workers: a global limit on a real server paces them together, not each by itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.destinations.limits import KEPT_SECONDS
from tasks.destinations.task import GlobalPace, limit_name
from tasks.errors import ConfigurationError, TransientError
from tests.e2e.processes import bare_environment, free_port, prefect_server

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
WORKERS = 2
WORKER = """
import json, sys, time
from tasks.destinations.task import GlobalPace
account, calls, per_second = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
pace = GlobalPace()
pace(account, per_second)
at = []
for _ in range(calls):
    pace(account, per_second)
    at.append(time.time())
print(json.dumps(at))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("limits")) as api:
        yield api


def times_of_calls(api: str, folder: Path, account: str, calls: int, per_second: float = 1e6) -> list[list[float]]:
    """When each of two worker processes was allowed to call; only the server paces them unless told otherwise."""
    environment = bare_environment(folder, PREFECT_API_URL=api, PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", WORKER, account, str(calls), str(per_second)]
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * WORKERS
    return [json.loads(one) for one in said]


def create_limit(api: str, account: str, per_second: float) -> None:
    assert limit_name("intercom:shop") == "segmentation-intercom-shop"
    limit = {"name": limit_name(account), "limit": int(per_second) or 1, "slot_decay_per_second": per_second}
    httpx.post(f"{api}/v2/concurrency_limits/", json=limit).raise_for_status()


@pytest.mark.parametrize(
    ("per_second", "calls", "kept_seconds"),
    [pytest.param(8, 16, 0.0, id="one by one"), pytest.param(40, 100, KEPT_SECONDS, id="in batches")],
)
def test_two_workers_share_the_pace_of_an_account(
    server: str, tmp_path: Path, per_second: int, calls: int, kept_seconds: float
) -> None:
    account = f"intercom:token-of-shop-{per_second}"
    create_limit(server, account, per_second)
    at = sorted(moment for worker in times_of_calls(server, tmp_path, account, calls) for moment in worker)
    assert len(at) == WORKERS * calls
    for window_seconds in (0.5, 1, 2):
        busiest = max(sum(start <= one < start + window_seconds for one in at) for start in at)
        allowed = per_second + per_second * (window_seconds + kept_seconds)
        assert busiest <= allowed + 1, "a full bucket, what came back since, and what was kept"
    assert at[-1] - at[0] >= (len(at) - 2 * per_second) / per_second - kept_seconds


def test_a_limit_whose_slots_never_come_back_is_refused(server: str) -> None:
    create_limit(server, "hubspot:12", 0)
    with temporary_settings({PREFECT_API_URL: server}), pytest.raises(ConfigurationError, match="set its per_second"):
        GlobalPace()("hubspot:12", 160.0)


def test_a_server_that_does_not_answer_stops_the_sending() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: nowhere}), pytest.raises(TransientError, match="could not be asked"):
        GlobalPace()("hubspot:12", 160.0)


def test_an_account_without_a_limit_gets_the_one_its_platform_allows(server: str, tmp_path: Path) -> None:
    at = sorted(moment for worker in times_of_calls(server, tmp_path, "mailchimp:another", 12, 6) for moment in worker)
    found = httpx.get(f"{server}/v2/concurrency_limits/{limit_name('mailchimp:another')}").json()
    assert (found["limit"], found["slot_decay_per_second"]) == (6, 6)
    assert at[-1] - at[0] >= (len(at) - 2 * 6) / 6, "each alone would be done in half the time"
