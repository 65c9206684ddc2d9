"""`segmentation check` looks at everything a run needs, asks sources how they are, and writes nothing."""

import json

import pytest
from click.testing import CliRunner

from flows.checking import check_everything
from flows.cli import main
from tasks.destinations.rehearsal.fake import Weather, serve
from tasks.segments.rule_file import default_text
from tests.flows.small_shop import write_shop
from tests.intake.sources_stand_ins import WooShop

SHOP = """\
  - name: web
    dataset: orders
    connector: woocommerce
    secret: woo-key
    required: {required}
    options: {{address: "{address}"}}
features:"""
ENTANGLED = """
  - id: fans_of_everything
    label: Fans of everything
    when: {all: [%s]}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A shop that also reads a web shop's API; returns how to write its configuration."""
    monkeypatch.setenv("WOO_KEY", WooShop.secret)
    config = write_shop(tmp_path)
    text = config.read_text()

    def write(fake, *, required=True):
        source = SHOP.format(address=fake.address, required=str(required).lower())
        config.write_text(text.replace("features:", source, 1))
        return config

    return write


def found(config, subject):
    [one] = [one for one in check_everything(str(config)) if one.subject == subject]
    return one


def test_a_source_is_asked_how_it_is_and_nothing_is_written(shop):
    with serve(WooShop()) as fake:
        config = shop(fake)
        before = sorted(config.parent.rglob("*"))
        answer = found(config, "source web")
        assert answer.verdict == "passed"
        assert answer.message != "woocommerce"
        assert {request.method for request in fake.seen} == {"GET"}
    assert sorted(config.parent.rglob("*")) == before


def test_a_key_that_a_source_refuses_is_told_without_showing_it(shop, monkeypatch):
    monkeypatch.setenv("WOO_KEY", json.dumps({"key": "ck", "secret": "not-the-secret"}))
    with serve(WooShop()) as fake:
        answer = found(shop(fake), "source web")
    assert answer.verdict == "stopped"
    assert "not-the-secret" not in answer.message


@pytest.mark.parametrize(("required", "verdict"), [(True, "stopped"), (False, "told")])
def test_a_source_that_does_not_answer_stops_only_where_it_is_required(shop, required, verdict, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    with serve(WooShop(Weather(rate=1.0, kinds=("503",)))) as fake:
        assert found(shop(fake, required=required), "source web").verdict == verdict


def test_rules_that_the_proof_left_undecided_are_told_of(tmp_path):
    config = write_shop(tmp_path, more="segments: rules.yaml\n")
    field = "{field: top_categories, op: contains, value: category %d}"
    (tmp_path / "rules.yaml").write_text(
        default_text().rstrip() + ENTANGLED % ", ".join(field % number for number in range(12))
    )
    told = [one for one in check_everything(str(config)) if one.verdict == "told"]
    assert [one.subject for one in told] == ["rule fans_of_everything"]
    shown = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert shown.exit_code == 0, shown.output
    assert "fans_of_everything" in shown.output
