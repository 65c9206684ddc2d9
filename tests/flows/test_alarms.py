"""What a run tells people of: exactly what went beyond its limit, once, and by names that fit."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.alarms import brake_alarms, grade_alarms, push_alarms, quarantine_alarms, refusal_alarms
from flows.grade_report import Window
from flows.refresh_customers import RefreshSummary
from tasks.alerts.messages import Alert
from tasks.config import AlarmSettings
from tasks.destinations.apply import DestinationPush, PushSummary
from tasks.destinations.brake import Finding, check_brake
from tasks.destinations.plan import DestinationPlan, Plan
from tasks.errors import CheckFailedError

DAY = date(2026, 3, 2)
LIMITS = AlarmSettings()


def check(subject, verdict="told", value=0.05, name="quarantined", limit=0.02):
    return {"check": name, "subject": subject, "verdict": verdict, "value": value, "limit": limit}


def plan_of(**findings):
    destinations = [
        DestinationPlan(plan_id="p", destination=name, platform="outbox", as_of=DAY, findings=tuple(found))
        for name, found in findings.items()
    ]
    return Plan(plan_id="p", as_of=DAY, destinations=tuple(destinations))


def finding(name="segment_moved", found=0.8, allowed=0.5, subject="vip"):
    return Finding(check=name, subject=subject, found=found, allowed=allowed, message="")


def push(name="hubspot", **counts):
    return PushSummary(plan_id="p", destinations=(DestinationPush(destination=name, platform="outbox", **counts),))


def test_a_source_above_its_limit_is_named_with_what_was_found_and_allowed():
    rows = [check("pos-orders"), check("web-orders", "passed"), check("crm", "stopped", name="rows")]
    assert quarantine_alarms(rows) == (
        Alert("quarantine-above-limit", "pos-orders", {"percent_quarantined": 5, "percent_allowed": 2}),
    )


def test_a_file_nobody_could_read_is_told_of_until_a_good_one_came():
    refused = check("pos-orders", "stopped", 1, "whole_files")
    assert quarantine_alarms([refused]) == (Alert("quarantine-above-limit", "pos-orders", {"files_refused": 1}),)
    assert quarantine_alarms([refused | {"verdict": "told"}]) == ()


VERDICTS = st.sampled_from(["passed", "told", "stopped"])
CHECKS = st.lists(st.builds(check, st.text("ab@ é", max_size=4), VERDICTS, st.floats(0, 1)), max_size=8)


@given(CHECKS)
def test_every_source_that_breaks_its_limit_is_told_of_once_and_no_other(rows):
    broken = {row["subject"] for row in rows if row["verdict"] != "passed"}
    alarms = quarantine_alarms(rows)
    assert len(alarms) == len(broken)
    assert all(alarm.kind == "quarantine-above-limit" and "@" not in alarm.where for alarm in alarms)


def test_a_held_plan_says_which_check_holds_it_and_how_far_it_went():
    plan = plan_of(hubspot=[finding(found=0.8), finding(found=0.6, subject="new")], outbox=[])
    assert brake_alarms(plan) == (
        Alert("brake-pulled", "hubspot", {"segment_moved": 0.8, "segment_moved_allowed": 0.5}),
    )


@given(
    st.sets(st.sampled_from(["first_push", "shrink", "segment_moved"])),
    st.sets(st.sampled_from(["hubspot", "hubspot:shrink", "hubspot:first_push", "outbox"])),
)
def test_an_alarm_is_raised_exactly_when_the_brake_holds(checks, released):
    plan = plan_of(hubspot=[finding(name) for name in sorted(checks)])
    findings = [(one.destination, each) for one in plan.destinations for each in one.findings]
    if brake_alarms(plan, released):
        with pytest.raises(CheckFailedError):
            check_brake(findings, released)
    else:
        check_brake(findings, released)


@given(st.integers(0, 500), st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_a_push_is_told_of_by_what_was_put_off_and_what_was_refused(delivered, rejected, later, stopped):
    counts = {"delivered": delivered, "rejected": rejected, "later": later, "stopped": "circuit open" * stopped}
    kinds = [alarm.kind for alarm in push_alarms(push(**counts), LIMITS)]
    sent = delivered + rejected + later
    assert ("destination-degraded" in kinds) == (stopped or later / max(sent, 1) > LIMITS.max_later)
    assert ("dead-letters-waiting" in kinds) == (rejected / max(sent, 1) > LIMITS.max_rejected)
    assert len(kinds) == len(set(kinds))


def test_one_wrong_address_among_thousands_wakes_nobody():
    assert push_alarms(push(delivered=9_990, rejected=5, later=5), LIMITS) == ()
    assert [one.kind for one in push_alarms(push(delivered=99, rejected=5), LIMITS)] == ["dead-letters-waiting"]


def test_a_destination_whose_name_does_not_fit_is_told_of_all_the_same():
    [alarm] = push_alarms(push("Münster: <crm>", stopped="down"), LIMITS)
    assert alarm.where == "M-nster- -crm-"


def test_events_that_nobody_understood_are_told_of():
    assert refusal_alarms("events", 0) == ()
    assert refusal_alarms("events", 3)[0].figures == {"events_refused": 3}


WINDOW = Window.of(DAY, 28)


def grade(model, cutoff=DAY, *, champion=False, naive=False, target="churn", days=28):
    return {"target": target, "cutoff": cutoff, "horizon_days": days, "model": model, "champion": champion,
            "naive": naive}  # fmt: skip


NOW_NAIVE = [grade("boosted"), grade("recency", champion=True, naive=True)]
NOW_BOOSTED = [grade("boosted", champion=True), grade("recency", naive=True)]
WAS_BOOSTED = [grade("boosted", DAY - timedelta(days=7), champion=True), grade("recency", DAY - timedelta(days=7))]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (WAS_BOOSTED + NOW_NAIVE, ["churn boosted"]),
        (WAS_BOOSTED + NOW_BOOSTED, []),
        ([*WAS_BOOSTED, grade("boosted"), grade("bgnbd", champion=True), grade("recency", naive=True)], []),
        ([*WAS_BOOSTED, grade("boosted"), grade("recency", naive=True)], ["churn boosted"]),
        (WAS_BOOSTED, []),
        (NOW_NAIVE, []),
        ([grade("recency", DAY - timedelta(days=7), champion=True, naive=True), *NOW_NAIVE], []),
        ([*WAS_BOOSTED, grade("recency", DAY - timedelta(days=1), champion=True, naive=True), *NOW_NAIVE], []),
    ],
    ids=["lost", "still-best", "a-better-one", "nobody-good-enough", "not-graded", "first-time", "never-good", "known"],
)
def test_a_model_is_told_of_when_it_loses_its_place_to_the_naive_rival(rows, told):
    alarms = grade_alarms(rows, {"churn": WINDOW})
    assert [(alarm.kind, alarm.where) for alarm in alarms] == [("grade-dropped", name) for name in told]
    assert grade_alarms(reversed(rows), {"churn": WINDOW}) == alarms
    assert grade_alarms(rows, {"next_order": WINDOW}) == ()


def test_batches_of_one_refresh_tell_of_a_thing_once():
    one, other = Alert("brake-pulled", "hubspot", {"shrink": 0.5}), Alert("brake-pulled", "hubspot", {"shrink": 0.6})
    total = RefreshSummary(alarms=(one,)) + RefreshSummary(alarms=(other, Alert("brake-pulled", "outbox")))
    assert [alarm.where for alarm in total.alarms] == ["hubspot", "outbox"]
    assert total.alarms[0] is one
