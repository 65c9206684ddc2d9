"""A marketer sees an audience before it exists, and a saved one says who and why."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.define_segment import define_segment
from tasks.errors import ConfigurationError
from tasks.lake import Lake
from tasks.segments.fields import FIELDS
from tasks.segments.form import Comparison, FormCondition, FormGroup, SegmentForm, field_label
from tasks.segments.rule_file import default_text, load_rules
from tests.segments.conftest import feature_rows

DAY = date(2026, 6, 1)
REGULARS = SegmentForm(
    name="Regulars",
    groups=[
        FormGroup(
            conditions=[
                FormCondition(field=field_label(FIELDS["orders"]), comparison=Comparison.AT_LEAST, value="10"),
            ]
        )
    ],
)
pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def shop(tmp_path: Path) -> tuple[str, Lake]:
    """A configuration with its own rule file, and a lake with two customers."""
    lake = Lake(root=str(tmp_path / "lake"))
    lake.replace("customer_features", feature_rows([{"orders": 30, "spend_365d": 700}, {"orders": 1}], DAY))
    (tmp_path / "segments.yaml").write_text("# ours\n" + default_text())
    config = tmp_path / "segmentation.yaml"
    config.write_text("lake: ./lake\nsegments: ./segments.yaml\n")
    return str(config), lake


def artifact_text(key: str) -> str:
    with get_client(sync_client=True) as client:
        found: Any = client.request("POST", "/artifacts/latest/filter", json={}).json()
    return str(next(artifact["data"] for artifact in found if artifact["key"] == key))


def test_a_preview_shows_and_changes_nothing(shop: tuple[str, Lake]) -> None:
    config, lake = shop
    define_segment(REGULARS, config=config)
    text = artifact_text("preview-regulars")
    assert "**1 customer** (50.0% of all) who spent **700 USD**" in text
    assert "+  - id: regulars" in text
    assert lake.latest("rule_versions").version is None
    assert "regulars" not in Path(config).with_name("segments.yaml").read_text()


def test_a_saved_audience_is_in_the_file_and_in_the_versions(shop: tuple[str, Lake]) -> None:
    config, lake = shop
    version = define_segment(REGULARS, save=True, who="Maria", why="Autumn mailing", config=config)
    file = Path(config).with_name("segments.yaml")
    assert load_rules(str(file)).audiences[-1].id == "regulars"
    assert file.read_text().startswith("# ours\n")
    saved = lake.read(lake.latest("rule_versions")).to_pylist()
    assert [(row["version"], row["saved_by"], row["reason"]) for row in saved] == [(version, "Maria", "Autumn mailing")]


def test_nothing_is_saved_without_a_name_and_a_reason(shop: tuple[str, Lake]) -> None:
    config, lake = shop
    with pytest.raises(ConfigurationError, match="who saves the rules and why"):
        define_segment(REGULARS, save=True, who="Maria", config=config)
    assert "regulars" not in Path(config).with_name("segments.yaml").read_text()
    assert lake.latest("rule_versions").version is None
