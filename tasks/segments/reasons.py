"""Reasons in words: what a rule asked about, told with the customer's own values ("bought 3 days ago")."""

from collections.abc import Iterator

from tasks.segments.compile import Parameters, column_sql, compile_condition
from tasks.segments.fields import FIELDS, FieldInfo, Kind
from tasks.segments.rules import Condition, Operator

# How a value is told: text before it, text after it (one, many), decimals, and the words when it is missing.
_PHRASES: dict[str, tuple[str, str, str, int, str]] = {
    "recency_days": ("bought", "day ago", "days ago", 0, "no order yet"),
    "orders": ("", "order", "orders", 0, ""),
    "monetary": ("spent", "in all", "in all", 2, ""),
    "average_order_value": ("spends", "per order", "per order", 2, "no order yet"),
    "days_since_first_order": ("first order", "day ago", "days ago", 0, "no order yet"),
    "tenure_days": ("known for", "day", "days", 0, "not known since when"),
    "active_days": ("bought on", "day", "days", 0, "no order yet"),
    "interorder_days_mean": ("orders every", "day", "days", 1, "no rhythm yet"),
    "gap_ratio": ("silent for", "times the usual gap", "times the usual gap", 1, "no rhythm yet"),
    "items_per_order": ("", "unit per order", "units per order", 1, "no order yet"),
    "distinct_products": ("", "different product", "different products", 0, ""),
    "distinct_categories": ("", "category", "categories", 0, ""),
    "r_score": ("recency score", "of 5", "of 5", 0, "no recency score"),
    "f_score": ("frequency score", "of 5", "of 5", 0, "no frequency score"),
    "m_score": ("spend score", "of 5", "of 5", 0, "no spend score"),
    "rfm_score": ("RFM score", "of 15", "of 15", 0, "no RFM score"),
    "spend_trend": ("spends", "times the quarter before", "times the quarter before", 2, "no quarter to compare with"),
    "expected_spend": ("expected to spend", "in the next period", "in the next period", 2, "no forecast"),
    "lifetime_value": ("expected to spend", "in the next year", "in the next year", 2, "no forecast"),
    "next_order_date": ("next order expected in", "day", "days", 0, "no next order expected"),
    "sessions_90d": ("", "web visit in 90 days", "web visits in 90 days", 0, ""),
    "days_since_session": ("visited the web shop", "day ago", "days ago", 0, "never seen in the web shop"),
    "messages_90d": ("", "message in 90 days", "messages in 90 days", 0, ""),
    "gift_orders": ("", "order with a gift", "orders with a gift", 0, ""),
    "redemptions": ("", "coupon redeemed", "coupons redeemed", 0, ""),
    "coupon_orders": ("", "order with a coupon", "orders with a coupon", 0, ""),
    **{f"orders_{days}d": ("", f"order in {days} days", f"orders in {days} days", 0, "") for days in (30, 90, 365)},
    **{f"spend_{days}d": ("spent", f"in {days} days", f"in {days} days", 2, "") for days in (30, 90, 365)},
}
_BEHIND = {"r_score": "recency_days", "f_score": "orders", "m_score": "monetary"}  # what a score was made from
_FALLBACK = ("recency_days", "orders", "monetary")


def reasons_sql(condition: Condition, parameters: Parameters) -> str:
    """An SQL expression for the list of reasons of customers who fulfil the condition, each told once."""
    told = list(dict.fromkeys(_tell(condition, parameters)))
    if not told:
        told = ["'no earlier rule applies'", *(field_sql(FIELDS[name]) for name in _FALLBACK)]
    return f"list_filter([{', '.join(told)}], lambda told: told IS NOT NULL)"


def _tell(condition: Condition, parameters: Parameters) -> Iterator[str]:
    if condition.field is not None:
        yield _tell_comparison(condition, parameters)
    elif condition.any is not None:
        for part in condition.any:
            holds = compile_condition(part, parameters)
            yield from (f"CASE WHEN {holds} THEN {told} END" for told in _tell(part, parameters))
    else:
        for part in condition.parts:
            yield from _tell(part, parameters)


def _tell_comparison(condition: Condition, parameters: Parameters) -> str:
    info = condition.info
    if condition.op is Operator.CONTAINS:
        entry = f"CAST({parameters.add(condition.constants[0])} AS VARCHAR)"
        holds = f"coalesce(list_contains({info.name}, {entry}), false)"
        return f"CASE WHEN {holds} THEN '{_name(info)}: ' ELSE '{_name(info)}: not ' END || {entry}"
    if info.name in _BEHIND:
        return f"{field_sql(FIELDS[_BEHIND[info.name]])} || ' (' || {field_sql(info)} || ')'"
    return field_sql(info)


def field_sql(info: FieldInfo) -> str:
    """An SQL expression that tells a field's value in words; never null."""
    column = column_sql(info)
    before, one, many, decimals, missing = _PHRASES.get(info.name, (f"{_name(info)}:", "", "", 2, ""))
    missing = (missing or f"{_name(info)}: not known").replace("'", "''")
    match info.kind:
        case Kind.FLAG:
            told = f"CASE WHEN {column} THEN '{_name(info)}' ELSE 'not: {_name(info)}' END"
        case Kind.TEXT:
            told = f"'{_name(info)}: ' || {column}"
        case Kind.LIST:
            told = f"'{_name(info)}: ' || array_to_string({column}, ', ')"
        case _ if info.unit == "0 to 1":
            told = f"'{_name(info)}: ' || CAST(CAST(round(100 * {column}) AS BIGINT) AS VARCHAR) || ' %'"
        case _:
            places = 0 if info.whole else decimals
            number = f"format('{{:.{places}f}}', {column})"
            unit = f"CASE WHEN {column} = 1 THEN '{one}' ELSE '{many}' END"
            told = f"trim('{before} ' || {number} || ' ' || {unit})"
    return f"coalesce({told}, '{missing}')"


def _name(info: FieldInfo) -> str:
    return info.name.replace("_", " ").replace("'", "''")
