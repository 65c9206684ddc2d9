"""A plan as a person looks at it before anything is sent: an artifact of the run."""

from prefect.artifacts import create_markdown_artifact

from tasks.destinations.plan import DestinationPlan, Plan

KEY = "push-plan"


def show_plan(plan: Plan) -> None:
    """Put the plan among the artifacts of the run."""
    create_markdown_artifact(plan_markdown(plan), key=KEY, description=f"What a push would send on {plan.as_of}")


def plan_markdown(plan: Plan) -> str:
    """Who would enter, change and leave where, who is left out and why, and what holds the push; counts only."""
    parts = [
        f"# Push of {plan.as_of}: {plan.changes:,} customers would be sent",
        _table(plan),
        *(text for one in plan.destinations for text in _remarks(one)),
        f"Plan `{plan.plan_id}`. Applying sends exactly this, or nothing.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(plan: Plan) -> str:
    if not plan.destinations:
        return "No destination is configured."
    head = ["Destination", "Enter", "Change segment", "Update", "Leave", "Unchanged", "Left out", "Minutes"]
    rows = [
        [
            _cell(one.destination),
            *(f"{count:,}" for count in (one.enters, one.moves, one.updates, one.leaves, one.unchanged)),
            f"{sum(one.skipped.values()):,}",
            f"{one.minutes:.1f}",
        ]
        for one in plan.destinations
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _remarks(one: DestinationPlan) -> list[str]:
    """Brakes, things to be created, and reasons of those left out, where there are any."""
    texts = []
    if one.findings:
        lines = [f"- {_cell(f.message)} Release with `{_cell(one.destination)}:{f.check}`." for f in one.findings]
        texts.append(f"## {_cell(one.destination)} is held\n\n" + "\n".join(lines))
    if one.days > 1:
        texts.append(
            f"{_cell(one.destination)} takes {one.days} days: {one.requests:,} requests are more than the account "
            "allows in one. What does not fit today is sent by the runs of the next days."
        )
    if one.prepare:
        texts.append(f"Would be created at {_cell(one.destination)} first: {', '.join(map(_cell, one.prepare))}.")
    if one.skipped:
        reasons = ", ".join(f"{reason.replace('_', ' ')} ({count:,})" for reason, count in sorted(one.skipped.items()))
        texts.append(f"Left out at {_cell(one.destination)}: {reasons}.")
    return texts


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ").replace("`", "'")
