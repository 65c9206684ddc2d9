"""One row of an order: signs, defaults and money settled, and everything that is wrong with it named."""

from tasks.config import Config, Source
from tasks.intake.mapping import joined_marks
from tasks.intake.reading import quote


def order_rows_sql(mapped: str, config: Config, source: Source, known_until: str) -> str:
    """SQL of order rows from mapped ones: final columns, ``marks``, ``raw``, and the amount as ``stake`` where known.

    Returns and cancellations are netted here: a negative quantity or the flag ``is_return`` makes quantity and amount
    negative; a cancelled line keeps its place with zero quantity and zero amount.
    """
    return (
        f"SELECT * EXCLUDE (units, net, void, back, rate, their_amount) "
        f"REPLACE ({_marks(source, known_until)} AS marks), {_stake()} AS stake "
        f"FROM ({_converted_sql(_signed_sql(mapped, source), config, source)})"
    )


def _signed_sql(mapped: str, source: Source) -> str:
    quantity = "quantity" if "quantity" in source.columns else "1.0"
    gross = f"abs({quantity}) * unit_price - abs(coalesce(discount, 0))"
    amount = "amount" if "amount" in source.columns else f"TRY_CAST(({gross}) * sign({quantity}) AS DECIMAL(18,4))"
    return f"""
        SELECT * REPLACE (
            CASE WHEN void THEN 0.0 WHEN back THEN -abs(units) ELSE units END AS quantity,
            CASE WHEN void THEN 0 WHEN back THEN -abs(net) ELSE net END::DECIMAL(18,4) AS amount,
            CASE WHEN void THEN 0 ELSE abs(coalesce(discount, 0)) END::DECIMAL(18,4) AS discount
        )
        FROM (
            SELECT *, {quantity} AS units, {amount} AS net, coalesce(cancelled, false) AS void,
                coalesce(is_return, false) OR coalesce({quantity} < 0, false) AS back
            FROM ({mapped})
        )"""


def _converted_sql(signed: str, config: Config, source: Source) -> str:
    own = source.currency or config.currency
    rates = {config.currency: 1.0} | {code.upper(): rate for code, rate in config.exchange_rates.items()}
    rate = " ".join(f"WHEN {quote(code)} THEN {value!r}" for code, value in sorted(rates.items()))
    money = ", ".join(
        f"(CASE WHEN rate = 1 THEN {name} ELSE TRY_CAST({name} * rate AS DECIMAL(18,4)) END) AS {name}"
        for name in ("unit_price", "discount", "amount")
    )
    return f"""
        SELECT * REPLACE ({money}), amount AS their_amount
        FROM (SELECT *, CASE coalesce(upper(currency), {quote(own)}) {rate} END::DOUBLE AS rate FROM ({signed}))"""


def _marks(source: Source, known_until: str) -> str:
    checks = source.checks
    codes = {
        "future_time": f"ordered_at > {quote(known_until)}::TIMESTAMPTZ",
        "too_early": f"ordered_at < {quote(checks.earliest)}::TIMESTAMPTZ",
        "bad_number": "amount IS NULL AND rate IS NOT NULL OR units IS NULL",
        "zero_quantity": "units = 0 AND NOT void",
        "absurd_quantity": f"abs(units) > {checks.max_quantity!r}",
        "absurd_amount": f"abs(their_amount) > {checks.max_amount!r}",
        "negative_price": "unit_price < 0",
        "unknown_currency": "rate IS NULL",
    }
    return joined_marks(["nullif(marks, '')"] + [f"CASE WHEN {test} THEN '{code}' END" for code, test in codes.items()])


def _stake() -> str:
    return "coalesce(CASE WHEN rate IS NULL THEN 0 ELSE amount END, 0)::DECIMAL(18,4)"
