"""Events and sources beyond files: what is known to be newest, and how far each source was read."""

from tasks.lake.contracts.column import INSTANT, TEXT, WHOLE, Column, Contract, required

EVENT_TIMES = Contract(
    "event_times",
    "The newest version of each order that an event brought, so that an older one that arrives late changes nothing.",
    ("source", "subject"),
    (
        required("source", TEXT, "Source the event belongs to"),
        required("subject", TEXT, "What it was about: the order"),
        required("at", INSTANT, "When its sender says it became so", "UTC"),
    ),
)

CUSTOMER_TAGS = Contract(
    "customer_tags",
    "Tags that campaign managers gave to customers by hand.",
    ("customer_id", "tag"),
    (
        required("customer_id", TEXT, "Customer"),
        required("tag", TEXT, "Tag"),
        required("by", TEXT, "Who gave it"),
        required("at", INSTANT, "When", "UTC"),
    ),
)

SOURCE_PROGRESS = Contract(
    "source_progress",
    "How far each source beyond files was read, and how it is doing.",
    ("source",),
    (
        required("source", TEXT, "Name of the source"),
        Column(
            "read_until", INSTANT, "Changes before this time are in the lake; null before the first whole read", "UTC"
        ),
        Column("reading_until", INSTANT, "End of the window being read; null between reads", "UTC"),
        Column("position", TEXT, "Where to go on within that window; null at its begin"),
        required("pages", WHOLE, "Pages of that window already landed", "pages"),
        required("rows", WHOLE, "Rows landed since the source was first read", "rows"),
        required("failures", WHOLE, "Failed reads in a row", "reads"),
        required("health", TEXT, "ok, or why the last read failed"),
        required("at", INSTANT, "When it was last tried", "UTC"),
    ),
)

TABLES = (EVENT_TIMES, CUSTOMER_TAGS, SOURCE_PROGRESS)
