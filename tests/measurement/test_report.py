"""Key figures and the insight report of a small shop with two segments and two campaigns."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tasks.config import Config
from tasks.lake import Lake, Snapshots
from tasks.lake.contracts import CONTRACTS
from tasks.measurement.results import READS, measure_results

DAY = date(2024, 7, 1)
PEOPLE = {"ana": ("vip", 400), "ben": ("vip", 300), "cleo": ("dormant", 100), "dan": ("dormant", 0)}
NEUTRAL = {"string": "", "int64": 0, "double": 0.0, "bool": False, "date32[day]": DAY, "decimal128(18, 4)": Decimal(0)}


def filled(table: str, **values: object) -> dict[str, object]:
    """A row of a table with what a test names, and something neutral where the contract asks for a value."""
    neutral = {
        column.name: []
        if str(column.type).startswith("list")
        else NEUTRAL.get(str(column.type), datetime(2024, 6, 1, tzinfo=UTC))
        for column in CONTRACTS[table].columns
        if not column.nullable
    }
    return {**neutral, **values}


def write(lake: Lake, table: str, rows: list[dict[str, object]]) -> None:
    import pyarrow as pa

    lake.replace(table, pa.Table.from_pylist(rows, CONTRACTS[table].schema))


@pytest.fixture
def shop(lake: Lake) -> Lake:
    write(lake, "customer_features", [
        filled("customer_features", customer_id=name, as_of=DAY, orders=4, monetary=Decimal(spend), orders_90d=1,
               lifetime_value=float(spend), churn_probability=0.5, r_score=3, f_score=2)
        for name, (_, spend) in PEOPLE.items()
    ])  # fmt: skip
    write(lake, "customer_segments", [
        filled("customer_segments", customer_id=name, as_of=DAY, segment=segment)
        for name, (segment, _) in PEOPLE.items()
    ])  # fmt: skip
    write(lake, "segment_profiles", [
        filled("segment_profiles", as_of=DAY, kind="segment", segment=segment, label=label, customers=2, share=0.5,
               monetary=Decimal(spend), revenue_share=spend / 800)
        for segment, label, spend in (("vip", "VIP <b>guests</b>", 700), ("dormant", "Dormant", 100))
    ])  # fmt: skip
    write(
        lake,
        "campaign_calendar",
        [
            filled("campaign_calendar", campaign_id=name, kind=kind)
            for name, kind in (("tea", "targeted"), ("all", "mass"))
        ],
    )
    reached = [("tea", name) for name in PEOPLE] + [("all", name) for name in PEOPLE]
    events = [("delivered", *pair) for pair in reached] + [
        ("redeem", "tea", "ana"),
        ("redeem", "tea", "cleo"),
        ("redeem", "all", "ana"),
    ]
    write(lake, "engagement", [
        filled("engagement", event_id=f"{kind}-{campaign}-{name}", kind=kind, campaign_id=campaign, customer_id=name,
               event_date=date(2024, 6, 1))
        for kind, campaign, name in events
    ])  # fmt: skip
    write(lake, "intake_log", [
        filled("intake_log", source="till", uri="a.csv", status="taken", rows_read=10, rows_kept=9, rows_quarantined=1,
               last_at=datetime(2024, 6, 30, 12, tzinfo=UTC))
    ])  # fmt: skip
    return lake


def measured(lake: Lake) -> tuple[dict[tuple[str, str], float], str]:
    done = measure_results(lake, Config(lake=lake.root), DAY, Snapshots.of(lake.latest(table) for table in READS))
    figures = {(row["kpi"], row["subject"]): row["value"] for row in lake.read(done.kpis).to_pylist()}
    with open(done.report, encoding="utf-8") as page:  # noqa: PTH123 - an address of the lake
        return figures, page.read()


def test_key_figures_say_what_the_tables_hold(shop):
    figures, _ = measured(shop)
    assert figures["segment_coverage", "all"] == 1
    assert figures["freshness", "till"] == 1
    assert figures["quarantined", "till"] == pytest.approx(0.1)
    assert figures["conversion", "segment:vip"] == pytest.approx(2 / 4)
    assert figures["conversion", "campaign:tea"] == pytest.approx(2 / 4)
    assert figures["campaign_relevance", "all"] == pytest.approx(2)
    assert figures["average_order_value", "all"] == pytest.approx(800 / 16)


def test_the_page_stands_alone_and_escapes_what_it_shows(shop):
    _, page = measured(shop)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "src=" not in page
    assert "VIP <b>" not in page
    assert "VIP &lt;b&gt;guests" in page


def test_no_customer_is_named_in_the_report(shop):
    _, page = measured(shop)
    assert not any(f">{name}<" in page for name in PEOPLE)


def test_the_same_tables_give_the_same_bytes(shop):
    _, first = measured(shop)
    _, again = measured(shop)
    assert first.split("<footer>")[0] == again.split("<footer>")[0]


def test_an_empty_lake_still_gives_a_page(lake):
    figures, page = measured(lake)
    assert set(figures.values()) == {0.0}
    assert "</html>" in page
