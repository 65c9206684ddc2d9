"""An environment says where things run; what it lacks is asked for by name, all at once."""

import pytest
import yaml

from infra.environment import FOLDER, VARIABLES, load_environment
from infra.job_templates import STOP_TIMEOUT_SECONDS, base_job_template
from tasks.config import Config
from tasks.errors import ConfigurationError

LOCAL = """
name: shop
timezone: Europe/Amsterdam
directory: .
config: segmentation.yaml
work_pool: {name: segmentation, type: process}
supervisor_pool: {name: segmentation, type: process}
results: {folder: results}
alerts:
  - {name: data-team, channel: slack, secret: SLACK_ADDRESS}
  - {name: on-call, channel: pagerduty, secret: PAGER_KEY, kinds: [gave-up]}
"""


@pytest.fixture
def load(tmp_path):
    def read(text=LOCAL, **values):
        file = tmp_path / "shop.yaml"
        file.write_text(text)
        return load_environment(str(file), values)

    return read


def test_the_local_environment_needs_nothing_but_itself():
    local = load_environment("local", {})
    assert [pool.type for pool in local.pools] == ["process"]
    assert set(local.variables) == set(VARIABLES)
    assert local.variables["segmentation_max_restarts"] == 2


def test_production_asks_for_all_it_needs_at_once_and_leaves_out_what_may_be_empty():
    with pytest.raises(ConfigurationError) as refused:
        load_environment("production", {"SEGMENTATION_BUCKET": "b"})
    assert "SEGMENTATION_CLUSTER" in str(refused.value)
    assert "SEGMENTATION_IMAGE" in str(refused.value)
    assert "SEGMENTATION_BUCKET" not in str(refused.value)
    assert "SEGMENTATION_API_KEY_SECRET" not in str(refused.value)


def test_what_production_sets_in_a_container_is_read_by_the_configuration():
    production = yaml.safe_load((FOLDER / "production.yaml").read_text())
    for name in production["work_pool"]["defaults"]["env"]:
        if name.startswith("SEGMENTATION_"):
            field, *inner = name.removeprefix("SEGMENTATION_").lower().split("__")
            setting = Config.model_fields[field].annotation
            assert not inner or inner[0] in setting.model_fields, name


def test_an_unknown_environment_is_answered_with_those_there_are():
    with pytest.raises(ConfigurationError, match="known: local, production"):
        load_environment("staging", {})


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("Europe/Amsterdam", "Europe/Amsterdan", "timezone Europe/Amsterdan is unknown"),
        ("name: shop", "nmae: shop", "nmae: Extra inputs are not permitted"),
        (
            "supervisor_pool: {name: segmentation, type: process}",
            "supervisor_pool: {name: s, type: ecs}",
            "process pool",
        ),
        ("name: on-call", "name: data-team", "two alert routes have the same name"),
        (
            "results: {folder: results}",
            "results: {bucket: b, endpoint: 'http://s3.example'}",
            "must begin with https://",
        ),
        ("channel: slack", "channel: pigeon", "alerts.0.channel"),
    ],
)
def test_a_mistake_is_named_with_its_place(load, right, wrong, complaint):
    assert right in LOCAL
    with pytest.raises(ConfigurationError, match=complaint):
        load(LOCAL.replace(right, wrong))


def test_a_value_from_outside_cannot_change_the_structure_of_the_file(load):
    environment = load(LOCAL.replace("config: segmentation.yaml", "config: ${FILE}"), FILE="a, max_restarts: 99")
    assert environment.config == "a, max_restarts: 99"
    assert environment.max_restarts == 2


def test_missing_secrets_of_alerts_are_listed_together_and_never_shown(load):
    with pytest.raises(ConfigurationError) as refused:
        load().secrets({"SLACK_ADDRESS": "http://insecure.example/T0"})
    assert str(refused.value).splitlines() == [
        "alert route data-team: the address in SLACK_ADDRESS must begin with https://",
        "alert route on-call: environment variable PAGER_KEY is not set",
    ]
    secrets = load().secrets({"SLACK_ADDRESS": "https://hooks.example/T0", "PAGER_KEY": "k"})
    assert "hooks.example" not in repr(secrets)


class TestJobTemplate:
    def test_a_container_gets_the_size_of_its_task_and_the_whole_notice_of_a_spot_interruption(self):
        template = base_job_template("ecs")["job_configuration"]
        [container] = template["task_definition"]["containerDefinitions"]
        assert container["cpu"] == template["task_definition"]["cpu"] == "{{ cpu }}"
        assert container["memory"] == template["task_definition"]["memory"] == "{{ memory }}"
        assert container["stopTimeout"] == STOP_TIMEOUT_SECONDS == 120

    def test_defaults_become_defaults_and_empty_ones_do_not(self):
        plain = base_job_template("ecs")["variables"]["properties"]
        filled = base_job_template("ecs", {"image": "app:1", "cluster": ""})["variables"]["properties"]
        assert filled["image"]["default"] == "app:1"
        assert filled["cluster"] == plain["cluster"]

    def test_a_default_that_the_pool_does_not_know_is_refused(self):
        with pytest.raises(ConfigurationError, match="type process has no job variable image"):
            base_job_template("process", {"image": "app:1"})
