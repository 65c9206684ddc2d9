"""The campaigns of a day in words: counts, reasons and states, without personal data."""

from datetime import date

from pydantic import BaseModel, ConfigDict

from tasks.lake import Snapshot


class DraftLine(BaseModel):
    """One draft of a day."""

    model_config = ConfigDict(frozen=True)

    name: str
    campaign_id: str
    recipients: int
    cost: str
    status: str
    native_id: str = ""
    accepted: int = 0
    unchanged: int = 0
    refused: int = 0
    stopped: int = 0
    withdrawn: int = 0
    approved_by: str = ""


class DaySummary(BaseModel):
    """What a day of campaigns came to; ``page`` is the preview to open."""

    model_config = ConfigDict(frozen=True)

    as_of: date
    applied: bool
    page: str
    remark: str = ""
    arms: dict[str, int]
    left_out: dict[str, int]
    resting: dict[str, str]
    advice: dict[str, str]
    drafts: tuple[DraftLine, ...]
    offers: int
    offer_changes: int
    contamination: tuple[str, ...]
    written: tuple[Snapshot, ...]


def as_markdown(summary: DaySummary) -> str:
    """The summary for an artifact: one table of drafts, then who got nothing and why, and what to look at."""
    title = f"# Campaign drafts for {summary.as_of} ({'applied' if summary.applied else 'plan'})"
    arms = ", ".join(f"{count:,} {arm.replace('_', ' ')}" for arm, count in summary.arms.items())
    drafts = [
        [_cell(d.name), f"{d.recipients:,}", d.cost, d.status, _cell(d.approved_by) or "nobody yet", _changes(d)]
        for d in summary.drafts
    ]
    parts = [
        title,
        summary.remark,
        f"{arms}. Nothing is scheduled or sent from here: a person releases each draft.",
        _table(["Draft", "Customers", "Sending", "State", "Approved by", "Done now"], drafts),
        "## Customers without a message",
        _table(["Why", "Customers"], [[_cell(why), f"{count:,}"] for why, count in summary.left_out.items()]),
        "## Hold-outs",
        "\n".join(f"- **{_cell(campaign)}**: {advice}" for campaign, advice in summary.advice.items()),
        "\n".join(f"- Contaminated: {_cell(line)}" for line in summary.contamination),
        "## At the till",
        f"{summary.offers:,} offers by loyalty card, {summary.offer_changes:,} changed since the last day.",
        "\n".join(f"- {_cell(play)} rests: {why}" for play, why in summary.resting.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _changes(line: DraftLine) -> str:
    counts = {
        "sent to the list": line.accepted, "unchanged": line.unchanged, "refused": line.refused,
        "stopped": line.stopped, "taken off": line.withdrawn,
    }  # fmt: skip
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "–"


def _table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
