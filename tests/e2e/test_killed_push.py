"""kill -9 at any moment: the next run sends only what was never answered, and nobody is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.destinations.apply import apply_plan
from tasks.destinations.journal import FOLDER, journal_files
from tasks.destinations.plan import make_plan
from tasks.errors import TransientError
from tasks.lake import Lake
from tests.destinations.world import AS_OF, AT, KEY, LOOSE, outbox, plain_connect, retailer

pytestmark = pytest.mark.e2e

PEOPLE = {f"c{i:03}": "vip" for i in range(60)}
PROGRAM = """
import time
from dataclasses import replace
from pathlib import Path
from tests.destinations.world import AT, KEY, outbox, plain_connect
from tasks.destinations import apply
from tasks.destinations.plan import read_plan
from tasks.destinations.registry import platform_of
from tasks.lake import Lake

real = platform_of("outbox")

def slow(session, target, parts):
    Path({marks!r}, parts[0].member.customer_id).touch()
    time.sleep(0.05)
    return real.push(session, target, parts)

apply.platform_of = lambda slug: replace(real, push=slow, limits=replace(real.limits, rows=5))
lake = Lake(root={root!r}, threads=1)
print("ready", flush=True)
apply.apply_plan(lake, read_plan(lake), [outbox({out!r})], plain_connect(), at=AT, person_key=KEY)
print("done", flush=True)
"""


def start(lake: Lake, out: Path, marks: Path) -> "subprocess.Popen[bytes]":
    code = PROGRAM.format(marks=str(marks), root=lake.root, out=str(out))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)


@pytest.mark.parametrize("batches_before", [1, 6])
def test_a_killed_push_is_continued_by_the_same_plan(tmp_path: Path, batches_before: int) -> None:
    lake, out, marks = retailer(tmp_path / "lake", PEOPLE), tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    plan, _ = make_plan(lake, [], [outbox(out)], LOOSE, as_of=AS_OF, at=AT, person_key=KEY)
    with start(lake, out, marks) as process:
        while len(list(marks.iterdir())) < batches_before:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = {mark.name for mark in marks.iterdir()}
    assert 0 < len(before) < 12
    assert journal_files(lake, plan.plan_id, "outbox")

    with start(lake, out, marks) as again:
        output, _ = again.communicate(timeout=60)
    assert b"done" in output
    answers = lake.read(lake.latest("sync_answers")).to_pylist()
    assert {row["customer_id"]: row["verdict"] for row in answers} == dict.fromkeys(PEOPLE, "delivered")
    assert sum(len(f.read_bytes().splitlines()) for f in out.rglob("*.ndjson")) == len(PEOPLE)
    assert len({mark.name for mark in marks.iterdir()}) == 12
    assert not list(Path(lake.root, FOLDER).rglob("*.ndjson"))


def test_a_new_plan_after_a_kill_holds_only_the_unanswered(tmp_path: Path) -> None:
    lake, out, marks = retailer(tmp_path / "lake", PEOPLE), tmp_path / "out", tmp_path / "marks"
    marks.mkdir()
    first, _ = make_plan(lake, [], [outbox(out)], LOOSE, as_of=AS_OF, at=AT, person_key=KEY)
    with start(lake, out, marks) as process:
        while len(list(marks.iterdir())) < 4:
            time.sleep(0.005)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(TransientError, match="is being pushed by another process"):
            make_plan(lake, [], [outbox(out)], LOOSE, as_of=AS_OF, at=AT, person_key=KEY)
        process.send_signal(signal.SIGKILL)
    second, _ = make_plan(lake, [], [outbox(out)], LOOSE, as_of=AS_OF, at=AT.replace(hour=7), person_key=KEY)
    assert 0 < second.destinations[0].unchanged <= 20
    assert second.changes == 60 - second.destinations[0].unchanged
    answers = lake.read(lake.latest("sync_answers")).to_pylist()
    assert len([row for row in answers if row["plan_id"] == first.plan_id]) == 60
    assert apply_plan(lake, second, [outbox(out)], plain_connect(), at=AT, person_key=KEY).complete
