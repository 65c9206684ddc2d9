"""A person looks before anything leaves: the run suspends with its plan, and on resume sends exactly that plan.

While it waits, nothing runs and no slot is taken. A run that nobody approves in time ends with nothing sent. When
others have changed segments or destinations meanwhile, a new plan is made, and asked for again.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled
from pydantic import BaseModel, ConfigDict, Field

from flows.plan_page import plan_markdown
from tasks.alerts.messages import Alert, named
from tasks.alerts.task import raise_alert
from tasks.campaigns.summary import DaySummary
from tasks.destinations.plan import Plan
from tasks.destinations.stale import overtaken_by
from tasks.errors import ConfigurationError
from tasks.lake import Lake, Snapshots
from tasks.lake.storage import filesystem

APPROVE_WITHIN_HOURS = 12.0
PAUSE = "approval"


class Prepared(BaseModel):
    """All that a run made before its push; ``until`` is when an approval of its plan would come too late."""

    model_config = ConfigDict(frozen=True)

    known: Snapshots
    campaigns: DaySummary
    report: str
    plan: Plan
    until: datetime | None = None
    asked: int = 0


class Approval(RunInput):
    """The form that a person fills in to let the run go on; to refuse, cancel the run."""

    approved_by: str = Field(title="Your name", min_length=2, max_length=80, description="Who approves this plan")
    release: list[str] = Field(
        default_factory=list,
        title="Brakes to release",
        description="As the plan names them, for instance hubspot:segment_moved. Empty where nothing is held.",
    )


def require_deployment() -> None:
    """ConfigurationError unless the present run belongs to a deployment: no other can be put back after a pause."""
    if deployment.id is None:
        raise ConfigurationError(
            "approve needs a run of a deployment on a Prefect server, which starts it again once somebody approved. "
            "Here: look at the plan with --push plan, then send it with `segmentation apply`."
        )


def prepared_before(lake: Lake) -> Prepared | None:
    """What this very run made before it was suspended; None when it has not come that far."""
    address = _address(lake)
    files = filesystem(address)
    if not files.exists(address):
        return None
    with files.open(address, "rb") as handle:
        return Prepared.model_validate_json(handle.read())


def await_approval(
    lake: Lake, prepared: Prepared, hours: float, renew: Callable[[Prepared], Prepared]
) -> tuple[Prepared, Approval]:
    """Return what is approved and by whom; the first time it suspends the run, which begins again when resumed."""
    prepared, approval = _ask(lake, prepared, hours)
    while not too_late(prepared) and any(overtaken_by(lake, part) for part in prepared.plan.destinations):
        prepared, approval = _ask(lake, renew(prepared).model_copy(update={"until": None}), hours)
    return prepared, approval


def _ask(lake: Lake, prepared: Prepared, hours: float) -> tuple[Prepared, Approval]:
    if prepared.until is None:
        until = datetime.now(UTC) + timedelta(hours=hours)
        prepared = prepared.model_copy(update={"until": until, "asked": prepared.asked + 1})
        lake.write_text(_name(), prepared.model_dump_json())
    figures = {"customers_to_be_sent": prepared.plan.changes, "hours_to_approve": hours, "times_asked": prepared.asked}
    raise_alert(Alert("approval-awaited", named(str(deployment.name)), figures))
    form = Approval.with_initial_data(description=plan_markdown(prepared.plan), approved_by="", release=[])
    return prepared, suspend_flow_run(wait_for_input=form, key=f"{PAUSE}-{prepared.asked}")


def too_late(prepared: Prepared) -> bool:
    """Whether an approval counts no more."""
    return prepared.until is not None and datetime.now(UTC) > prepared.until


def unapproved(hours: float) -> State[Any]:
    """How a run ends that nobody approved in time."""
    return Cancelled(name="Not approved", message=f"Nobody approved the plan within {hours:g} hours: nothing was sent.")


def end_unapproved(client: SyncPrefectClient, now: datetime) -> list[FlowRun]:
    """End every run that waits for an approval longer than it said; returns them."""
    waiting = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"])),
        tags=FlowRunFilterTags(all_=["segmentation"]),
    )
    late = [run for run in client.read_flow_runs(flow_run_filter=waiting, limit=200) if is_late(run, now)]
    for run in late:
        client.set_flow_run_state(run.id, unapproved(_hours(run)), force=True)
    return late


def is_late(run: FlowRun, now: datetime) -> bool:
    """Whether a suspended run has waited longer than its parameters allow."""
    return run.state is not None and now - run.state.timestamp > timedelta(hours=_hours(run))


def _hours(run: FlowRun) -> float:
    return float(run.parameters.get("approve_within_hours", APPROVE_WITHIN_HOURS))


def _name() -> str:
    return f"_approvals/{flow_run.id}.json"


def _address(lake: Lake) -> str:
    return lake.address(_name())
