"""The customer_features table: what was measured, with what the models predict beside it."""

from datetime import date

import duckdb
import pyarrow as pa

from tasks.config import Config
from tasks.features.adoption import suggest
from tasks.features.forecasts import Forecasts, forecast
from tasks.features.measures import measure
from tasks.features.past import create_past
from tasks.features.rfm import cuts_sql
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.contracts import CONTRACTS
from tasks.lake.grade_book import champions

READS = (
    "customers",
    "orders",
    "order_lines",
    "category_totals",
    "products",
    "sessions",
    "engagement",
    "consent",
    "past_behaviour",
)
REMEMBERS = ("model_grades",)


def write_features(
    lake: Lake, config: Config, as_of: date, known: Snapshots, *, into: Lake | None = None
) -> tuple[list[Snapshot], Forecasts]:
    """Measure and predict every customer; write the day of the tables that this stage owns, elsewhere with ``into``."""
    where = {"as_of": as_of}
    target = into or lake
    with lake.database([*known.only(READS), lake.latest("model_grades")]) as db:
        measure(db, as_of, config.timezone, config.features)
        forecasts = forecast(db, as_of, config.features)
        db.register("forecasts", forecasts.rows)
        words, model = config.recommendations.leave_out, champions(db, as_of).get("adoption")
        adoption = suggest(db, as_of, forecasts.horizon_days, leave_out=words, model=model)
        db.register("adoption", adoption)
        create_past(db, as_of, forecasts.horizon_days, config.timezone, config.features)
        written = [
            target.replace("customer_features", _features(db, forecasts), where=where),
            target.replace("score_cuts", db.sql(cuts_sql("measures")), where=where),
            target.replace("model_parameters", _parameters(forecasts, as_of), where=where),
            target.replace(
                "past_behaviour", db.sql("SELECT * FROM past_rows ORDER BY cutoff, customer_id"), where=where
            ),
        ]
    return written, forecasts


def _features(db: duckdb.DuckDBPyConnection, forecasts: Forecasts) -> duckdb.DuckDBPyRelation:
    available = {row[0] for row in db.sql("DESCRIBE measures").fetchall()} | set(forecasts.rows.schema.names)
    available |= {"adoption_category", "adoption_probability"}
    computed = {
        "horizon_days": f"{forecasts.horizon_days}::BIGINT",
        "prediction_model": "coalesce(prediction_model, 'none: no order yet')",
    }
    names = [name for name in CONTRACTS["customer_features"].names if name in available or name in computed]
    columns = ", ".join(f"{computed[name]} AS {name}" if name in computed else name for name in names)
    return db.sql(
        f"SELECT {columns} FROM measures LEFT JOIN forecasts USING (customer_id) "
        "LEFT JOIN adoption USING (customer_id) ORDER BY customer_id"
    )


def _parameters(forecasts: Forecasts, as_of: date) -> pa.Table:
    rows = [
        {"as_of": as_of, "model": model, "parameter": name, "value": value, "standard_error": error}
        for model, name, value, error in forecasts.parameters
    ]
    return pa.Table.from_pylist(rows, CONTRACTS["model_parameters"].schema)
