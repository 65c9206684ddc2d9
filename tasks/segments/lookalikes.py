"""Look-alike audiences: the customers outside a seed who resemble its members most.

A logistic regression tells the seed from everybody else by what is measured about customers. What the seed's own rule
reads is left out, so that people are found who resemble its members in other ways, and not those who just missed the
rule. Nothing depends on the order or the names of customers, except who goes first among exact equals.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tasks.lake.contracts.column import TEXT
from tasks.segments.compile import Parameters, column_sql, compile_membership
from tasks.segments.fields import FIELDS, Kind
from tasks.segments.reasons import field_sql
from tasks.segments.rules import Rule, RuleFile

Floats = npt.NDArray[np.float64]

SMALLEST_SEED = 30
MOST_TAUGHT = 20_000  # of the seed and of the others each: more would not move the weights visibly
ROWS_AT_ONCE = 50_000
# Weight of the mean error against the squared weights of the features: little, so that correlated ones share.
FIT = 10.0
FARTHEST = 4.0  # deviations; a buyer of thousands counts as one of very many
TOLD = 3
# Different words for one thing: a rule that reads one of them reads them all.
_ONE_THING = (
    frozenset({"recency_days", "r_score", "rfm_score"}),
    frozenset({"orders", "f_score", "rfm_score", "active_days"}),
    frozenset({"monetary", "m_score", "rfm_score"}),
    frozenset({"days_since_first_order", "tenure_days"}),
    frozenset({"expected_spend", "expected_spend_median"}),
    frozenset({"lifetime_value", "lifetime_value_low", "lifetime_value_high"}),
    frozenset({"adoption_category", "adoption_probability"}),
)
_MEMBERS = pa.schema(
    [("customer_id", TEXT), ("audience", TEXT), ("seed", TEXT), *((f"field_{n}", TEXT) for n in range(TOLD))]
)


@dataclass(frozen=True, slots=True)
class Search:
    """How the search for the look-alikes of ``seed`` went: members of the seed, customers outside, look-alikes."""

    audience: str
    seed: str
    seed_customers: int
    other_customers: int
    found: int


@dataclass(frozen=True, slots=True, eq=False)
class Lookalikes:
    """``members`` has customer_id, audience and reason, sorted by audience and customer; a search per audience."""

    members: pa.Table
    searches: tuple[Search, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Resemblance:
    """How alike a customer is: the weighted sum of standardised features, above zero where more alike than not."""

    names: tuple[str, ...]
    means: Floats
    deviations: Floats
    weights: Floats
    offset: float

    def contributions(self, values: Floats) -> Floats:
        """What each feature of each customer adds; nothing where it is missing."""
        standard = np.clip((_tame(values) - self.means) / self.deviations, -FARTHEST, FARTHEST)
        return np.asarray(np.nan_to_num(standard, nan=0.0) * self.weights)


@dataclass(frozen=True, slots=True)
class _People:
    """The customers of a morning as SQL: one column per feature, and whether they are in the seed."""

    names: tuple[str, ...]
    sql: str
    parameters: Parameters


def find_lookalikes(db: duckdb.DuckDBPyConnection, rules: RuleFile, as_of: date) -> Lookalikes:
    """Find the members of every look-alike audience on the morning ``as_of``; reads the view ``customer_features``.

    An audience has at most its share of all customers, fewer where fewer are more alike than not, and none where the
    seed has fewer than 30 members or is everybody.
    """
    picked, searches = [_MEMBERS.empty_table()], []
    for rule in rules.lookalikes:
        people = _people(rules, rule, as_of)
        seed, others = _sizes(db, people)
        most = int(rule.share * (seed + others))
        known = seed >= SMALLEST_SEED and others > 0
        found = _most_alike(db, rules, rule, people, most) if known and most else _MEMBERS.empty_table()
        picked.append(found)
        searches.append(Search(rule.id, rule.like or "", seed, others, len(found)))
    return Lookalikes(_with_reasons(db, pa.concat_tables(picked), as_of), tuple(searches))


def resemblance_reason(seed_label: str) -> str:
    """How the reason of a look-alike begins."""
    return f"resembles {seed_label}"


def compared_fields(seed: Rule) -> tuple[str, ...]:
    """The numbers and flags by which customers are compared with a seed: all that its own rule does not read."""
    read = seed.when.fields()
    known = read.union(*(words for words in _ONE_THING if words & read))
    return tuple(name for name, info in FIELDS.items() if info.kind in (Kind.NUMBER, Kind.FLAG) and name not in known)


def learn_resemblance(names: tuple[str, ...], values: Floats, inside: npt.NDArray[np.bool_]) -> Resemblance:
    """Fit on customers (rows of ``values``, NaN where missing), some of whom are ``inside`` the seed."""
    tamed = _tame(values)
    known = np.maximum(np.isfinite(tamed).sum(axis=0), 1)
    means = np.nansum(tamed, axis=0) / known
    deviations = np.sqrt(np.nansum((tamed - means) ** 2, axis=0) / known)
    deviations = np.where(deviations > 0, deviations, 1.0)  # nothing differs, so nothing is added
    scale = Resemblance(names, means, deviations, np.ones(len(names)), 0.0)
    model = LogisticRegression(C=FIT / len(values), class_weight="balanced", solver="newton-cholesky", tol=1e-9)
    with threadpool_limits(limits=1):
        model.fit(scale.contributions(values), inside)
    weights = np.asarray(model.coef_[0], dtype=np.float64)
    return Resemblance(names, means, deviations, weights, float(model.intercept_[0]))


def _tame(values: Floats) -> Floats:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def _people(rules: RuleFile, rule: Rule, as_of: date) -> _People:
    seed = next(one for one in rules.rules if one.id == rule.like)
    names, parameters = compared_fields(seed), Parameters()
    columns = ", ".join(f"CAST({column_sql(FIELDS[name])} AS DOUBLE) AS {name}" for name in names)
    inside = compile_membership(rules, seed.id, parameters)
    morning = parameters.add(as_of.isoformat())
    sql = (
        f"SELECT customer_id, {inside} AS inside_seed, {columns} "
        f"FROM customer_features WHERE as_of = CAST({morning} AS DATE)"
    )
    return _People(names, sql, parameters)


def _sizes(db: duckdb.DuckDBPyConnection, people: _People) -> tuple[int, int]:
    asked = f"SELECT count(*) FILTER (inside_seed), count(*) FILTER (NOT inside_seed) FROM ({people.sql})"
    seed, others = db.execute(asked, people.parameters.values).fetchall()[0]
    return int(seed), int(others)


def _most_alike(db: duckdb.DuckDBPyConnection, rules: RuleFile, rule: Rule, people: _People, most: int) -> pa.Table:
    """The customers most alike, at most so many, each with the features that say so."""
    taught = pa.concat_tables([_taught(db, people, inside=inside) for inside in (True, False)])
    inside = np.asarray(taught["inside_seed"].to_numpy())
    model = learn_resemblance(people.names, _values(taught, people.names), inside)
    best = (np.zeros(0), np.zeros(0, dtype=object), np.zeros((0, TOLD), dtype=object))
    for part in _outside(db, people):
        found = _scored(model, part)
        score, customer, fields = (np.concatenate(pair) for pair in zip(best, found, strict=True))
        kept = np.lexsort((customer.astype(str), -score))[:most]
        best = score[kept], customer[kept], fields[kept]
    label = next(one.label for one in rules.rules if one.id == rule.like)
    columns = [best[1], [rule.id] * len(best[1]), [label] * len(best[1]), *best[2].T]
    return pa.table([pa.array(column, TEXT) for column in columns], schema=_MEMBERS)


def _scored(model: Resemblance, part: pa.Table) -> tuple[Floats, npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Score, customer and telling features of those who are more alike than not."""
    added = model.contributions(_values(part, model.names))
    score = added.sum(axis=1) + model.offset
    alike = score > 0
    added = added[alike]
    order = np.argsort(-added, axis=1, kind="stable")[:, :TOLD]
    speaks = np.take_along_axis(added, order, axis=1) > 0
    fields = np.array(model.names, dtype=object)[order]
    fields[~speaks] = None
    return score[alike], part["customer_id"].to_numpy()[alike], fields


