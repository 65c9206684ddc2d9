"""Lines of orders land in the lake once: known lines are recognised, corrected lines replaced, new lines appended.

Where the source maps ``line``, a line is known by its order and number: the same content again is a duplicate, other
content is a correction and the file taken last wins. Where it does not, files may split an order, so a number that we
give proves nothing: a line is known by its order, product, quantity and amount, as often as they occur.

A file that was taken half and is taken again must not meet itself: rows of its own batch do not count as known.
"""

from tasks.intake.contacts import plain_id_sql
from tasks.intake.incoming import Incoming
from tasks.intake.owners import settle_owners
from tasks.intake.reading import quote
from tasks.lake.buckets import bucket_sql
from tasks.lake.contracts import CONTRACTS

TABLE = "order_lines"
_IDENTITY = "order_id, product_id, quantity, amount"
_SLOT_MICROSECONDS = 900_000_000
_SLOT = f"(epoch_us(ordered_at) // {_SLOT_MICROSECONDS})"
_DETAILS = f"customer_key, ordered_at, store_id, unit_price, discount, currency, gift, campaign_id, {_IDENTITY}"


def land_order_lines(incoming: Incoming) -> None:
    """Write the good rows of ``facts`` to table order_lines and say in table ``fates`` what became of each row."""
    db = incoming.db
    db.execute(f"CREATE VIEW order_lines AS {incoming.lake.scan(incoming.lake.latest(TABLE))}")
    known = _find_known(incoming)
    settle_owners(incoming)
    _date_slots(incoming)
    db.execute(f"CREATE VIEW lines AS {_lines_sql(incoming)}")
    numbered = "line" in incoming.source.columns
    if known:
        db.execute(_MATCH_NUMBERED if numbered else _MATCH_UNNUMBERED)
        _correct(incoming)
    else:
        db.execute(_ALL_NEW_NUMBERED if numbered else _ALL_NEW_UNNUMBERED)
    db.execute(
        "CREATE VIEW fates AS SELECT row, CASE WHEN fate = 'duplicate' THEN fate ELSE 'kept' END AS fate FROM matched"
    )
    names = ", ".join("matched.line" if name == "line" else f"lines.{name}" for name in CONTRACTS[TABLE].names)
    kept = db.sql(f"SELECT {names} FROM lines JOIN matched USING (row) WHERE matched.fate <> 'duplicate'")
    incoming.lake.append(TABLE, kept, transaction=f"intake:{incoming.batch.name}")


def _find_known(incoming: Incoming) -> bool:
    """Table ``known_lines``: lines of the same orders from other batches, read from the buckets that hold some."""
    db = incoming.db
    orders = "SELECT order_id FROM facts WHERE reasons = ''"
    others = f"batch <> {quote(incoming.batch.name)} AND order_id IN ({orders})"
    found = db.sql(f"SELECT DISTINCT bucket FROM order_lines WHERE {others} ORDER BY bucket").fetchall()
    concerned = ", ".join(str(bucket) for (bucket,) in found) or "-1"
    db.execute(
        "CREATE TABLE known_lines AS SELECT order_id, line, bucket, source, customer_key, "
        f"hash({_IDENTITY}) AS identity_hash, hash({_DETAILS}) AS details_hash "
        f"FROM order_lines WHERE bucket IN ({concerned}) AND {others}"
    )
    return bool(found)


def _lines_sql(incoming: Incoming) -> str:
    source, config = incoming.source, incoming.config
    bucket = bucket_sql("coalesce(customer_id, order_id)", config.buckets)
    return f"""
        SELECT *, {bucket} AS bucket, hash({_IDENTITY}) AS identity_hash, hash({_DETAILS}) AS details_hash
        FROM (
            SELECT row, order_id, line, owned.customer_key,
                coalesce(identity.customer_id, {plain_id_sql("owned.customer_key")}) AS customer_id,
                ordered_at, slots.order_date, coalesce(channel, {quote(source.channel)}) AS channel, store_id,
                product_id, quantity,
                coalesce(unit_price, CASE WHEN quantity <> 0
                    THEN TRY_CAST((abs(amount) + discount) / abs(quantity) AS DECIMAL(18,4)) END) AS unit_price,
                discount, amount, {quote(config.currency)} AS currency, coalesce(gift, false) AS gift, campaign_id,
                {quote(source.name)} AS source, {quote(incoming.batch.name)} AS batch
            FROM (
                SELECT facts.* REPLACE (coalesce(owners.owner, facts.customer_key) AS customer_key)
                FROM facts LEFT JOIN owners USING (order_id) WHERE reasons = ''
            ) owned
            LEFT JOIN identity ON identity.customer_key = owned.customer_key
            JOIN slots ON {_SLOT} = slots.slot
        )"""


def _date_slots(incoming: Incoming) -> None:
    """Table ``slots``: the local day of each quarter of an hour that occurs; days of all zones begin on one."""
    zone = quote(incoming.config.timezone)
    incoming.db.execute(
        f"CREATE TABLE slots AS SELECT slot, (make_timestamptz(slot * {_SLOT_MICROSECONDS}) AT TIME ZONE {zone})::DATE "
        f"AS order_date FROM (SELECT DISTINCT {_SLOT} AS slot FROM facts WHERE reasons = '')"
    )


def _correct(incoming: Incoming) -> None:
    """Take the old version of corrected lines out and give known lines their order's new owner, in one atomic commit.

    If the run ends before the new versions are appended, they are simply new lines when it is repeated.
    """
    db, buckets = incoming.db, incoming.config.buckets
    db.execute(
        "CREATE TABLE corrected AS SELECT known.order_id, known.line FROM matched JOIN known_lines known "
        "ON known.order_id = matched.order_id AND known.line = matched.line WHERE matched.fate = 'corrected'"
    )
    db.execute(
        "CREATE TABLE reowned AS SELECT DISTINCT order_id, owner, coalesce(identity.customer_id, "
        f"{plain_id_sql('owner')}) AS owner_id FROM owners JOIN known_lines known USING (order_id) "
        "LEFT JOIN identity ON identity.customer_key = owner WHERE known.customer_key IS DISTINCT FROM owner"
    )
    concerned = [
        bucket
        for (bucket,) in db.sql(
            "SELECT bucket FROM known_lines SEMI JOIN corrected USING (order_id, line) "
            "UNION SELECT bucket FROM known_lines SEMI JOIN reowned USING (order_id) "
            f"UNION SELECT {bucket_sql('owner_id', buckets)} FROM reowned ORDER BY bucket"
        ).fetchall()
    ]
    if not concerned:
        return
    names = ", ".join(CONTRACTS[TABLE].names)
    rest = db.sql(
        f"SELECT {names} FROM (SELECT kept.* REPLACE (coalesce(owner, customer_key) AS customer_key, "
        f"coalesce(owner_id, customer_id) AS customer_id, "
        f"{bucket_sql('coalesce(owner_id, customer_id, order_id)', buckets)} AS bucket) "
        "FROM (SELECT * FROM order_lines ANTI JOIN corrected USING (order_id, line) "
        f"WHERE bucket IN ({', '.join(map(str, concerned))})) kept LEFT JOIN reowned USING (order_id))"
    )
    incoming.lake.replace(TABLE, rest, where={"bucket": concerned})


_ALL_NEW_NUMBERED = """
    CREATE TABLE matched AS
    SELECT row, order_id, line,
        CASE WHEN row = max(row) OVER (PARTITION BY order_id, line) THEN 'new' ELSE 'duplicate' END AS fate
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
