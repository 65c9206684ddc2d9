"""Everyone gets exactly one primary segment, any number of audiences, and the reasons."""

from datetime import date

import duckdb
import pyarrow as pa

from tasks.lake.contracts.column import TEXT, WHOLE
from tasks.segments.compile import Parameters, compile_condition, compile_membership, compile_place
from tasks.segments.reasons import reasons_sql
from tasks.segments.rules import Rule, RuleFile

TABLE = "assigned_segments"
NO_LOOKALIKES = pa.table({name: pa.array([], TEXT) for name in ("customer_id", "audience", "reason")})
NO_CLUSTERS = pa.table(
    {"customer_id": pa.array([], TEXT), "cluster": pa.array([], WHOLE), "cluster_label": pa.array([], TEXT)}
)


def assign(
    db: duckdb.DuckDBPyConnection,
    rules: RuleFile,
    as_of: date,
    version: str,
    clusters: pa.Table | None = None,
    *,
    similar: pa.Table | None = None,
) -> duckdb.DuckDBPyRelation:
    """The rows of ``customer_segments`` for one morning, ordered by customer.

    ``db`` has the views ``customer_features`` and ``customer_segments`` (earlier mornings, for ``previous_segment``);
    ``clusters`` has customer_id, cluster and cluster_label; ``similar`` has customer_id, audience and reason of the
    look-alikes, of whom members of the seed are left out. The result lives as long as the connection and until the next
    call.
    """
    db.register("customer_clusters", clusters if clusters is not None else NO_CLUSTERS)
    db.register("similar_customers", similar if similar is not None else NO_LOOKALIKES)
    parameters = Parameters()
    position = compile_place(rules.primary, parameters)
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
        alike AS (
            SELECT customer_id, list(audience) AS resembled, list(DISTINCT reason ORDER BY reason) AS resemblance
            FROM similar_customers JOIN today USING (customer_id) WHERE {_outside_seed(rules, parameters)} GROUP BY 1),
        earlier AS (SELECT customer_id, segment AS previous_segment FROM customer_segments WHERE as_of = (
            SELECT max(as_of) FROM customer_segments WHERE as_of < CAST({morning} AS DATE)))
        SELECT customer_id, as_of, {names}[place + 1] AS segment, previous_segment,
               list_sort(list_concat(audiences, coalesce(resembled, []))) AS audiences, cluster, cluster_label,
               {names}[place + 1] AS rule_id, CAST({parameters.add(version)} AS VARCHAR) AS rules_version,
               list_concat(CASE place {told} END, coalesce(resemblance, [])) AS reasons,
               {actions}[place + 1] AS recommended_action
        FROM placed LEFT JOIN earlier USING (customer_id) LEFT JOIN customer_clusters USING (customer_id)
             LEFT JOIN alike USING (customer_id)
        ORDER BY customer_id
        """,
        parameters.values,
    )
    return db.table(TABLE)


def _outside_seed(rules: RuleFile, parameters: Parameters) -> str:
    cases = [
        f"(audience = {parameters.add(rule.id)} AND NOT {compile_membership(rules, rule.like, parameters)})"
        for rule in rules.lookalikes
        if rule.like is not None
    ]
    return " OR ".join(cases) or "false"


def _audiences(audiences: tuple[Rule, ...], parameters: Parameters) -> str:
    if not audiences:
        return "CAST([] AS VARCHAR[])"
    members = ", ".join(
        f"CASE WHEN {compile_condition(rule.when, parameters)} THEN CAST({parameters.add(rule.id)} AS VARCHAR) END"
        for rule in audiences
    )
    return f"list_filter([{members}], lambda member: member IS NOT NULL)"
