"""Derives the CDNOW fixtures beside this file from data files that the PyPI package ``lifetimes`` 0.11.3 ships.

Run ``python tests/features/data/derive_cdnow.py`` with the ``bench`` extra; only data files of the package are
read. CDNOW: 23,570 customers who first bought in the first quarter of 1997, with all purchases to 30 June 1998, and the
systematic 1/10 sample of it that the papers use (Bruce Hardie, brucehardie.com/datasets). Purchases of one day are one
purchase; the first 273 days (39 weeks) calibrate, the next 273 are held out.

Columns: frequency (repeat purchases), recency_days (first to last), age_days (first purchase to day 273),
holdout_purchases, customers (with this row); in the spend file repeat_value in dollars (sum over repeat purchases).
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
CALIBRATION_DAYS, HOLDOUT_DAYS = 273, 273


def read_purchases(name: str, columns: list[str]) -> pd.DataFrame:
    package = find_spec("lifetimes")
    if package is None or package.origin is None:
        message = "Install the bench extra: pip install -e '.[bench]'"
        raise SystemExit(message)
    header = 0 if name == "CDNOW_master.txt" else None
    lines = pd.read_csv(
        Path(package.origin).parent / "datasets" / name, sep=r"\s+", header=header, names=columns, dtype={"value": str}
    )
    lines["day"] = (pd.to_datetime(lines.date.astype(str)) - pd.Timestamp("1996-12-31")).dt.days
    lines["cents"] = lines.value.str.replace(".", "", regex=False).astype(int)
    return lines.groupby(["customer", "day"], as_index=False).cents.sum()


def histories(purchases: pd.DataFrame) -> pd.DataFrame:
    """One row per customer."""
    known = purchases[purchases.day <= CALIBRATION_DAYS]
    later = purchases[purchases.day.between(CALIBRATION_DAYS + 1, CALIBRATION_DAYS + HOLDOUT_DAYS)]
    days = known.groupby("customer").day.agg(["size", "min", "max"])
    first = known[known.day == known.customer.map(days["min"])].set_index("customer").cents
    return pd.DataFrame(
        {
            "frequency": days["size"] - 1,
            "recency_days": days["max"] - days["min"],
            "age_days": CALIBRATION_DAYS - days["min"],
            "holdout_purchases": later.groupby("customer").size().reindex(days.index, fill_value=0),
            "repeat_value": (known.groupby("customer").cents.sum() - first) / 100,
        }
    )


def write() -> None:
    sample = histories(read_purchases("CDNOW_sample.txt", ["master", "customer", "date", "items", "value"]))
    full = histories(read_purchases("CDNOW_master.txt", ["customer", "date", "items", "value"]))
    for name, customers in (("sample", sample), ("full", full)):
        key = ["frequency", "recency_days", "age_days", "holdout_purchases"]
        rows = customers.groupby(key).size().rename("customers").reset_index()
        rows.to_csv(HERE / f"cdnow_{name}.csv", index=False)
    repeaters = sample.loc[sample.frequency > 0, ["frequency", "repeat_value"]].sort_values(
        ["frequency", "repeat_value"]
    )
    repeaters.to_csv(HERE / "cdnow_sample_spend.csv", index=False)


if __name__ == "__main__":
    write()
