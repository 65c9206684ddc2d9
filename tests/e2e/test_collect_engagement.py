"""Answers to campaigns between two daily runs: taken in, measured, and opt-outs of every platform known."""

from datetime import date, timedelta

import pytest

from tasks.config import load_config
from tasks.destinations.rehearsal.fake import serve
from tasks.destinations.rehearsal.stage import all_fakes
from tasks.errors import ConfigurationError
from tasks.lake.opened import open_lake
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("prefect_server")]

DAY = date(2025, 7, 1)
SOURCES = """\
  - dataset: engagement
    channel: email
    files: ./data/answers*.csv
    columns: {event_id: id, customer_id: customer, campaign_id: campaign, kind: what, at: at, machine_open: by_proxy}
"""
EVENTS = """\
id,customer,campaign,what,at,by_proxy
1,C001,june,delivered,2025-06-20 09:00:00,false
2,C002,june,delivered,2025-06-20 09:00:00,false
3,C003,june,delivered,2025-06-20 09:00:00,false
4,C004,june,delivered,2025-06-20 09:00:00,false
5,C001,june,open,2025-06-20 10:00:00,false
6,C002,june,open,2025-06-20 10:00:00,true
7,C001,june,click,2025-06-20 10:01:00,false
8,C003,june,unsubscribe,2025-06-20 11:00:00,false
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory, prefect_server):
    """A shop after its daily job, with a file of answers that has come since."""
    from flows.segment_customers import segment_customers

    config = write_shop(tmp_path_factory.mktemp("shop"))
    config.write_text(config.read_text().replace("features:", f"{SOURCES}features:"))
    segment_customers(str(config), DAY, "plan")
    (config.parent / "data" / "answers.csv").write_text(EVENTS)
    return config


def collect(config, day=DAY):
    from flows.collect_engagement import collect_engagement

    return collect_engagement(str(config), day)


def rows(config, table, **where):
    lake = open_lake(load_config(str(config)))
    return lake.read(lake.latest(table), where=where or None).to_pylist()


def test_answers_are_taken_in_and_measured_and_the_days_other_figures_stay(shop):
    before = {(row["kpi"], row["subject"]): row for row in rows(shop, "kpis", as_of=DAY)}
    told = {(row["stage"], row["subject"]) for row in rows(shop, "check_results", as_of=DAY)}
    assert not [kpi for kpi, _ in before if kpi.endswith("_rate") and kpi != "repeat_rate"]

    summary = collect(shop)

    after = {(row["kpi"], row["subject"]): row for row in rows(shop, "kpis", as_of=DAY)}
    assert summary.answers == 8
    assert summary.figures == len(after)
    assert {key: after[key] for key in before} == before
    rates = {kpi: after[kpi, "campaign:june"]["value"] for kpi in ("open_rate", "click_rate", "unsubscribe_rate")}
    assert rates == {"open_rate": 0.25, "click_rate": 0.25, "unsubscribe_rate": 0.25}, "a proxy's open is nobody's"
    assert after["open_rate", "all"]["low"] < 0.25 < after["open_rate", "all"]["high"]
    assert not any(kpi in {"bounce_rate", "spam_rate"} for kpi, _ in after), "what nobody reports is not zero"
    assert told <= {(row["stage"], row["subject"]) for row in rows(shop, "check_results", as_of=DAY)}


def test_an_unsubscribe_is_a_no_to_the_channel(shop):
    collect(shop)
    said = {row["customer_id"]: row["status"] for row in rows(shop, "consent")}
    assert said["C003"] == "denied"


def test_collecting_twice_changes_nothing(shop):
    collect(shop)
    lake = open_lake(load_config(str(shop)))
    before = {table: lake.fingerprint(lake.latest(table)) for table in ("engagement", "consent", "kpis", "orders")}
    collect(shop)
    assert {table: lake.fingerprint(lake.latest(table)) for table in before} == before


def test_before_the_daily_job_of_the_day_the_newest_segments_count(shop):
    summary = collect(shop, DAY + timedelta(days=1))
    figures = rows(shop, "kpis", as_of=DAY + timedelta(days=1))
    assert summary.figures == len(figures) > 0
    assert any(row["subject"].startswith("segment:") for row in figures)


def test_a_platform_that_cannot_be_asked_leaves_the_others_alone_and_is_told_of(shop, monkeypatch, caplog):
    fake = all_fakes()["klaviyo"]()
    fake.opt_out("c7@example.com")
    monkeypatch.setenv("KLAVIYO_KEY", fake.secret)
    with serve(fake):
        text = shop.read_text()
        config = shop.with_name("two.yaml")
        config.write_text(
            f"{text}\n  - platform: intercom\n    secret: nowhere-to-be-found\n"
            f"  - platform: klaviyo\n    secret: klaviyo-key\n    settings: {{base: '{fake.address}'}}\n"
        )
        with pytest.raises(ConfigurationError, match="nowhere-to-be-found"):
            collect(config)
    [suppressed] = rows(config, "suppressions")
    assert (suppressed["destination"], suppressed["customer_id"], suppressed["kind"]) == (
        "klaviyo",
        "C007",
        "unsubscribe",
    )
    assert "[segmentation] intercom: destination degraded" in caplog.text
