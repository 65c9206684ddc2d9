"""Alerts say what happened, what it means and what happens next, and have no room for anything else."""

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.alerts.messages import IMPACTS, TEXTS, Alert, Kind

ROOT = Path(__file__).parents[2]


def test_a_final_alert_reads_like_this():
    alert = Alert("gave-up", "segment-customers", {"attempts": 3})
    assert alert.event == "segmentation.alert.gave-up"
    assert alert.subject == "[segmentation] segment-customers: gave up"
    assert alert.body == (
        "What happened: A run of segment-customers failed and is not restarted any more.\n"
        "What it means: Segments, recommendations and audiences stay as they were yesterday.\n"
        "What happens next: A person must act: open the run, mend the cause it names, then press Retry; "
        "finished stages are reused.\n"
        "attempts: 3"
    )


def test_every_kind_has_its_sentences():
    assert set(TEXTS) == set(get_args(Kind))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_body_says_what_happened_what_it_means_and_what_happens_next(kind):
    heads = [line.split(":")[0] for line in Alert(kind, "hubspot").body.splitlines()]
    assert heads == ["What happened", "What it means", "What happens next"]
    assert "{" not in Alert(kind, "hubspot").body


def test_every_deployment_says_what_its_failure_means_for_the_business():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {deployment["name"] for deployment in deployments} <= set(IMPACTS)


@pytest.mark.parametrize(
    "leak",
    ["ana@example.com", "https://hooks.example.com/T0/B0/key", "Error: row {'email': 'x'}", "", "a" * 81, "two\nlines"],
)
def test_an_address_a_key_or_free_text_does_not_fit_into_an_alert(leak):
    with pytest.raises(ValueError, match="an alert names things by letters"):
        Alert("destination-degraded", leak)
    with pytest.raises(ValueError, match="an alert names things by letters"):
        Alert("destination-degraded", "hubspot", {leak: 1})


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_figures_are_finite_and_stand_in_the_body(value):
    alert = Alert("quarantine-above-limit", "pos", {"rows_refused": 1})
    if not math.isfinite(value):
        with pytest.raises(ValueError, match="finite"):
            replace(alert, figures={"rows_refused": value})
    else:
        assert f"rows refused: {value:g}" in replace(alert, figures={"rows_refused": value}).body
