"""Secrets by name, wherever a deployment keeps them, and the key under which people are hashed."""

import os
from typing import Any, cast

import boto3
from botocore import exceptions as aws
from prefect.blocks.system import Secret
from pydantic import SecretStr

from tasks.errors import ConfigurationError, TransientError
from tasks.lake import Lake
from tasks.lake.opened import identity

PERSON_KEY = "segmentation-person-key"
_BUSY = {"InternalServiceError", "InternalServiceErrorException", "ThrottlingException", "ServiceUnavailable"}


def find_secret(name: str) -> SecretStr:
    """A secret by name: environment variable (an empty one counts as unset), Prefect Secret block, AWS secret.

    ConfigurationError: none of the three has it. TransientError: AWS could not be asked.
    """
    if value := os.environ.get(_variable(name)):
        return SecretStr(value)
    try:
        return SecretStr(str(cast(Secret[Any], Secret.load(name)).get()))
    except ValueError:
        pass  # there is no such block; AWS may have it
    if (found := _aws_secret(name)) is not None:
        return found
    raise ConfigurationError(
        f"The secret {name!r} was not found. Set the environment variable {_variable(name)}, save a Prefect Secret "
        "block of that name, or create an AWS secret that this task may read."
    )


def _aws_secret(name: str) -> SecretStr | None:
    busy = f"AWS could not be asked for the secret {name!r}"
    try:
        return SecretStr(boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    except (aws.ConnectionError, aws.HTTPClientError) as error:
        raise TransientError(f"{busy} ({type(error).__name__})") from None
    except aws.ClientError as error:
        if (code := error.response.get("Error", {}).get("Code", "")) in _BUSY:
            raise TransientError(f"{busy} ({code})") from None
    except (aws.BotoCoreError, KeyError):
        pass  # no region, no credentials, or a secret that is no text
    return None


def person_key(lake: Lake) -> str:
    """The key of the hashes of people: SEGMENTATION_PERSON_KEY, else one that the lake keeps."""
    return os.environ.get(_variable(PERSON_KEY)) or identity(lake)


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
