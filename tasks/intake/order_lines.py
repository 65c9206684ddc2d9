"""Lines of orders land in the lake once: known lines are recognised, corrected lines replaced, new lines appended.

Where the source maps ``line``, a line is known by its order and number: the same content again is a duplicate, other
content is a correction and the file taken last wins. Where it does not, files may split an order, so a number that we
give proves nothing: a line is known by its order, product, quantity and amount, as often as they occur.

A file that was taken half and is taken again must not meet itself: rows of its own batch do not count as known.
"""

from tasks.intake.contacts import plain_id_sql
from tasks.intake.incoming import Incoming
from tasks.intake.reading import quote
from tasks.lake.buckets import bucket_sql
from tasks.lake.contracts import CONTRACTS

TABLE = "order_lines"
_DETAILS = (
    "customer_key, ordered_at, store_id, product_id, quantity, unit_price, discount, amount, currency, gift, campaign_id"
)
_SLOT_MICROSECONDS = 900_000_000
_SLOT = f"(epoch_us(ordered_at) // {_SLOT_MICROSECONDS})"
_IDENTITY = "order_id, product_id, quantity, amount"


def land_order_lines(incoming: Incoming) -> None:
    """Write the good rows of ``facts`` to table order_lines and say in table ``fates`` what became of each row."""
    db = incoming.db
    db.execute(f"CREATE VIEW order_lines AS {incoming.lake.scan(incoming.lake.latest(TABLE))}")
    _date_slots(incoming)
    db.execute(f"CREATE VIEW lines AS {_lines_sql(incoming)}")
    if _find_known(incoming):
        db.execute(_MATCH_NUMBERED if "line" in incoming.source.columns else _MATCH_UNNUMBERED)
        _remove_corrected(incoming)
    else:
        db.execute(_ALL_NEW_NUMBERED if "line" in incoming.source.columns else _ALL_NEW_UNNUMBERED)
    db.execute("CREATE VIEW fates AS SELECT row, CASE WHEN fate = 'duplicate' THEN fate ELSE 'kept' END AS fate FROM matched")
    names = ", ".join("matched.line" if name == "line" else f"lines.{name}" for name in CONTRACTS[TABLE].names)
    kept = db.sql(f"SELECT {names} FROM lines JOIN matched USING (row) WHERE matched.fate <> 'duplicate'")
    incoming.lake.append(TABLE, kept, transaction=f"intake:{incoming.file.batch}")


def _lines_sql(incoming: Incoming) -> str:
    source, config = incoming.source, incoming.config
    bucket = bucket_sql("coalesce(customer_id, order_id)", config.buckets)
    return f"""
        SELECT *, {bucket} AS bucket, hash({_IDENTITY}) AS identity_hash, hash({_DETAILS}) AS details_hash
        FROM (
            SELECT row, order_id, line, customer_key,
                coalesce(identity.customer_id, {plain_id_sql("customer_key")}) AS customer_id,
                ordered_at, slots.order_date,
                coalesce(channel, {quote(source.channel)}) AS channel, store_id, product_id, quantity,
                coalesce(unit_price, CASE WHEN quantity <> 0
                    THEN TRY_CAST((abs(amount) + discount) / abs(quantity) AS DECIMAL(18,4)) END) AS unit_price,
                discount, amount, {quote(config.currency)} AS currency, coalesce(gift, false) AS gift, campaign_id,
                {quote(source.name)} AS source, {quote(incoming.file.batch)} AS batch,
                email, phone, loyalty_id
            FROM facts LEFT JOIN identity USING (customer_key) JOIN slots ON {_SLOT} = slots.slot
            WHERE reasons = ''
        )"""


def _date_slots(incoming: Incoming) -> None:
    """Table ``slots``: the local day of each quarter of an hour that occurs; every zone's days begin on such a quarter."""
    zone = quote(incoming.config.timezone)
    incoming.db.execute(
        f"CREATE TABLE slots AS SELECT slot, (make_timestamptz(slot * {_SLOT_MICROSECONDS}) AT TIME ZONE {zone})::DATE "
        f"AS order_date FROM (SELECT DISTINCT {_SLOT} AS slot FROM facts WHERE reasons = '')"
    )


