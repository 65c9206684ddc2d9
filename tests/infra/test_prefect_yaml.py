"""The linter refuses each mistake that `prefect deploy` lets pass, and the project's own file has none."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.environment import VARIABLES
from infra.job_templates import job_schemas
from infra.lint import main
from infra.prefect_yaml import find_mistakes

ROOT = Path(__file__).parents[2]

FLOW = """
from prefect import flow
import prefect

@flow(name="nightly")
def nightly(source: str, batch: int = 3, *, dry_run: bool = True): ...

@prefect.flow
def anything(**named): ...

def plain(source): ...
"""

SOUND = """
name: shop
pull:
  - prefect.deployments.steps.set_working_directory: {directory: /app}
deployments:
  - name: nightly
    entrypoint: flows/nightly.py:nightly
    description: Counts the day.
    tags: [daily]
    parameters: {source: till}
    schedules:
      - {slug: daily, cron: "0 6 * * *", timezone: Europe/Amsterdam, parameters: {batch: 4}}
    triggers:
      - type: event
        name: on purchase
        expect: [shop.purchase]
        match: {prefect.resource.id: "shop.order.*"}
        parameters: {source: "{{ event.resource.id }}"}
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
    work_pool: {name: "{{ prefect.variables.segmentation_work_pool }}", job_variables: {cpu: 512, memory: 1024}}
"""


@pytest.fixture(scope="module")
def schemas():
    return job_schemas()


@pytest.fixture
def lint(tmp_path, schemas):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/nightly.py").write_text(FLOW)

    def run(text: str) -> list[str]:
        file = tmp_path / "prefect.yaml"
        file.write_text(text)
        return find_mistakes(file, variables=frozenset(VARIABLES), job_schemas=schemas)

    return run


def test_a_sound_file_has_no_mistakes(lint):
    assert lint(SOUND) == []


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("    schedules:", "    schedulez:", "nightly: schedulez: Extra inputs are not permitted"),
        ("tags: [daily]", "tags: [daily]\n    tag: [x]", "nightly: tag: Extra inputs are not permitted"),
        (
            "        expect: [shop.purchase]",
            "        expects: [shop.purchase]",
            "nightly: triggers.0.expects: Extra inputs",
        ),
        ("        expect: [shop.purchase]\n", "", "nightly: triggers.0.expect: Field required"),
        ("expect: [shop.purchase]", "expect: []", "nightly: triggers.0.expect: List should have at least 1 item"),
        ("expect: [shop.purchase]", 'expect: ["*"]', "expects every event"),
        (
            'match: {prefect.resource.id: "shop.order.*"}',
            "match: {}",
            "nightly: triggers.0.match: Dictionary should have at least 1",
        ),
        ('match: {prefect.resource.id: "shop.order.*"}', 'match: {prefect.resource.id: "*"}', "matches every resource"),
        ("type: event", "type: evnt", "nightly: triggers.0.type: Input should be 'event'"),
        ('cron: "0 6 * * *"', 'cron: "0 66 * * *"', "nightly: schedules.0"),
        ('cron: "0 6 * * *", ', "", "give exactly one of cron, interval and rrule"),
        ("Europe/Amsterdam", "Europe/Amsterdan", "nightly: schedules.0"),
        ("ENQUEUE", "QUEUE_UP", "concurrency_limit.collision_strategy: Input should be 'ENQUEUE' or 'CANCEL_NEW'"),
        (
            "parameters: {source: till}",
            "parameters: {source: till, batsch: 3}",
            "nightly: parameters: the flow has no parameter batsch",
        ),
        ("parameters: {batch: 4}", "parameters: {bach: 4}", "nightly: schedule daily: the flow has no parameter bach"),
        (
            'parameters: {source: "{{ event.resource.id }}"}',
            "parameters: {sauce: x}",
            "trigger on purchase: the flow has no parameter sauce",
        ),
        ("    parameters: {source: till}\n", "", "schedule daily: parameter source has no default and gets no value"),
        ("cpu: 512", "imagee: app", "work_pool: no kind of work pool knows the job variable imagee"),
        ("cpu: 512", "cpu: lots", "work_pool: job variable cpu: 'lots' is not valid"),
        ("flows/nightly.py:nightly", "flows/weekly.py:nightly", "there is no file flows/weekly.py"),
        ("flows/nightly.py:nightly", "flows/nightly.py:weekly", "flows/nightly.py defines no function weekly"),
        ("flows/nightly.py:nightly", "flows/nightly.py:plain", "plain is not decorated with @flow"),
        ("segmentation_work_pool", "segmentation_wrok_pool", "variable segmentation_wrok_pool is set by nobody"),
        (
            "description: Counts the day.",
            "description: Counts the day.\n    enforce_parameter_schema: false",
            "enforce_parameter_schema",
        ),
        ("name: nightly\n", "name: nightly\n    name: weekly\n", "key name stands here 2 times"),
        ("name: shop", "name: shop\ndeployment: []", "deployment: Extra inputs are not permitted"),
        (
            "set_working_directory: {directory: /app}",
            "git_clone: {repository: x}",
            "pull: 0.prefect.deployments.steps.git_clone",
        ),
        ("name: shop", "name: [shop", "not YAML"),
    ],
)
def test_each_mistake_is_refused_by_name(lint, right, wrong, complaint):
    assert right in SOUND
    mistakes = lint(SOUND.replace(right, wrong, 1))
    assert any(complaint in mistake for mistake in mistakes), mistakes


def test_two_deployments_of_one_name_are_refused(lint):
    entry = SOUND.split("deployments:\n")[1]
    assert any("2 deployments have this name" in mistake for mistake in lint(SOUND + entry))


def test_a_flow_that_takes_any_parameter_gets_any(lint):
    assert lint(SOUND.replace("nightly.py:nightly", "nightly.py:anything")) == []


def test_the_projects_own_file_has_no_mistakes(schemas):
    assert find_mistakes(ROOT / "prefect.yaml", variables=frozenset(VARIABLES), job_schemas=schemas) == []


def test_the_command_exits_1_and_prints_one_line_per_mistake(tmp_path):
    file = tmp_path / "prefect.yaml"
    file.write_text(SOUND.replace("tags: [daily]", "tag: [daily]"))
    result = CliRunner().invoke(main, [str(file)])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "prefect.yaml: nightly: tags: Field required",
        "prefect.yaml: nightly: tag: Extra inputs are not permitted",
        "prefect.yaml: 2 mistakes",
    ]


def test_the_command_exits_0_on_the_projects_own_file():
    result = CliRunner().invoke(main, [str(ROOT / "prefect.yaml")])
    assert (result.exit_code, result.output) == (0, "prefect.yaml: no mistakes\n")
