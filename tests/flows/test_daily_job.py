"""The daily job as one run: repeatable, resumable, and silent when nothing changed."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from tasks.config import load_config
from tasks.errors import CheckFailedError, ConfigurationError
from tasks.lake.opened import open_lake
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

DAY = date(2025, 7, 1)
LATER = date(2025, 8, 1)
TABLES = ("orders", "order_lines", "customers", "customer_features", "customer_segments", "segment_profiles", "kpis")


def run(config: Path, day: date = DAY, push: str = "apply", lake: Path | None = None):
    from flows.segment_customers import segment_customers

    return segment_customers(str(config), day, push, str(lake) if lake else None)


def lake_of(config: Path, lake: Path | None = None):
    return open_lake(load_config(str(config), {"lake": str(lake)} if lake else None))


def content(config: Path, place: Path | None = None) -> dict[str, str]:
    lake = lake_of(config, place)
    return {table: lake.fingerprint(lake.latest(table)) for table in TABLES}


@pytest.fixture(scope="module")
def morning(tmp_path_factory, prefect_server):
    """The shop after its first day, and what that run said; tests that change something work on copies."""
    config = write_shop(tmp_path_factory.mktemp("morning"))
    return config, run(config)


@pytest.fixture
def shop(morning, tmp_path):
    """A copy of the shop after its first day, with a lake of its own name."""
    shutil.copytree(morning[0].parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "lake" / "_identity").unlink()
    return tmp_path / morning[0].name


def test_every_customer_gets_one_segment_and_money_reconciles(morning):
    _, summary = morning
    assert summary.customers == 62
    assert sum(segment.customers for segment in summary.segments) == 62
    assert summary.intake.reconciled
    assert summary.intake.rows_read > 0
    assert [push.delivered for push in summary.pushes] == [62]
    assert Path(summary.report).read_text().startswith("<!doctype html>")


def test_the_same_day_twice_changes_nothing_and_sends_nothing(morning):
    config, _ = morning
    first, versions = content(config), [str(lake_of(config).latest(table)) for table in TABLES[:6]]
    again = run(config)
    assert content(config) == first
    assert [str(lake_of(config).latest(table)) for table in TABLES[:6]] == versions
    assert [(push.enters, push.updates, push.leaves, push.unchanged) for push in again.pushes] == [(0, 0, 0, 62)]


@pytest.mark.e2e  # another daily job
def test_two_lakes_filled_from_the_same_files_are_equal(morning, tmp_path):
    config, _ = morning
    run(config, push="plan", lake=tmp_path / "two")
    assert content(config, tmp_path / "two") == content(config)


@pytest.mark.e2e  # another daily job
def test_a_later_day_moves_people_and_says_who_and_why(shop):
    later = run(shop, LATER)
    lake = lake_of(shop)
    moves = lake.read(lake.latest("segment_moves"), where={"as_of": LATER}).to_pylist()
    assert later.moved == len(moves) > 0
    assert all(move["why"] and move["from_segment"] != move["to_segment"] and move["since"] == DAY for move in moves)
    assert "Who moved" in Path(later.report).read_text()
    assert run(shop, LATER).pushes[0].unchanged == 62


@pytest.mark.e2e  # another daily job
def test_a_lake_that_was_deleted_is_not_mistaken_for_the_old_one(shop):
    shutil.rmtree(shop.parent / "lake")
    assert run(shop, push="plan").customers == 62


@pytest.mark.e2e  # another daily job
def test_a_source_that_lost_most_of_its_rows_stops_the_run_before_the_push(tmp_path):
    shop = write_shop(tmp_path)
    run(shop)
    before = content(shop)["customer_segments"]
    month = [f"N{number},C00{number % 9},2025-09-01 10:00:00,tea,1,4.00" for number in range(20)]
    header = "receipt,customer,sold_at,sku,quantity,amount"
    (shop.parent / "data" / "orders_2.csv").write_text("\n".join([header, *month]) + "\n")
    with pytest.raises(CheckFailedError, match="pos-orders"):
        run(shop, LATER)
    assert content(shop)["customer_segments"] == before


MISTAKES = {
    "segments": (
        "primary:\n  - id: all\n    label: All\n    when: {field: recency_dayz, op: '<=', value: 3}\n",
        r"mistaken.yaml.*line 4.*recency_days",
    ),
    "playbook": ("plays:\n  - {id: hello, audience: vipp}\n", r"(?s)mistaken.yaml.*hello.*audience: unknown"),
}


@pytest.mark.parametrize("file", MISTAKES)
def test_a_mistake_of_a_marketer_is_told_with_its_place_before_anything_is_read(tmp_path, file):
    text, told = MISTAKES[file]
    config = write_shop(tmp_path, more=f"{file}: mistaken.yaml\n")
    (tmp_path / "mistaken.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        run(config)
    assert lake_of(config).latest("intake_log").version is None


def test_no_orders_at_all_is_a_clear_stop(tmp_path):
    config = write_shop(tmp_path)
    (tmp_path / "data" / "orders.csv").unlink()
    with pytest.raises(CheckFailedError, match="0 files match"):
        run(config)
