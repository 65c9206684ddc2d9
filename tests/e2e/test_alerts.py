"""Alerts on a real server: an event per alert, one for a run however often it begins again."""

import pytest
from prefect import flow, get_client
from prefect.runtime import flow_run

from tasks.alerts.messages import Alert
from tasks.alerts.task import raise_alert, raise_alerts
from tasks.errors import CheckFailedError
from tests.e2e.processes import wait_for
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("prefect_server")]


def events_about(run_id):
    """Alert events on a run, once the server has written the last of them down."""
    wanted = {
        "filter": {
            "event": {"prefix": ["segmentation.alert."]},
            "resource": {"id": [f"prefect.flow-run.{run_id}"]},
            "occurred": {"since": "2020-01-01T00:00:00Z"},
        }
    }

    def look():
        with get_client(sync_client=True) as client:
            return client.request("POST", "/events/filter", json=wanted).json()["events"]

    return wait_for(lambda: any(one["event"].endswith("gave-up") for one in look()) and look(), "last alert", 60)


def test_a_run_that_begins_again_does_not_repeat_its_alerts():
    runs = []

    @flow(retries=1)
    def job():
        raise_alerts([Alert("brake-pulled", "hubspot", {"shrink": 0.5}), Alert("brake-pulled", "outbox")])
        runs.append(str(flow_run.id))
        if len(runs) == 1:
            raise CheckFailedError("The push was stopped.")
        raise_alert(Alert("gave-up", "job"))

    job()
    assert len(set(runs)) == 1
    assert len(runs) == 2
    told = sorted((one["event"], one["resource"]["segmentation.where"]) for one in events_about(runs[0]))
    assert told == [
        ("segmentation.alert.brake-pulled", "hubspot"),
        ("segmentation.alert.brake-pulled", "outbox"),
        ("segmentation.alert.gave-up", "job"),
    ]


def test_another_run_tells_of_the_same_thing_again():
    runs = []

    @flow
    def job():
        runs.append(str(flow_run.id))
        raise_alert(Alert("gave-up", "job"))

    job()
    job()
    assert [len(events_about(run)) for run in runs] == [1, 1]


def test_the_daily_job_names_the_source_that_it_stops_for(tmp_path, caplog):
    from flows.segment_customers import segment_customers

    config = write_shop(tmp_path)
    lines = (tmp_path / "data" / "orders.csv").read_text().splitlines()
    spoiled = [line.replace("2025-", "someday-") if number % 9 == 1 else line for number, line in enumerate(lines)]
    (tmp_path / "data" / "orders.csv").write_text("\n".join(spoiled) + "\n")
    with pytest.raises(CheckFailedError, match="rows are quarantined"):
        segment_customers(str(config), push="apply")
    assert "[segmentation] pos-orders: quarantine above limit" in caplog.text
