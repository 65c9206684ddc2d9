"""Why a customer has this campaign on a day, or why none; read from what the run wrote down."""

from dataclasses import dataclass
from datetime import date

from tasks.campaigns.assignment import WORDS
from tasks.campaigns.playbook import Playbook
from tasks.campaigns.preview import resting
from tasks.lake import Lake

_LOWER = "lower priority"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence, the other plays that fitted with the reason against each, and the plays that rest that day."""

    sentence: str
    rejected: tuple[str, ...] = ()
    resting: dict[str, str] | None = None


def explain(lake: Lake, playbook: Playbook, as_of: date, customer_id: str) -> Explanation:
    """The story of one customer and day; a customer without a row had no segment that day."""
    members = lake.latest("campaign_members")
    found = lake.read(members, where={"as_of": as_of, "customer_id": customer_id}).to_pylist()
    if not found:
        return Explanation(f"{customer_id} has no segment on {as_of}.")
    row = found[0]
    labels = {play.id: play.label for play in playbook.plays}
    label = f"“{labels.get(row['play'], row['play'])}”"
    match row["arm"]:
        case "treated":
            sentence = f"{customer_id} gets {label} because: {row['reason']}."
        case "holdout":
            sentence = f"{customer_id} is held out of {label} to measure it; it would fit because: {row['reason']}."
        case _:
            sentence = f"{customer_id} gets no campaign: {row['reason']}."
    rejected = tuple(_told(entry, labels) for entry in row["rejected"])
    return Explanation(sentence, rejected, dict(resting(playbook, as_of)))


def _told(entry: str, labels: dict[str, str]) -> str:
    play, reason = entry.split(": ", 1)
    words = "a play with higher priority fits" if reason == _LOWER else WORDS.get(reason, reason)
    return f"{labels.get(play, play)}: {words}"
