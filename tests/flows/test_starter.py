"""The first folder of a new retailer works as it is."""

from datetime import date, timedelta

import pytest

from flows.checking import check_everything
from flows.starter import write_starter
from tasks.errors import ConfigurationError

TODAY = date(2031, 3, 5)


def test_the_starter_passes_its_own_check(tmp_path):
    write_starter(tmp_path / "shop", TODAY)
    findings = check_everything(str(tmp_path / "shop" / "segmentation.yaml"))
    assert {finding.verdict for finding in findings} == {"passed"}


def test_the_sample_ends_in_the_week_before_today_on_its_own_weekday(tmp_path):
    for today in (TODAY, TODAY + timedelta(days=6)):
        folder = tmp_path / str(today)
        write_starter(folder, today)
        rows = (folder / "data" / "orders.csv").read_text().splitlines()
        place = rows[0].split(",").index("sold_at")
        newest = max(date.fromisoformat(row.split(",")[place][:10]) for row in rows[1:])
        assert timedelta(days=1) <= today - newest <= timedelta(days=7)


def test_nothing_that_stands_in_the_folder_is_overwritten(tmp_path):
    (tmp_path / "segments.yaml").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"segments.yaml"):
        write_starter(tmp_path, TODAY)
    assert [path.name for path in tmp_path.iterdir()] == ["segments.yaml"]
