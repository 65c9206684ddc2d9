"""The back-test as one run: every target graded, champions stored, and the daily job uses them."""

import json
from datetime import date, timedelta

import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.config import load_config
from tasks.errors import ConfigurationError
from tasks.lake.opened import open_lake
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]

TARGETS = {"lifetime_value", "churn", "next_order", "recommendations.repeat", "recommendations.new", "segments"}
TARGETS |= {"replenishment"}
CUTOFF, MORNING = date(2025, 7, 4), date(2025, 8, 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, prefect_server):
    """A shop whose empty lake the back-test filled by itself, with what it reported."""
    from flows.backtest_models import backtest_models

    config = write_shop(tmp_path_factory.mktemp("shop"))
    return config, backtest_models(str(config))


def lake_of(config):
    return open_lake(load_config(str(config)))


def grades_of(config):
    lake = lake_of(config)
    return lake.read(lake.latest("model_grades")).to_pylist()


def test_every_target_is_graded_on_the_last_window_that_closed(shop):
    _, report = shop
    assert set(report.targets) == TARGETS
    assert report.graded_on == MORNING
    for name, grade in report.targets.items():
        assert grade.champion is not None
        assert grade.metrics
        assert grade.champion not in grade.rivals
        assert grade.naive in {grade.champion, *grade.rivals}
        assert (grade.windows.graded.first, grade.windows.graded.end) == (CUTOFF, MORNING)
        assert grade.windows.chosen is None or grade.windows.chosen.end <= MORNING
        assert (grade.customers > 0) == (name != "recommendations.new"), "four products leave nothing new to buy"


def test_each_target_has_one_champion_and_every_model_says_why_it_is_used_or_not(shop):
    config, _ = shop
    rows = grades_of(config)
    used = {(row["target"], row["model"]) for row in rows if row["champion"]}
    assert len(used) == len({target for target, _ in used})
    assert {target for target, _ in used} == {row["target"] for row in rows} == TARGETS
    assert all(row["note"] for row in rows if not row["metric"].startswith(("reliability", "interval")))


def test_no_champion_is_below_its_naive_rival(shop):
    _, report = shop
    deciding = {"lifetime_value": "concentration", "churn": "auc", "segments": "eta_squared"}
    deciding |= {f"recommendations.{task}": "ndcg_at_10" for task in ("repeat", "new")}
    for target, metric in deciding.items():
        grade = report.targets[target]
        naive = grade.rivals.get(grade.naive, grade.metrics)
        assert grade.metrics[metric].value >= naive[metric].value


def test_customers_of_the_past_morning_leave_no_trace_in_the_lake(shop):
    config, _ = shop
    lake = lake_of(config)
    assert CUTOFF not in lake.days("customer_features")
    assert CUTOFF not in lake.days("customer_segments")
    assert lake.latest("cluster_models").version is None


def test_the_command_writes_the_same_grades_as_json_and_the_lake_stays_as_it_was(shop, tmp_path):
    config, report = shop
    lake = lake_of(config)
    before = lake.fingerprint(lake.latest("model_grades"))
    file = tmp_path / "grades.json"
    options = ["--config", str(config), "--cutoff", str(CUTOFF), "--horizon-days", "28", "--json", str(file)]
    done = CliRunner().invoke(main, ["backtest", *options])
    assert done.exit_code == 0, done.output
    told = json.loads(file.read_text())
    assert told == json.loads(report.as_json())
    assert told["churn"]["windows"]["graded"] == {"first": "2025-07-04", "end": "2025-08-01"}
    assert lake.fingerprint(lake.latest("model_grades")) == before


def test_the_daily_job_predicts_with_the_champions(shop):
    from flows.segment_customers import segment_customers

    config, report = shop
    done = segment_customers(str(config), MORNING, "plan")
    lake = lake_of(config)
    features = lake.read(lake.latest("customer_features"), where={"as_of": MORNING}).to_pylist()
    chosen = {name: grade.champion for name, grade in report.targets.items()}
    said = "spend {lifetime_value}, churn {churn}, next order {next_order}".format(**chosen)
    assert {row["prediction_model"] for row in features if row["orders"]} == {said}
    assert "How good the predictions are" in (config.parent / "lake" / "reports" / f"{MORNING}.html").read_text()
    assert done.report.endswith(f"{MORNING}.html")


def test_a_window_that_has_not_closed_is_refused_with_the_last_that_has(shop):
    from flows.backtest_models import backtest_models

    config, _ = shop
    with pytest.raises(ConfigurationError, match=r"has not closed.*on or before 2025-07-04"):
        backtest_models(str(config), CUTOFF + timedelta(days=1), 28)
