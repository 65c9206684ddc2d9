"""kill -9 at every stage of the daily job, then the same command: it ends like an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tasks.config import load_config
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS
from tasks.lake.opened import open_lake
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.e2e]

COMMAND = [sys.executable, "-m", "flows.cli", "run", "--as-of", "2025-07-01", "--push", "apply", "--json"]
STAGES = ("rows read", "measured", "segmented", "report written", "enter")
TABLES = ("orders", "customers", "customer_features", "customer_segments", "kpis", "sync_ledger")
ROOT = Path(__file__).parents[2]
# Whoever is held out is drawn by a key; lakes that are compared draw by the same one.
SAME_DRAW = "campaigns: {holdout_key_secret: holdout-key}\n"


def start(config: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PREFECT_HOME": str(config.parent / "prefect"), "COLUMNS": "200"}
    environment["HOLDOUT_KEY"] = "one key for all lakes"
    return subprocess.Popen(
        [*COMMAND, "--config", str(config)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(config: Path) -> dict[str, object]:
    process = start(config)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


def kill_at(config: Path, marker: str) -> None:
    """Kill the job and the server it started the moment it says ``marker``."""
    process = start(config)
    for line in process.stderr:
        if marker in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()


def lake_of(config: Path) -> Lake:
    return open_lake(load_config(str(config)))


def content(lake: Lake) -> dict[str, str]:
    day = date(2025, 7, 1)
    found = {table: lake.fingerprint(lake.latest(table)) for table in TABLES if table != "sync_ledger"}
    columns = [
        name for name in CONTRACTS["order_lines"].names if name != "batch"
    ]  # it names the file, which lies elsewhere
    found["order_lines"] = str(lake.read(lake.latest("order_lines"), columns=columns).to_pylist())
    ledger = lake.read(lake.latest("sync_ledger"), columns=["customer_id", "digest"]).to_pylist()
    answers = lake.read(
        lake.latest("sync_answers"), columns=["customer_id", "verdict"], where={"as_of": day}
    ).to_pylist()
    return {**found, "sync_ledger": json.dumps(ledger, sort_keys=True), "answers": json.dumps(answers, sort_keys=True)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    config = write_shop(tmp_path_factory.mktemp("undisturbed") / "shop", more=SAME_DRAW)
    finish(config)
    return content(lake_of(config))


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_killed_at_any_stage_ends_like_an_undisturbed_one(stage, tmp_path, undisturbed):
    config = write_shop(tmp_path / "shop", more=SAME_DRAW)
    kill_at(config, stage)
    lake = lake_of(config)
    before = {table: lake.latest(table).version for table in ("customer_features", "customer_segments")}
    summary = finish(config)
    assert summary["intake"]["rows_read"] == summary["intake"]["rows_kept"]
    assert content(lake) == undisturbed
    finished = {"segmented": ["customer_features"], "report written": list(before), "enter": list(before)}
    for table in finished.get(stage, []):
        assert lake.latest(table).version == before[table], f"{table} was computed again"