def _taught(db: duckdb.DuckDBPyConnection, people: _People, *, inside: bool) -> pa.Table:
    """Customers to learn from, in an order (and of very many a sample) that depends on what they did, not on names."""
    order = f"md5(CAST(row({', '.join(people.names)}) AS VARCHAR))"
    where = "inside_seed" if inside else "NOT inside_seed"
    sql = f"SELECT * EXCLUDE (customer_id) FROM ({people.sql}) WHERE {where} ORDER BY {order} LIMIT {MOST_TAUGHT}"
    return db.execute(sql, people.parameters.values).to_arrow_table()


def _outside(db: duckdb.DuckDBPyConnection, people: _People) -> Iterator[pa.Table]:
    sql = f"SELECT * FROM ({people.sql}) WHERE NOT inside_seed"
    for batch in db.execute(sql, people.parameters.values).to_arrow_reader(ROWS_AT_ONCE):
        yield pa.Table.from_batches([batch])


def _values(people: pa.Table, names: tuple[str, ...]) -> Floats:
    return np.column_stack([np.asarray(people[name].to_numpy(), dtype=np.float64) for name in names])


def _with_reasons(db: duckdb.DuckDBPyConnection, members: pa.Table, as_of: date) -> pa.Table:
    used = sorted({name for n in range(TOLD) for name in members[f"field_{n}"].to_pylist() if name})
    cases = " ".join(f"WHEN '{name}' THEN {field_sql(FIELDS[name])}" for name in used)
    told = ", ".join(f"CASE field_{n} {cases} END" if cases else "NULL" for n in range(TOLD))
    db.register("lookalike_members", members)
    return db.execute(
        f"""
        SELECT customer_id, audience,
               concat_ws(': ', '{resemblance_reason("")}' || seed, nullif(concat_ws('; ', {told}), '')) AS reason
        FROM lookalike_members JOIN customer_features USING (customer_id) WHERE as_of = ?
        ORDER BY audience, customer_id""",
        [as_of],
    ).to_arrow_table()
