"""Two runs never change a lake at the same time, and a run that died does not block the next."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows import turns
from flows.turns import limit_name, turn
from tasks.errors import TransientError
from tasks.lake import Lake

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from flows.turns import turn
from tasks.lake import Lake
with turn(Lake(root=sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.e2e)])
def shared(request, tmp_path):
    """A lake that several runs share."""
    if request.param == "directory":
        return Lake(root=str(tmp_path / "lake"))
    request.getfixturevalue("prefect_server")
    return Lake(root=f"s3://shop/{tmp_path.name}")


def test_turns_do_not_overlap(shared):
    begun, ended = [], []

    def work(number):
        with turn(shared):
            begun.append(number)
            assert len(begun) == len(ended) + 1
            time.sleep(0.05)
            ended.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun == ended
    assert sorted(ended) == [0, 1, 2]


def test_who_waits_comes_before_who_had_the_turn_already(shared):
    order, waits = [], threading.Event()

    def daily_job():
        waits.set()
        with turn(shared):
            order.append("daily job")

    job = threading.Thread(target=daily_job)
    with turn(shared):
        order.append("refresh")
        job.start()
        waits.wait()
        time.sleep(0.5)
    with turn(shared):
        order.append("refresh")
    job.join()
    assert order == ["refresh", "daily job", "refresh"]


def test_a_run_that_was_killed_gives_its_turn_back(tmp_path):
    lake = tmp_path / "lake"
    command = [sys.executable, "-c", HOLD, str(lake)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(TransientError, match="nothing was begun"), turn(Lake(root=str(lake)), lambda: True):
            pytest.fail("two turns at once")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with turn(Lake(root=str(lake))):
            pass


def test_a_lake_has_one_limit_however_its_address_is_spelt():
    assert limit_name(Lake(root="s3://shop/lake/")) == limit_name(Lake(root="s3://shop/lake"))
    assert limit_name(Lake(root="s3://shop/lake")) != limit_name(Lake(root="s3://shop/other"))


def test_on_s3_without_a_server_of_its_own_a_run_does_not_wait(monkeypatch):
    monkeypatch.setattr(turns.PREFECT_API_URL, "value", lambda: None)
    inside = []
    with turn(Lake(root="s3://shop/lake")), turn(Lake(root="s3://shop/lake")):
        inside.append("both")
    assert inside == ["both"]
