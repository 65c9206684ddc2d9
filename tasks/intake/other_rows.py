"""One row of anything but orders: what is wrong with it, named."""

from tasks.config import Dataset, Source
from tasks.intake.columns import CONSENT_CHANNELS
from tasks.intake.mapping import joined_marks
from tasks.intake.reading import quote

ENGAGEMENT_KINDS = ("delivered", "open", "click", "redeem", "unsubscribe", "bounce", "spam")
GRANTED = ("granted", "true", "t", "yes", "y", "1", "subscribed", "opt_in", "opted_in")
DENIED = ("denied", "false", "f", "no", "n", "0", "unsubscribed", "opt_out", "opted_out")
UNKNOWN = ("unknown", "null", "none", "n/a")

_TIMES = {Dataset.SESSIONS: "started_at", Dataset.ENGAGEMENT: "at", Dataset.CONSENT: "changed_at"}


def other_rows_sql(mapped: str, source: Source, known_until: str) -> str:
    """SQL of rows from mapped ones: the same columns, ``marks`` complete, ``stake`` zero."""
    tests = [f"CASE WHEN {test} THEN '{code}' END" for code, test in _tests(source, known_until).items()]
    marks = joined_marks(["nullif(marks, '')", *tests])
    return f"SELECT * REPLACE ({marks} AS marks), 0::DECIMAL(18,4) AS stake FROM ({mapped})"


def _tests(source: Source, known_until: str) -> dict[str, str]:
    tests: dict[str, str] = {}
    if at := _TIMES.get(source.dataset):
        tests["future_time"] = f'"{at}" > {quote(known_until)}::TIMESTAMPTZ'
        tests["too_early"] = f'"{at}" < {quote(source.checks.earliest)}::TIMESTAMPTZ'
    match source.dataset:
        case Dataset.ENGAGEMENT:
            tests["unknown_kind"] = f"lower(kind) NOT IN {ENGAGEMENT_KINDS}"
        case Dataset.CONSENT:
            tests["unknown_status"] = f"lower(status) NOT IN {(*GRANTED, *DENIED, *UNKNOWN)}"
            tests["unknown_channel"] = f"coalesce(lower(channel), {quote(source.channel)}) NOT IN {CONSENT_CHANNELS}"
        case Dataset.CAMPAIGNS:
            tests["ends_before_start"] = "ends_on < starts_on"
    return tests


def status_sql(text: str) -> str:
    """granted, denied or unknown from what a source wrote."""
    return (
        f"CASE WHEN lower({text}) IN {GRANTED} THEN 'granted' WHEN lower({text}) IN {DENIED} THEN 'denied' "
        "ELSE 'unknown' END"
    )
