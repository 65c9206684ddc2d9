"""The page on which a person reads a plan before it is sent."""

from datetime import date

from flows.plan_page import plan_markdown
from tasks.destinations.brake import Finding
from tasks.destinations.plan import DestinationPlan, Plan

DAY = date(2025, 7, 1)


def test_the_page_of_a_plan_says_who_and_why_and_how_to_release():
    part = DestinationPlan(
        plan_id="p1", destination="crm|1", platform="outbox", as_of=DAY, enters=1_200, skipped={"opted_out": 3},
        findings=(Finding(check="shrink", subject="crm", found=0.5, allowed=0.25, message="Half would leave."),),
    )  # fmt: skip
    page = plan_markdown(Plan(plan_id="p1", as_of=DAY, destinations=(part,)))
    assert page.splitlines()[0] == "# Push of 2025-07-01: 1,200 customers would be sent"
    assert "| crm/1 | 1,200 | 0 | 0 | 0 | 0 | 3 | 0.0 |" in page
    assert "- Half would leave. Release with `crm/1:shrink`." in page
    assert "opted out (3)" in page
    assert "No destination is configured." in plan_markdown(Plan(plan_id="p1", as_of=DAY))
