"""A secret is found wherever it is kept, and what cannot be asked is told apart from what is not there."""

import boto3
import pytest
from moto import mock_aws
from prefect.blocks.system import Secret

from tasks.errors import ConfigurationError, TransientError
from tasks.secrets import find_secret, person_key

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture(autouse=True)
def aws(monkeypatch):
    """AWS as it is on a laptop: a region and nothing behind it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def test_the_environment_comes_before_prefect_and_prefect_before_aws(monkeypatch):
    with mock_aws():
        boto3.client("secretsmanager").create_secret(Name="shop-token", SecretString="from AWS")
        assert find_secret("shop-token").get_secret_value() == "from AWS"
        Secret(value="from Prefect").save("shop-token")
        assert find_secret("shop-token").get_secret_value() == "from Prefect"
        monkeypatch.setenv("SHOP_TOKEN", "from here")
        assert find_secret("shop-token").get_secret_value() == "from here"
        monkeypatch.setenv("SHOP_TOKEN", "")
        assert find_secret("shop-token").get_secret_value() == "from Prefect"


def test_a_secret_that_is_nowhere_names_the_three_places():
    with mock_aws(), pytest.raises(ConfigurationError, match=r"'no-such'.*NO_SUCH.*Secret block.*AWS secret"):
        find_secret("no-such")


def test_an_aws_that_does_not_answer_is_asked_again_later(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="AWS could not be asked for the secret 'far-away'"):
        find_secret("far-away")


def test_people_are_hashed_by_the_configured_key_or_by_one_that_the_lake_keeps(lake, monkeypatch):
    kept = person_key(lake)
    assert kept == person_key(lake)
    assert len(kept) >= 16
    monkeypatch.setenv("SEGMENTATION_PERSON_KEY", "ours")
    assert person_key(lake) == "ours"
