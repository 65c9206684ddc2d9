"""Everyone gets exactly one primary segment, any number of audiences, and the reasons."""

from datetime import date

import duckdb
import pyarrow as pa

from tasks.lake.contracts.column import TEXT, WHOLE
from tasks.segments.compile import Parameters, compile_condition
from tasks.segments.reasons import reasons_sql
from tasks.segments.rules import Rule, RuleFile

TABLE = "assigned_segments"
NO_CLUSTERS = pa.table(
    {"customer_id": pa.array([], TEXT), "cluster": pa.array([], WHOLE), "cluster_label": pa.array([], TEXT)}
)


def assign(
    db: duckdb.DuckDBPyConnection, rules: RuleFile, as_of: date, version: str, clusters: pa.Table | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of ``customer_segments`` for one morning, ordered by customer.

    ``db`` has the views ``customer_features`` and ``customer_segments`` (earlier mornings, for ``previous_segment``);
    ``clusters`` has customer_id, cluster and cluster_label. The result lives as long as the connection and until the
    next call.
    """
    db.register("customer_clusters", clusters if clusters is not None else NO_CLUSTERS)
    parameters = Parameters()
    position = _first_match(rules.primary, parameters)
    told = " ".join(
        f"WHEN {number} THEN {reasons_sql(rule.when, parameters)}" for number, rule in enumerate(rules.primary)
    )
    morning = parameters.add(as_of.isoformat())
    names = f"""[{", ".join(parameters.add(rule.id) for rule in rules.primary)}]"""
    actions = f"""[{", ".join(parameters.add(rule.action) for rule in rules.primary)}]"""
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {TABLE} AS
        WITH today AS (SELECT * FROM customer_features WHERE as_of = CAST({morning} AS DATE)),
        placed AS (SELECT *, {position} AS place, {_audiences(rules.audiences, parameters)} AS audiences FROM today),
        earlier AS (SELECT customer_id, segment AS previous_segment FROM customer_segments WHERE as_of = (
            SELECT max(as_of) FROM customer_segments WHERE as_of < CAST({morning} AS DATE)))
        SELECT customer_id, as_of, {names}[place + 1] AS segment, previous_segment, audiences, cluster, cluster_label,
               {names}[place + 1] AS rule_id, CAST({parameters.add(version)} AS VARCHAR) AS rules_version,
               CASE place {told} END AS reasons, {actions}[place + 1] AS recommended_action
        FROM placed LEFT JOIN earlier USING (customer_id) LEFT JOIN customer_clusters USING (customer_id)
        ORDER BY customer_id
        """,
        parameters.values,
    )
    return db.table(TABLE)


def _first_match(primary: tuple[Rule, ...], parameters: Parameters) -> str:
    tests = " ".join(
        f"WHEN {compile_condition(rule.when, parameters)} THEN {place}" for place, rule in enumerate(primary)
    )
    return f"CASE {tests} END"


def _audiences(audiences: tuple[Rule, ...], parameters: Parameters) -> str:
    if not audiences:
        return "CAST([] AS VARCHAR[])"
    members = ", ".join(
        f"CASE WHEN {compile_condition(rule.when, parameters)} THEN CAST({parameters.add(rule.id)} AS VARCHAR) END"
        for rule in sorted(audiences, key=lambda rule: rule.id)
    )
    return f"list_filter([{members}], lambda member: member IS NOT NULL)"
