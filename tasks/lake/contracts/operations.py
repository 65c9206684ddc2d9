"""How the system itself is doing: files taken, rows refused, checks, key figures, runs."""

from tasks.lake.contracts.column import DAY, INSTANT, MONEY, REAL, TEXT, TEXTS, WHOLE, Column, Contract, required

INTAKE_LOG = Contract(
    "intake_log",
    "Every file or batch that was taken, exactly once, with its sums.",
    ("source", "uri", "etag"),
    (
        required("source", TEXT, "Name of the source"),
        required("dataset", TEXT, "orders, customers, products, …"),
        required("channel", TEXT, "Channel of the source"),
        required("uri", TEXT, "Address of the file or batch"),
        required("etag", TEXT, "Fingerprint of its content as the store gives it"),
        required("status", TEXT, "taken or quarantined"),
        required("rows_read", WHOLE, "Rows in the file", "rows"),
        required("rows_kept", WHOLE, "Rows that went on", "rows"),
        required("rows_quarantined", WHOLE, "Rows refused", "rows"),
        required("rows_duplicate", WHOLE, "Rows already known", "rows"),
        required("amount_read", MONEY, "Net value in the file, as far as it can be read", "currency"),
        required("amount_kept", MONEY, "Net value that went on", "currency"),
        required("amount_quarantined", MONEY, "Net value refused", "currency"),
        required("amount_duplicate", MONEY, "Net value of known rows", "currency"),
        Column("first_at", INSTANT, "Oldest fact in the file", "UTC"),
        Column("last_at", INSTANT, "Newest fact in the file", "UTC"),
        required("reason", TEXT, "Why the file was quarantined whole; empty otherwise"),
        required("as_of", DAY, "Run that took it"),
    ),
)

QUARANTINE = Contract(
    "quarantine",
    "Rows and files that were refused, as they came, with the reasons.",
    ("source", "uri", "etag", "row"),
    (
        required("source", TEXT, "Name of the source"),
        required("dataset", TEXT, "orders, customers, …"),
        required("channel", TEXT, "Channel of the source"),
        required("uri", TEXT, "File it stood in"),
        required("etag", TEXT, "Fingerprint of the file"),
        required("row", WHOLE, "Row in the file from 1; 0 is the whole file"),
        required("reasons", TEXTS, "Reason codes, sorted"),
        required("raw", TEXT, "The row as it came, as JSON"),
        required("amount_at_stake", MONEY, "Its net value, as far as it can be read", "currency"),
        required("as_of", DAY, "Run that refused it"),
    ),
)

CHECK_RESULTS = Contract(
    "check_results",
    "Every check of a run with its verdict.",
    ("as_of", "stage", "check", "subject"),
    (
        required("as_of", DAY, "Run"),
        required("stage", TEXT, "Stage that checked"),
        required("check", TEXT, "Name of the check"),
        required("subject", TEXT, "Source, segment or table"),
        required("verdict", TEXT, "passed, told or stopped"),
        required("value", REAL, "What was found"),
        Column("limit", REAL, "What was allowed"),
        required("message", TEXT, "What, where, what to do"),
    ),
    ("as_of", "stage"),
)

KPIS = Contract(
    "kpis",
    "Key figures of a run.",
    ("as_of", "kpi", "subject"),
    (
        required("as_of", DAY, "Run"),
        required("kpi", TEXT, "Name of the key figure"),
        required("subject", TEXT, "Segment, campaign or source it is about; all otherwise"),
        required("value", REAL, "Value"),
        Column("low", REAL, "Lower end of its 90 % interval"),
        Column("high", REAL, "Upper end of its 90 % interval"),
        required("unit", TEXT, "Unit"),
    ),
    ("as_of",),
)

RUNS = Contract(
    "runs",
    "Every finished run with what it read and wrote.",
    ("run_id", "stage"),
    (
        required("run_id", TEXT, "Identity of the run: flow, day and configuration"),
        required("as_of", DAY, "Run"),
        required("stage", TEXT, "Stage"),
        required("started_at", INSTANT, "Begin", "UTC"),
        required("seconds", REAL, "Duration", "seconds"),
        required("inputs", TEXTS, "Snapshots read, as table@version"),
        required("outputs", TEXTS, "Snapshots written, as table@version"),
        required("config_digest", TEXT, "Digest of the configuration"),
    ),
)

DERIVED = Contract(
    "derived",
    "From which version of each input a table was last built, so that the next build touches only what changed.",
    ("table", "input"),
    (
        required("table", TEXT, "Table that was built"),
        required("input", TEXT, "Table it was built from"),
        required("version", WHOLE, "Version of the input; -1 when it had never been written"),
    ),
)

TABLES = (INTAKE_LOG, QUARANTINE, CHECK_RESULTS, KPIS, RUNS, DERIVED)
