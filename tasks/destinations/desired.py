"""What a destination should look like: one row per customer, built from the lake's tables in one DuckDB query.

Hold-outs: the global control group is on no platform. Who is held out of one campaign stays on the platform, since
segment and value serve other purposes; but is on no list the campaign goes to, is not shown the campaign's action or
products, and carries the campaign in ``held_out_of``, so that a message written over there can leave them out as well.
A destination that holds only the campaign's audience does not get them at all.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import duckdb
import pyarrow as pa

from tasks.config import DestinationSettings
from tasks.destinations.gate import create_blocked
from tasks.destinations.platform import Field, Key, Kind, Platform
from tasks.errors import ConfigurationError
from tasks.lake.contracts import CONTRACTS
from tasks.lake.contracts.column import DAY, FLAG, INSTANT, MONEY, REAL, SMALL, TEXT, TEXTS, WHOLE, Column

IDENTITY = frozenset({"customer_id", "email", "phone", "loyalty_id", "first_name", "last_name", "postcode", "country"})
PRODUCTS_SHOWN = 5

NOT_IN_AUDIENCE = "not_in_audience"
HELD_OUT = "held_out"
NO_KEY = "no_key"
SHARED_KEY = "shared_key"

_KINDS: Mapping[pa.DataType, Kind] = {
    TEXT: Kind.TEXT,
    TEXTS: Kind.TEXTS,
    WHOLE: Kind.INTEGER,
    SMALL: Kind.INTEGER,
    REAL: Kind.NUMBER,
    MONEY: Kind.NUMBER,
    FLAG: Kind.BOOLEAN,
    DAY: Kind.DATE,
    INSTANT: Kind.INSTANT,
}
_HELD_OUT_OF = Column("held_out_of", TEXTS, "Campaigns the customer must not get, so that their effect can be measured")
_PRODUCTS = Column("recommended_products", TEXTS, f"Up to {PRODUCTS_SHOWN} products to offer, best first")


# The playbook's action of the day stands above the segment's own; nothing hints at what somebody is held out of.
_AS_THE_PLAYBOOK_SAYS = {
    "recommended_action": "coalesce(told.action, CASE WHEN held.customer_id IS NULL THEN "
    "customer_segments.recommended_action END)",
    "recommended_products": "CASE WHEN held.customer_id IS NULL OR len(told.products) > 0 THEN "
    "products_shown.recommended_products END",
}


_AMOUNT, _PROBABILITY = (0.1, 1.0), (0.0, 0.05)  # change that is noise: share of the value, or absolute
_ESTIMATES = {
    "lifetime_value": _AMOUNT,
    "lifetime_value_low": _AMOUNT,
    "lifetime_value_high": _AMOUNT,
    "expected_spend": _AMOUNT,
    "expected_spend_median": _AMOUNT,
    "churn_probability": _PROBABILITY,
    "p_alive": _PROBABILITY,
    "adoption_probability": _PROBABILITY,
}


def available_columns() -> dict[str, tuple[str, Column]]:
    """Every column that can be pushed: name → (table, column)."""
    found = {"recommended_products": ("products_shown", _PRODUCTS), "held_out_of": ("held", _HELD_OUT_OF)}
    for table in ("customer_segments", "customer_features", "customers"):
        for column in CONTRACTS[table].columns:
            found.setdefault(column.name, (table, column))
    return {name: where for name, where in found.items() if name not in {"as_of", "sources"}}


def chosen_fields(destination: DestinationSettings, platform: Platform) -> tuple[Field, ...]:
    """The pushed attributes with their types: those configured, or the default set under the platform's names.

    ConfigurationError: lists every unknown column at once.
    """
    columns = available_columns()
    wanted = dict(destination.fields)
    if "fields" not in destination.model_fields_set:
        wanted = {**platform.identity_fields, **{ours: platform.rename(name) for ours, name in wanted.items()}}
    if unknown := sorted(set(wanted) - set(columns)):
        raise ConfigurationError(
            f"Destination {destination.name}: fields {', '.join(unknown)} do not exist. Use columns of "
            "customer_segments, customer_features or customers, or recommended_products."
        )
    return tuple(
        Field(ours, theirs, _KINDS[columns[ours][1].type], ours not in IDENTITY) for ours, theirs in wanted.items()
    )


def pushed_sql(one: Field) -> str:
    """SQL of one pushed value; an estimate that moved less than it can claim stays as the platform has it.

    Otherwise everybody would be sent every day: each day shifts every prediction a little.
    """
    now = value_sql(one.ours)
    if one.ours not in _ESTIMATES:
        return now
    relative, absolute = _ESTIMATES[one.ours]
    before = f"(before.vals->>{pointer(one.theirs)})::DOUBLE"
    noise = f"greatest({relative} * abs({before}), {absolute})"
    return f"CASE WHEN abs({now} - {before}) <= {noise} THEN {before} ELSE {now} END"


def pointer(name: str) -> str:
    """A JSON pointer to a key with any characters, as SQL text."""
    return "'/" + name.replace("~", "~0").replace("/", "~1").replace("'", "''") + "'"


def value_sql(ours: str) -> str:
    """SQL of one value, rounded to what can be said."""
    if ours in _AS_THE_PLAYBOOK_SAYS:
        return _AS_THE_PLAYBOOK_SAYS[ours]
    table, column = available_columns()[ours]
    name = f"{table}.{column.name}"
    if column.type == INSTANT:
        return f"strftime({name} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ')"
    if column.type == MONEY:
        return f"round({name}::DOUBLE, 2)"
    if column.type == REAL:
        return f"round({name}, {0 if column.unit == 'currency' else 2})"
    return name


def key_of(destination: DestinationSettings, platform: Platform) -> Key:
    """What customers are recognised by at this destination.

    ConfigurationError: the platform cannot use the configured key.
    """
    key = destination.settings.get("key", platform.keys[0].value)
    if key not in {one.value for one in platform.keys}:
        raise ConfigurationError(
            f"Destination {destination.name}: {platform.title} recognises customers by "
            f"{' or '.join(platform.keys)}, not by {key}."
        )
    return Key(key)


def create_desired(
    db: duckdb.DuckDBPyConnection,
    destination: DestinationSettings,
    platform: Platform,
    fields: Sequence[Field],
    *,
    as_of: date,
    person_key: str,
) -> None:
    """Create table ``desired``: customer_id, segment, key, email, phone, vals (JSON), lists, digest, worth, reason.

    ``reason`` is null where the customer should be there, and says why not otherwise. Needs the views of customers,
    consent, suppressions, forgotten, customer_segments, customer_features, customer_recommendations, holdouts,
    campaigns, offers and sync_ledger.
    """
    create_blocked(
        db,
        channel=destination.consent_channel if platform.addresses_people else None,
        granted_only=destination.require_consent,
        person_key=person_key,
    )
    pairs = ", ".join(f"'{_quoted(f.theirs)}', {pushed_sql(f)}" for f in fields)
    key = key_of(destination, platform)
    normal_key = {Key.EMAIL: "nullif(lower(trim(customers.email)), '')", Key.PHONE: "nullif(trim(customers.phone), '')"}
    key_sql = normal_key.get(key, "customers.customer_id")
    lists_sql = "kept" if platform.uses_lists else "[]::VARCHAR[]"
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE desired AS
        WITH products_shown AS (
            SELECT customer_id, list(product_id ORDER BY rank) AS recommended_products
            FROM customer_recommendations WHERE as_of = $as_of AND rank <= {PRODUCTS_SHOWN} GROUP BY customer_id
        ), running AS (
            SELECT customer_id, campaign_id FROM holdouts
            WHERE since <= $as_of AND (until IS NULL OR until >= $as_of)
        ), written AS (
            SELECT campaign_id, arg_max(audiences, as_of) AS audiences FROM campaigns
            WHERE as_of <= $as_of GROUP BY campaign_id
        ), held AS (
            SELECT customer_id, list_sort(list(campaign_id)) AS held_out_of,
                flatten(list(coalesce(audiences, []))) AS off
            FROM running LEFT JOIN written USING (campaign_id) WHERE campaign_id <> '*' GROUP BY customer_id
        ), told AS (
            SELECT customer_id, action, products FROM offers WHERE as_of = $as_of
        ), before AS (
            SELECT customer_id, payload->'vals' AS vals FROM sync_ledger
            WHERE destination = $destination AND digest <> ''
        ), wanted AS (
            SELECT customers.customer_id, customer_segments.segment, {key_sql} AS key,
                nullif(lower(trim(customers.email)), '') AS email, nullif(trim(customers.phone), '') AS phone,
                json_object({pairs})::VARCHAR AS vals,
                list_sort(list_filter(list_distinct(list_prepend(customer_segments.segment,
                    customer_segments.audiences)), lambda one: $everything OR list_contains($audience, one))) AS lists,
                coalesce(customer_features.lifetime_value, 0) AS worth, coalesce(held.off, []) AS off,
                CASE WHEN blocked.reason IS NOT NULL THEN blocked.reason
                     WHEN control.customer_id IS NOT NULL THEN '{HELD_OUT}' END AS reason
            FROM customer_segments
            JOIN customers USING (customer_id)
            LEFT JOIN customer_features ON customer_features.customer_id = customers.customer_id
                AND customer_features.as_of = $as_of
            LEFT JOIN products_shown ON products_shown.customer_id = customers.customer_id
            LEFT JOIN blocked ON blocked.customer_id = customers.customer_id
            LEFT JOIN before ON before.customer_id = customers.customer_id
            LEFT JOIN told ON told.customer_id = customers.customer_id
            LEFT JOIN held ON held.customer_id = customers.customer_id
            LEFT JOIN (SELECT customer_id FROM running WHERE campaign_id = '*') control
                ON control.customer_id = customers.customer_id
            WHERE customer_segments.as_of = $as_of
        ), sorted AS (
            SELECT *, list_filter(lists, lambda one: NOT list_contains(off, one)) AS kept FROM wanted
        ), judged AS (
            SELECT * REPLACE (CASE WHEN len(lists) = 0 THEN '{NOT_IN_AUDIENCE}' WHEN reason IS NOT NULL THEN reason
                WHEN len(kept) = 0 AND NOT $everything THEN '{HELD_OUT}'
                WHEN key IS NULL THEN '{NO_KEY}' END AS reason) FROM sorted
        ), single AS (
            SELECT *, row_number() OVER (PARTITION BY key, reason IS NULL ORDER BY customer_id) AS claim FROM judged
        )
        SELECT customer_id, segment, key, email, phone, vals, {lists_sql} AS lists,
            md5(concat_ws(chr(31), key, coalesce(email, ''), coalesce(phone, ''), vals,
                array_to_string({lists_sql}, chr(30)))) AS digest, worth,
            CASE WHEN reason IS NULL AND claim > 1 THEN '{SHARED_KEY}' ELSE reason END AS reason
        FROM single
        """,
        {
            "as_of": as_of,
            "destination": destination.name,
            "everything": not destination.audience,
            "audience": list(destination.audience),
        },
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
