"""What a run says about itself when it is done: read from the tables it wrote."""

from datetime import date
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from tasks.campaigns.summary import DaySummary
from tasks.destinations.apply import PushSummary
from tasks.destinations.plan import Plan
from tasks.lake import Lake, Snapshots

READS = ("intake_log", "customer_segments", "customer_features", "segment_profiles", "segment_moves", "check_results")


class Value(BaseModel):
    """A frozen part of the summary."""

    model_config = ConfigDict(frozen=True)


class Intake(Value):
    """Rows and money since the lake began: read = kept + quarantined + duplicate, to the cent."""

    rows_read: int = 0
    rows_kept: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    amount_read: Decimal = Decimal(0)
    amount_kept: Decimal = Decimal(0)
    amount_quarantined: Decimal = Decimal(0)
    amount_duplicate: Decimal = Decimal(0)
    files_quarantined: int = 0

    @property
    def reconciled(self) -> bool:
        """Nothing was lost, neither rows nor money."""
        rows = self.rows_kept + self.rows_quarantined + self.rows_duplicate
        amounts = self.amount_kept + self.amount_quarantined + self.amount_duplicate
        return rows == self.rows_read and amounts == self.amount_read


class Segment(Value):
    """Size and value of one segment."""

    segment: str
    label: str
    customers: int
    share: float
    revenue_share: float
    churn_probability: float | None
    lifetime_value: float | None


class Check(Value):
    """A check that spoke up."""

    verdict: str
    check: str
    subject: str
    message: str


class Pushed(Value):
    """What a destination was sent, or would be."""

    destination: str
    enters: int
    updates: int
    leaves: int
    unchanged: int
    skipped: int
    delivered: int | None = None
    rejected: int | None = None
    later: int | None = None


class Drafted(Value):
    """One campaign draft of the day."""

    draft: str
    customers: int
    state: str


class Campaigns(Value):
    """The campaign drafts of the day, how many customers have none and why, and the page that shows the messages."""

    drafts: tuple[Drafted, ...] = ()
    held_out: int = 0
    left_out: dict[str, int] = {}
    remark: str = ""
    page: str = ""


class RunSummary(Value):
    """One run of the daily job."""

    as_of: date
    lake: str
    currency: str
    customers: int
    moved: int
    intake: Intake
    segments: tuple[Segment, ...]
    audiences: tuple[Segment, ...]
    checks: tuple[Check, ...]
    campaigns: Campaigns | None = None
    pushes: tuple[Pushed, ...] = ()
    mode: str = "plan"
    report: str = ""


_INTAKE = """
    SELECT coalesce(sum(rows_read), 0)::BIGINT AS rows_read, coalesce(sum(rows_kept), 0)::BIGINT AS rows_kept,
           coalesce(sum(rows_quarantined), 0)::BIGINT AS rows_quarantined,
           coalesce(sum(rows_duplicate), 0)::BIGINT AS rows_duplicate,
           coalesce(sum(amount_read), 0) AS amount_read, coalesce(sum(amount_kept), 0) AS amount_kept,
           coalesce(sum(amount_quarantined), 0) AS amount_quarantined,
           coalesce(sum(amount_duplicate), 0) AS amount_duplicate,
           count(*) FILTER (status = 'quarantined') AS files_quarantined
    FROM intake_log WHERE dataset = 'orders'
"""
_PROFILES = """
    SELECT segment, label, customers, share, revenue_share, churn_probability, lifetime_value FROM segment_profiles
    WHERE as_of = $as_of AND kind = $kind ORDER BY customers DESC, segment
"""
_CHECKS = """
    SELECT verdict, "check", subject, message FROM check_results WHERE as_of = $as_of AND verdict <> 'passed'
    ORDER BY verdict, "check", subject
"""


def summarise(lake: Lake, known: Snapshots, as_of: date, currency: str) -> RunSummary:
    """The summary of the run whose tables are ``known``, without pushes and report."""
    with lake.database(known.only(READS)) as db:

        def rows(sql: str, **values: object) -> list[dict[str, object]]:
            return list(db.execute(sql, {"as_of": as_of, **values}).to_arrow_table().to_pylist())

        def count(table: str) -> int:
            found = db.execute(f"SELECT count(*) FROM {table} WHERE as_of = ?", [as_of]).fetchone()
            return int(found[0]) if found else 0

        return RunSummary(
            as_of=as_of,
            lake=lake.root,
            currency=currency,
            customers=count("customer_segments"),
            moved=count("segment_moves"),
            intake=Intake.model_validate(db.execute(_INTAKE).to_arrow_table().to_pylist()[0]),
            segments=tuple(Segment.model_validate(row) for row in rows(_PROFILES, kind="segment")),
            audiences=tuple(Segment.model_validate(row) for row in rows(_PROFILES, kind="audience")),
            checks=tuple(Check.model_validate(row) for row in rows(_CHECKS)),
        )


def campaigns_of(day: DaySummary) -> Campaigns:
    """What the day of campaigns came to."""
    return Campaigns(
        drafts=tuple(Drafted(draft=one.name, customers=one.recipients, state=one.status) for one in day.drafts),
        held_out=day.arms.get("holdout", 0),
        left_out=day.left_out,
        remark=day.remark,
        page=day.page,
    )


def pushes_of(plan: Plan, pushed: PushSummary | None) -> tuple[Pushed, ...]:
    """What each destination was told, or would be."""
    done = {one.destination: one for one in pushed.destinations} if pushed else {}
    return tuple(
        Pushed(
            destination=one.destination,
            enters=one.enters,
            updates=one.updates + one.moves,
            leaves=one.leaves,
            unchanged=one.unchanged,
            skipped=sum(one.skipped.values()),
            delivered=done[one.destination].delivered if one.destination in done else None,
            rejected=done[one.destination].rejected if one.destination in done else None,
            later=done[one.destination].later if one.destination in done else None,
        )
        for one in plan.destinations
    )
