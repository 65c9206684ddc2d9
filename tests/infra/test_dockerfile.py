"""The image holds what a run needs and nothing else; read from the Dockerfile, no engine is needed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prefect.workers.base import BaseJobConfiguration

ROOT = Path(__file__).parents[2]


def instructions():
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def stages():
    found = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def copied():
    for name, rest in stages()[0]:
        if name == "COPY":
            yield from rest.split()[:-1]


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_a_run_is_not_root_and_the_user_is_a_number_that_ecs_can_check():
    users = [rest for name, rest in stages()[-1] if name == "USER"]
    assert users
    assert int(users[-1]) > 0
    last_user = max(index for index, (name, _) in enumerate(stages()[-1]) if name == "USER")
    assert not [rest for name, rest in stages()[-1][last_user:] if name in ("RUN", "COPY", "ADD")]


def test_the_command_is_the_one_that_the_worker_sends():
    [command] = [rest for name, rest in stages()[-1] if name == "CMD"]
    assert " ".join(yaml.safe_load(command)) == BaseJobConfiguration._base_flow_run_command()
    assert not [name for name, _ in instructions() if name == "ENTRYPOINT"]


def test_code_lies_where_production_looks_for_it():
    production = yaml.safe_load((ROOT / "infra/environments/production.yaml").read_text())
    assert [rest for name, rest in stages()[-1] if name == "WORKDIR"] == [production["directory"]]
    entrypoints = {
        deployment["entrypoint"].split("/")[0]
        for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    assert entrypoints <= set(copied())


def test_every_third_party_version_comes_from_the_constraints():
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert installs
    for install in installs:
        assert "--constraint constraints.txt" in install or "--no-deps" in install


def test_no_compiler_and_no_installer_stays_in_the_image():
    runs = " ".join(rest for name, rest in stages()[-1] if name == "RUN")
    assert "apt" not in runs
    assert "pip uninstall" in runs
    assert re.search(r"pip uninstall --yes .*pip", " ".join(rest for name, rest in stages()[0] if name == "RUN"))


@pytest.mark.parametrize("path", sorted(set(copied())))
def test_what_is_copied_is_let_through_to_the_builder(path):
    assert f"!{path}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_everything_else_stays_out_of_the_build():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())


def test_no_secret_is_baked_in():
    for name, rest in instructions():
        if name in ("ENV", "ARG"):
            assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD|AUTH", rest, re.IGNORECASE)


def test_base_images_have_a_version():
    for stage in stages():
        assert re.fullmatch(r"python:\$\{PYTHON\}-slim( AS build)?", stage[0][1])
    assert ("ARG", "PYTHON=3.11") in instructions()