def _find_known(incoming: Incoming) -> bool:
    """Whether any order is known already; table ``known_lines``: lines of the same orders from other batches, read from the buckets that hold such orders only."""
    db = incoming.db
    others = f"batch <> {quote(incoming.file.batch)} AND order_id IN (SELECT order_id FROM lines)"
    found = db.sql(f"SELECT DISTINCT bucket FROM order_lines WHERE {others} ORDER BY bucket").fetchall()
    concerned = ", ".join(str(bucket) for (bucket,) in found) or "-1"
    db.execute(
        f"CREATE TABLE known_lines AS SELECT order_id, line, bucket, hash({_IDENTITY}) AS identity_hash, "
        f"hash({_DETAILS}) AS details_hash FROM order_lines WHERE bucket IN ({concerned}) AND {others}"
    )
    return bool(found)


def _remove_corrected(incoming: Incoming) -> None:
    """Take the old version of corrected lines out; if the run ends here, they are new lines when it is repeated."""
    db = incoming.db
    corrected = "SELECT known.order_id, known.line FROM matched JOIN known_lines known ON known.order_id = matched.order_id " \
                "AND known.line = matched.line WHERE matched.fate = 'corrected'"
    buckets = [b for (b,) in db.sql(
        f"SELECT DISTINCT bucket FROM known_lines known SEMI JOIN ({corrected}) USING (order_id, line) ORDER BY bucket"
    ).fetchall()]
    if buckets:
        rest = db.sql(
            f"SELECT * FROM order_lines ANTI JOIN ({corrected}) USING (order_id, line) "
            f"WHERE bucket IN ({', '.join(map(str, buckets))})"
        )
        incoming.lake.replace(TABLE, rest, where={"bucket": buckets})


_ALL_NEW_NUMBERED = """
    CREATE TABLE matched AS
    SELECT row, order_id, line, CASE WHEN row = max(row) OVER (PARTITION BY order_id, line) THEN 'new' ELSE 'duplicate' END AS fate
    FROM lines
"""

_ALL_NEW_UNNUMBERED = """
    CREATE TABLE matched AS
    SELECT row, row_number() OVER (PARTITION BY order_id ORDER BY row) AS line, 'new' AS fate FROM lines
"""

_MATCH_NUMBERED = """
    CREATE TABLE matched AS
    SELECT row, lines.order_id, lines.line,
        CASE WHEN row <> last_row OR known.details_hash = lines.details_hash THEN 'duplicate'
            WHEN known.line IS NOT NULL THEN 'corrected' ELSE 'new' END AS fate
    FROM (SELECT *, max(row) OVER (PARTITION BY order_id, line) AS last_row FROM lines) AS lines
    LEFT JOIN known_lines known ON known.order_id = lines.order_id AND known.line = lines.line
"""

_MATCH_UNNUMBERED = """
    CREATE TABLE matched AS
    WITH numbered AS (
        SELECT row, order_id, identity_hash, details_hash,
            row_number() OVER (PARTITION BY order_id, identity_hash ORDER BY row) AS copy
        FROM lines
    ),
    known_copies AS (
        SELECT order_id, line, identity_hash, details_hash,
            row_number() OVER (PARTITION BY order_id, identity_hash ORDER BY line) AS copy
        FROM known_lines
    ),
    highest AS (SELECT order_id, max(line) AS line FROM known_lines GROUP BY order_id),
    paired AS (
        SELECT row, numbered.order_id, known_copies.line AS known_line,
            CASE WHEN known_copies.line IS NULL THEN 'new'
                WHEN known_copies.details_hash = numbered.details_hash THEN 'duplicate' ELSE 'corrected' END AS fate
        FROM numbered LEFT JOIN known_copies
            ON known_copies.order_id = numbered.order_id AND known_copies.identity_hash = numbered.identity_hash
            AND known_copies.copy = numbered.copy
    )
    SELECT row, paired.order_id, fate,
        coalesce(known_line, coalesce(highest.line, 0)
            + row_number() OVER (PARTITION BY paired.order_id, fate ORDER BY row)) AS line
    FROM paired LEFT JOIN highest ON highest.order_id = paired.order_id
"""
