"""One mapped value becomes what its column holds, or null with a reason."""

from tasks.intake.columns import SQL_TYPES, Kind, MappedColumn
from tasks.intake.reading import quote

_OFFSET = r"\d:\d\d.*(Z|z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
_YES = "('true', 't', 'yes', 'y', '1', '1.0')"
_NO = "('false', 'f', 'no', 'n', '0', '0.0')"
_MISSING_CODES = {"product_id": "missing_product"}
_NEEDED_NUMBERS = {"quantity", "amount", "line"}


def cast_sql(column: MappedColumn, their_type: str, zone: str) -> str:
    """SQL that casts the expression ``_name``, of DuckDB type ``their_type``, to the kind of the column."""
    value = f"_{column.name}"
    text = _stripped(value if their_type == "VARCHAR" else f"{value}::VARCHAR")
    match column.kind:
        case Kind.TEXT:
            return _text(value, text, their_type)
        case Kind.NUMBER | Kind.MONEY | Kind.WHOLE:
            return _number(column.kind, value if their_type != "VARCHAR" else text)
        case Kind.FLAG:
            return value if their_type == "BOOLEAN" else _flag(text)
        case Kind.INSTANT:
            return _instant(value, text, their_type, zone)
        case Kind.DAY:
            return f"TRY_CAST({text if their_type == 'VARCHAR' else value} AS DATE)"
        case _:
            return _texts(value, text, their_type)


def _text(value: str, text: str, their_type: str) -> str:
    if their_type.endswith("INT"):
        return f"{value}::VARCHAR"
    if their_type in {"DOUBLE", "FLOAT"}:
        # a column of whole numbers with gaps is stored as floats by many tools: 123.0 is customer 123
        whole = f"{value} = floor({value}) AND abs({value}) < 1e15"
        return f"CASE WHEN {whole} THEN {value}::BIGINT::VARCHAR ELSE {value}::VARCHAR END"
    return text


def _number(kind: Kind, value: str) -> str:
    cast = f"TRY_CAST({value} AS {SQL_TYPES[kind]})"
    return f"CASE WHEN isfinite({cast}) THEN {cast} END" if kind is Kind.NUMBER else cast


def _flag(text: str) -> str:
    return f"CASE WHEN lower({text}) IN {_YES} THEN true WHEN lower({text}) IN {_NO} THEN false END"


def _instant(value: str, text: str, their_type: str, zone: str) -> str:
    """Times with an offset are instants; others are wall clock in ``zone``, the later in an hour that occurs twice."""
    if their_type == "TIMESTAMP WITH TIME ZONE":
        return value
    written = f"TRY_CAST({text if their_type == 'VARCHAR' else value} AS TIMESTAMP)"
    # the calendar library is slow and has nothing to do for UTC
    local = f"make_timestamptz(epoch_us({written}))" if zone == "UTC" else f"TRY(timezone({quote(zone)}, {written}))"
    if their_type != "VARCHAR":
        return local
    return f"CASE WHEN regexp_matches({text}, '{_OFFSET}') THEN TRY_CAST({text} AS TIMESTAMPTZ) ELSE {local} END"


def _texts(value: str, text: str, their_type: str) -> str:
    listed = f"{value}::VARCHAR[]" if their_type.endswith("]") else f"string_split({text}, ',')"
    return f"list_filter(list_transform({listed}, lambda x: trim(x)), lambda x: x <> '')"


def mark_sql(column: MappedColumn, their_type: str, zone: str) -> dict[str, str]:
    """Reason code and SQL condition of what can be wrong with the value of one column by itself."""
    cast = cast_sql(column, their_type, zone)
    match column.kind:
        case Kind.TEXT if column.required:
            return {_MISSING_CODES.get(column.name, f"missing_{column.name}"): f"{cast} IS NULL"}
        case Kind.INSTANT | Kind.DAY if column.required:
            return {"bad_time": f"{cast} IS NULL"}
        case Kind.NUMBER | Kind.MONEY | Kind.WHOLE if column.name in _NEEDED_NUMBERS:
            return {"bad_number": f"{cast} IS NULL"}
        case Kind.NUMBER | Kind.MONEY | Kind.WHOLE:
            given = _stripped(f"_{column.name}") if their_type == "VARCHAR" else f"_{column.name}"
            return {"bad_number": f"{cast} IS NULL AND {given} IS NOT NULL"}
    return {}


def _stripped(text: str) -> str:
    return f"nullif(trim({text}), '')"
