"""With approve, nothing leaves before a person has looked, and what leaves is what they saw."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client
from prefect.exceptions import CancelledRun, Pause
from prefect.flow_engine import run_flow_sync
from prefect.states import Suspended

from flows.approval import end_unapproved
from flows.segment_customers import segment_customers
from tasks.config import load_config
from tasks.destinations.plan import read_plan
from tasks.errors import CheckFailedError, ConfigurationError
from tasks.lake.opened import open_lake
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("prefect_server")]

DAY = date(2025, 7, 1)
LATE_ORDER = "receipt,customer,sold_at,sku,quantity,amount\nR9999,C001,2025-06-30 10:00:00,tea,1,4.00\n"


class Shop:
    """A shop whose daily job runs as a deployment does, in this process."""

    def __init__(self, folder: Path, client, **parameters):
        self.config, self.client = write_shop(folder), client
        flow = client.create_flow(segment_customers)
        self.deployment = client.create_deployment(flow, f"daily-{folder.name}", tags=["segmentation"])
        self.start(**parameters)

    def start(self, **parameters):
        """Create the next run."""
        wanted = {"config": str(self.config), "as_of": str(DAY), "push": "apply", "approve": True}
        self.run = self.client.create_flow_run_from_deployment(self.deployment, parameters=wanted | parameters).id

    def go(self):
        """Run it as a worker would, from the beginning; returns the state it is left in."""
        run = self.client.read_flow_run(self.run)
        with suppress(Pause, CancelledRun, CheckFailedError):
            run_flow_sync(segment_customers, flow_run=run, parameters=dict(run.parameters))
        return self.client.read_flow_run(self.run).state

    def resume(self, **form):
        self.client.resume_flow_run(self.run, run_input={"approved_by": "Mira", "release": [], **form})

    @property
    def lake(self):
        return open_lake(load_config(str(self.config)))

    def ledger(self):
        return self.lake.read(self.lake.latest("sync_ledger")).to_pylist()

    def present(self):
        """How many customers are at the destination."""
        return len([row for row in self.ledger() if row["digest"]])


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def shop(tmp_path, client):
    return Shop(tmp_path, client)


def test_nothing_is_sent_until_somebody_approves_and_then_exactly_the_plan_they_saw(shop, client):
    waiting = shop.go()
    assert waiting.name == "Suspended"
    assert shop.ledger() == []
    assert shop.lake.latest("campaign_drafts").version is None or not any(
        row["approved_by"] for row in shop.lake.read(shop.lake.latest("campaign_drafts")).to_pylist()
    )
    shown = read_plan(shop.lake)
    [page] = [one for one in artifacts(client, shop.run) if one["key"] == "push-plan"]
    assert shown.plan_id in page["data"]
    assert "| outbox | 62 |" in page["data"]

    (shop.config.parent / "data" / "orders_late.csv").write_text(LATE_ORDER)  # for the next run
    shop.resume()
    done = shop.go()

    assert done.name == "Completed"
    assert {row["customer_id"] for row in shop.ledger()} == {f"C{number:03}" for number in range(62)}
    assert read_plan(shop.lake).plan_id == shown.plan_id
    answers = shop.lake.read(shop.lake.latest("sync_answers")).to_pylist()
    assert {row["plan_id"] for row in answers} == {shown.plan_id}
    assert not any("orders_late" in row["uri"] for row in shop.lake.read(shop.lake.latest("intake_log")).to_pylist())


def artifacts(client, run: UUID):
    wanted = {"artifacts": {"flow_run_id": {"any_": [str(run)]}}}
    return client.request("POST", "/artifacts/filter", json=wanted).json()


def test_an_approval_that_comes_too_late_sends_nothing_and_says_so(tmp_path, client):
    shop = Shop(tmp_path, client, approve_within_hours=0)
    assert shop.go().name == "Suspended"
    shop.resume()
    ended = shop.go()
    assert (ended.type.value, ended.message) == (
        "CANCELLED",
        "Nobody approved the plan within 0 hours: nothing was sent.",
    )
    assert shop.ledger() == []


def test_a_plan_that_others_overtook_is_made_anew_and_asked_for_again(shop, client):
    shop.go()
    seen = read_plan(shop.lake)
    (shop.config.parent / "data" / "orders_late.csv").write_text(LATE_ORDER)
    segment_customers(str(shop.config), DAY, "apply")  # somebody else's run, while this one waits
    shop.resume()

    asked_again = shop.go()
    assert (asked_again.name, asked_again.state_details.pause_key) == ("Suspended", "approval-2")
    renewed = read_plan(shop.lake)
    assert renewed.plan_id != seen.plan_id
    assert (seen.changes, renewed.changes) == (62, 0)
    shop.resume()
    assert shop.go().name == "Completed"
    assert shop.present() == 62
    plans = {row["plan_id"] for row in shop.lake.read(shop.lake.latest("sync_answers")).to_pylist()}
    assert seen.plan_id not in plans


def test_a_held_plan_goes_out_only_with_the_brakes_that_the_person_names(shop):
    segments = segment_customers(str(shop.config), DAY, "apply").segments
    smallest = min((one for one in segments if one.customers), key=lambda one: one.customers)
    text = shop.config.read_text().replace("outbox\n", f"outbox\n    audience: [{smallest.segment}]\n", 1)
    shop.config.write_text(text)
    assert shop.go().name == "Suspended"
    shop.resume()
    assert (shop.go().name, shop.present()) == ("Failed", 62)

    shop.start()
    assert shop.go().name == "Suspended"
    shop.resume(release=["outbox:shrink"])
    assert (shop.go().name, shop.present()) == ("Completed", smallest.customers)


def test_without_a_deployment_approve_is_refused_before_anything_is_done(tmp_path):
    config = write_shop(tmp_path)
    with pytest.raises(ConfigurationError, match=r"approve needs a run of a deployment.*segmentation apply"):
        segment_customers(str(config), DAY, "apply", approve=True)
    assert not (tmp_path / "lake" / "orders").exists()


def test_runs_that_wait_too_long_are_ended_and_others_left_waiting(client):
    deployment = client.create_deployment(client.create_flow(segment_customers), "waiting", tags=["segmentation"])
    patient, hasty = (
        client.create_flow_run_from_deployment(deployment, parameters={"approve_within_hours": hours}).id
        for hours in (24, 1)
    )
    for run in (patient, hasty):
        client.set_flow_run_state(run, Suspended(timeout_seconds=None, pause_key="approval"), force=True)
    ended = {run.id for run in end_unapproved(client, datetime.now(UTC) + timedelta(hours=2))}
    assert hasty in ended
    assert patient not in ended
    assert client.read_flow_run(hasty).state.message.endswith("within 1 hours: nothing was sent.")
