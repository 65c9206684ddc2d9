"""Pushing to platforms: what was planned, what was answered, what is kept for another try."""

from tasks.lake.contracts.column import DAY, FLAG, INSTANT, REAL, SMALL, TEXT, WHOLE, Column, Contract, required

SYNC_PLANS = Contract(
    "sync_plans",
    "One row per stored plan and destination: what applying it would do.",
    ("plan_id", "destination"),
    (
        required("plan_id", TEXT, "Digest of everything the plan was made from"),
        required("destination", TEXT, "Name of the destination"),
        required("platform", TEXT, "Slug of the platform"),
        required("as_of", DAY, "Run"),
        required("desired", WHOLE, "Customers that should be there", "customers"),
        required("known", WHOLE, "Customers the ledger says are there", "customers"),
        required("enters", WHOLE, "New on the platform", "customers"),
        required("updates", WHOLE, "Known, with changed values", "customers"),
        required("moves", WHOLE, "Known under another key", "customers"),
        required("leaves", WHOLE, "To be taken out", "customers"),
        required("unchanged", WHOLE, "Nothing to send", "customers"),
        required("skipped", WHOLE, "Left out with a reason", "customers"),
        required("requests", WHOLE, "Requests it takes", "requests"),
        required("bytes", WHOLE, "Bytes it takes", "bytes"),
        required("minutes", REAL, "Time under the account's limits", "minutes"),
        required("state", TEXT, "planned or braked"),
        required("ledger_version", WHOLE, "Version of sync_ledger it was made from; -1 is none"),
        required(
            "note", TEXT, "The whole plan as JSON: skips by reason, fields that change, preparation, brakes, inputs"
        ),
        required("made_at", INSTANT, "When it was made", "UTC"),
    ),
)

SYNC_PLAN_ROWS = Contract(
    "sync_plan_rows",
    "Exactly what a stored plan will send, and whom it skips and why.",
    ("plan_id", "destination", "customer_id"),
    (
        required("plan_id", TEXT, "Plan"),
        required("as_of", DAY, "Run"),
        required("destination", TEXT, "Destination"),
        required("customer_id", TEXT, "Customer"),
        required("change", TEXT, "enter, update, move (its key changed), leave or skip"),
        Column("reason", TEXT, "Why it is skipped or leaves; null otherwise"),
        required("digest", TEXT, "Digest of the values"),
        required("payload", TEXT, "Values to send, as JSON"),
        required("value_at_stake", REAL, "Lifetime value of the customer", "currency"),
        required("position", WHOLE, "Order in which it is sent"),
    ),
    ("as_of",),
)

SYNC_LEDGER = Contract(
    "sync_ledger",
    "What each platform last accepted for each customer.",
    ("destination", "customer_id"),
    (
        required("destination", TEXT, "Destination"),
        required("customer_id", TEXT, "Customer"),
        required("digest", TEXT, "Digest of the values last accepted; empty once the customer has left"),
        required("payload", TEXT, "Values last accepted, as JSON"),
        Column("native_id", TEXT, "Id of the customer on the platform"),
        required("at", INSTANT, "When it was accepted", "UTC"),
    ),
    ("destination",),
)

SYNC_ANSWERS = Contract(
    "sync_answers",
    "The one answer each planned customer got.",
    ("plan_id", "destination", "customer_id"),
    (
        required("plan_id", TEXT, "Plan that was applied"),
        required("as_of", DAY, "Run"),
        required("destination", TEXT, "Destination"),
        required("customer_id", TEXT, "Customer"),
        required("change", TEXT, "enter, update, move, leave or skip"),
        required("verdict", TEXT, "delivered, skipped, rejected or later"),
        required("code", TEXT, "Countable reason, empty when delivered"),
        required("reason", TEXT, "The platform's words without personal data"),
        Column("native_id", TEXT, "Id of the customer on the platform"),
        required("at", INSTANT, "When it was answered", "UTC"),
    ),
    ("as_of",),
)

DEAD_LETTERS = Contract(
    "dead_letters",
    "What could not be processed, kept to be sent again after a fix.",
    ("letter_id",),
    (
        required("letter_id", TEXT, "Digest of where and whom"),
        required("what", TEXT, "push, event, source or erasure"),
        required("where", TEXT, "Destination, source or queue"),
        Column("customer_id", TEXT, "Customer concerned"),
        Column("digest", TEXT, "Digest of the values that were refused; the same values are not sent again unasked"),
        required("code", TEXT, "Countable reason"),
        required("reason", TEXT, "Reason without personal data"),
        required("payload_reference", TEXT, "Where the payload lies in the lake"),
        required("tries", SMALL, "How often it was tried", "tries"),
        required("first_seen", INSTANT, "First failure", "UTC"),
        required("last_seen", INSTANT, "Latest failure", "UTC"),
        required("value_at_stake", REAL, "Lifetime value of the customer", "currency"),
        required("open", FLAG, "Still to be done"),
    ),
)

SUPPRESSIONS = Contract(
    "suppressions",
    "Opt-outs, bounces and complaints read back from platforms.",
    ("destination", "address_hash", "channel"),
    (
        required("destination", TEXT, "Platform that said so"),
        required("address_hash", TEXT, "Keyed hash of the e-mail address or phone number"),
        Column("customer_id", TEXT, "Customer, where the address is known"),
        required("channel", TEXT, "email, sms, …"),
        required("kind", TEXT, "unsubscribe, bounce, spam, invalid or blocked"),
        required("at", INSTANT, "When", "UTC"),
    ),
)

FORGOTTEN = Contract(
    "forgotten",
    "Keyed hashes of people who asked to be erased; nobody on it is ever taken in or pushed again.",
    ("person_hash",),
    (
        required("person_hash", TEXT, "Keyed hash of an id, address or number of the person"),
        required("kind", TEXT, "customer_key, email, phone or loyalty_id"),
        required("at", INSTANT, "When it was asked", "UTC"),
    ),
)

ERASURE_RECEIPTS = Contract(
    "erasure_receipts",
    "Proof of each erasure, per table and platform.",
    ("request_id", "place"),
    (
        required("request_id", TEXT, "Request"),
        required("place", TEXT, "Table of the lake or destination"),
        required("person_hash", TEXT, "Keyed hash of the person"),
        required("status", TEXT, "erased, absent, accepted, failed or manual"),
        required("detail", TEXT, "Rows removed or the platform's receipt"),
        required("at", INSTANT, "When", "UTC"),
    ),
)

TABLES = (
    SYNC_PLANS,
    SYNC_PLAN_ROWS,
    SYNC_LEDGER,
    SYNC_ANSWERS,
    DEAD_LETTERS,
    SUPPRESSIONS,
    FORGOTTEN,
    ERASURE_RECEIPTS,
)
