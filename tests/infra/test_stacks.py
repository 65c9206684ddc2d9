"""The templates are sound, deploy in order and keep their promises: nothing public or unwatched, least privilege.

moto creates what it knows of a template and warns about the rest; what it cannot create is checked in the template.
"""

import json
import re
import warnings
from contextlib import contextmanager
from itertools import chain

import boto3
import pytest
from cfnlint.api import lint
from click.testing import CliRunner
from moto import mock_aws
from moto.core.common_models import CloudFormationModel

from infra.environment import load_environment
from infra.stacks import STACKS, TEMPLATES, deploy, deploy_command, main, outputs, read_template
from tasks.errors import ConfigurationError

UNKNOWN_TO_MOTO = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
}


def resources(kind=None):
    found = {name: body for stack in STACKS for name, body in read_template(stack)["Resources"].items()}
    return {name: body for name, body in found.items() if kind in (None, body["Type"])}


def statements():
    for name, role in resources("AWS::IAM::Role").items():
        for policy in role["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement["Fn::If"][1] if "Fn::If" in statement else statement


@pytest.mark.parametrize("stack", STACKS)
def test_cfn_lint_finds_nothing(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the linter's own libraries
        assert [str(match) for match in lint((TEMPLATES / f"{stack}.yaml").read_text())] == []


@pytest.mark.parametrize("stack", STACKS)
def test_every_parameter_and_output_is_explained(stack):
    template = read_template(stack)
    for name, entry in chain(template["Parameters"].items(), template["Outputs"].items()):
        assert len(entry.get("Description", "")) > 10, name


@pytest.mark.parametrize("stack", STACKS)
def test_no_template_uses_yaml_aliases_which_cloudformation_refuses(stack):
    assert not re.search(r":\s[&*][a-z]", (TEMPLATES / f"{stack}.yaml").read_text())


class TestTemplates:
    def test_every_queue_that_is_read_has_a_dead_letter_queue_and_every_queue_is_encrypted(self):
        queues = resources("AWS::SQS::Queue")
        dead = {queue for queue in queues if queue.endswith("DeadLetters")}
        for name, queue in queues.items():
            assert queue["Properties"]["SqsManagedSseEnabled"] is True
            assert name in dead or queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] in dead

    def test_every_queue_has_an_alarm(self):
        watched = {
            dimension["Value"]["Fn::Sub"]
            for alarm in resources("AWS::CloudWatch::Alarm").values()
            for dimension in alarm["Properties"]["Dimensions"]
            if dimension["Name"] == "QueueName"
        }
        assert watched == {
            queue["Properties"]["QueueName"]["Fn::Sub"] for queue in resources("AWS::SQS::Queue").values()
        }

    def test_bucket_and_queues_refuse_plain_http(self):
        policies = resources("AWS::S3::BucketPolicy") | resources("AWS::SQS::QueuePolicy")
        assert len(policies) == 3
        for policy in policies.values():
            denied = [s for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
            assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in denied]

    def test_the_bucket_is_private_and_versioned_and_announces_incoming_files(self):
        [bucket] = resources("AWS::S3::Bucket").values()
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
        blocked = bucket["Properties"]["PublicAccessBlockConfiguration"]
        assert len(blocked) == 4
        assert all(blocked.values())
        [announced] = bucket["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
        assert announced["Queue"] == {"Fn::GetAtt": ["EventQueue", "Arn"]}
        assert announced["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": {"Ref": "IncomingPrefix"}}]

    def test_what_a_person_asked_to_erase_is_gone_from_old_versions_within_a_month(self):
        days = read_template("foundation")["Parameters"]["OldVersionDays"]
        assert days["Default"] <= days["MaxValue"] <= 30

    def test_every_log_group_forgets(self):
        for group in resources("AWS::Logs::LogGroup").values():
            assert group["Properties"]["RetentionInDays"] == {"Ref": "LogDays"}

    def test_no_role_may_do_everything_and_only_unscopable_calls_have_no_resource(self):
        unscopable = {
            "ecr:GetAuthorizationToken",
            "ecs:TagResource",  # narrowed by its condition instead
            "ecs:RegisterTaskDefinition",
            "ecs:DeregisterTaskDefinition",
            "ecs:DescribeTaskDefinition",
            "ec2:DescribeVpcs",
            "ec2:DescribeSubnets",
        }
        for role, statement in statements():
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [action for action in actions if "*" in action], role
            if statement["Resource"] == "*":
                assert set(actions) <= unscopable, role

    def test_only_the_worker_starts_containers_and_it_hands_over_two_roles_only(self):
        assert {role for role, s in statements() if "ecs:RunTask" in s["Action"]} == {"WorkerRole"}
        [passing] = [(role, s) for role, s in statements() if "iam:PassRole" in s["Action"]]
        assert passing[0] == "WorkerRole"
        assert passing[1]["Resource"] == [{"Fn::GetAtt": ["TaskRole", "Arn"]}, {"Fn::GetAtt": ["ExecutionRole", "Arn"]}]

    def test_flows_read_secrets_of_destinations_and_not_the_one_of_prefect(self):
        [secret] = [
            s["Resource"] for role, s in statements() if role == "TaskRole" and "secretsmanager" in str(s["Action"])
        ]
        assert secret["Fn::Sub"].endswith("secret:${Environment}/segmentation/destinations/*")

    def test_nothing_comes_in_from_the_network(self):
        [group] = resources("AWS::EC2::SecurityGroup").values()
        assert "SecurityGroupIngress" not in group["Properties"]

    def test_a_request_for_the_queue_is_either_signed_by_iam_or_carries_its_signature_to_the_reader(self):
        integrations = resources("AWS::ApiGatewayV2::Integration")
        for route in resources("AWS::ApiGatewayV2::Route").values():
            integration = integrations[re.search(r"\$\{(\w+)\}", route["Properties"]["Target"]["Fn::Sub"]).group(1)]
            attributes = json.loads(integration["Properties"]["RequestParameters"]["MessageAttributes"])
            assert route["Properties"]["AuthorizationType"] == "AWS_IAM" or "signature" in attributes

    def test_no_secret_has_its_value_in_the_template(self):
        for secret in resources("AWS::SecretsManager::Secret").values():
            assert "SecretString" not in secret["Properties"]

    def test_workers_poll_the_pools_of_the_production_environment(self):
        production = load_environment("production", AnyValue())
        [task] = [t for n, t in resources("AWS::ECS::TaskDefinition").items() if n == "WorkerTask"]
        commands = [" ".join(container["Command"]) for container in task["Properties"]["ContainerDefinitions"]]
        pools = [(production.work_pool, "--with-healthcheck"), (production.supervisor_pool, "")]
        assert commands == [f"prefect worker start --pool {p.name} --type {p.type} {more}".strip() for p, more in pools]
        [start] = [s["Resource"]["Fn::Sub"] for _, s in statements() if "ecs:RunTask" in s["Action"]]
        assert start.endswith(f"task-definition/prefect_{production.work_pool.name}_*")


class AnyValue(dict):
    """Environment variables of which every one is set."""

    def get(self, key, _default=None):
        return "Europe/London" if key == "SEGMENTATION_TIMEZONE" else f"<{key}>"


@pytest.fixture
def account():
    with account_in("eu-central-1") as client:
        yield client


@contextmanager
def account_in(region):
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", region)
        yield boto3.client("cloudformation")


def deploy_all(client):
    ec2 = boto3.client("ec2")
    network = {
        "VpcId": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        "SubnetIds": ",".join(subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]),
    }
    deploy(client, "foundation", {"Environment": "test"})
    deploy(client, "workers", {"Environment": "test", "Image": "app:1", "PrefectApiUrl": "https://p/api", **network})
    deploy(client, "monitoring", {"Environment": "test", "AlarmEmail": "data@shop.example"})


class SecretForMoto(CloudFormationModel):
    """What moto lacks to create a secret from a template; it finds this class by itself."""

    def __init__(self, arn):
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type():
        return "Name"

    @staticmethod
    def cloudformation_type():
        return "AWS::SecretsManager::Secret"

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, *_, **__):
        return cls(boto3.client("secretsmanager").create_secret(Name=resource_name)["ARN"])


@pytest.fixture(scope="module")
def deployed():
    with account_in("eu-west-1") as client:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            deploy_all(client)
        unknown = {found.group(1) for w in caught if (found := re.search(r"Tried to parse (\S+)", str(w.message)))}
        assert unknown == UNKNOWN_TO_MOTO
        yield client


class TestDeployed:
    def test_the_bucket_is_encrypted(self, deployed):
        s3, bucket = boto3.client("s3"), outputs(deployed, "test")["SEGMENTATION_BUCKET"]
        [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}

    def test_outputs_fill_every_blank_of_the_production_environment_that_aws_knows(self, deployed):
        found = outputs(deployed, "test")
        by_hand = {
            "SEGMENTATION_TIMEZONE": "Europe/London",
            "SEGMENTATION_ALERT_SLACK": "https://s",
            "SEGMENTATION_ALERT_PAGERDUTY": "k",
        }
        production = load_environment("production", found | by_hand)
        assert production.work_pool.defaults["cluster"] == found["SEGMENTATION_CLUSTER"]
        assert production.work_pool.defaults["network_configuration"]["assignPublicIp"] == "ENABLED"
        assert production.results.bucket == found["SEGMENTATION_BUCKET"]

    @pytest.mark.usefixtures("deployed")
    def test_the_cluster_offers_fargate_and_spot(self):
        [cluster] = boto3.client("ecs").describe_clusters(clusters=["test-segmentation"])["clusters"]
        assert cluster["status"] == "ACTIVE"
        assert cluster["clusterName"] == "test-segmentation"

    @pytest.mark.usefixtures("deployed")
    def test_the_worker_service_runs_both_workers(self):
        ecs = boto3.client("ecs")
        [service] = ecs.describe_services(cluster="test-segmentation", services=["test-segmentation-worker"])[
            "services"
        ]
        assert service["desiredCount"] == 1
        task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        assert [container["name"] for container in task["containerDefinitions"]] == ["ecs-worker", "supervisor"]

    def test_ends_of_containers_go_to_the_queue_that_the_worker_reads(self, deployed):
        [target] = boto3.client("events").list_targets_by_rule(Rule="test-segmentation-ecs-events")["Targets"]
        assert target["Arn"].endswith(":" + outputs(deployed, "test")["SEGMENTATION_OBSERVER_QUEUE"])

    def test_an_event_that_cannot_be_read_five_times_goes_to_the_dead_letters(self, deployed):
        sqs, url = boto3.client("sqs"), outputs(deployed, "test")["SEGMENTATION_EVENTS_QUEUE"]
        redrive = json.loads(
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
        )
        assert redrive["maxReceiveCount"] == 5
        assert redrive["deadLetterTargetArn"].endswith("test-segmentation-events-dead")

    @pytest.mark.filterwarnings("ignore:Tried to parse")
    def test_a_changed_parameter_updates_the_stack_and_the_others_stay(self, deployed):
        assert deploy(deployed, "foundation", {"Environment": "test", "LogDays": "7"})
        kept = {
            p["ParameterKey"]: p["ParameterValue"]
            for p in deployed.describe_stacks(StackName="test-segmentation-foundation")["Stacks"][0]["Parameters"]
        }
        assert (kept["LogDays"], kept["ResultDays"]) == ("7", "14")


class TestCommand:
    def test_a_missing_parameter_is_named_before_anything_is_created(self, account):
        with pytest.raises(
            ConfigurationError, match="stack workers needs the parameters Image, PrefectApiUrl, SubnetIds, VpcId"
        ):
            deploy(account, "workers", {"Environment": "test"})
        assert account.list_stacks()["StackSummaries"] == []

    @pytest.mark.usefixtures("account")
    def test_an_unknown_parameter_is_named(self):
        result = CliRunner().invoke(deploy_command, ["foundation", "LogDay=3"])
        assert (result.exit_code, result.stderr) == (2, "foundation: stack foundation has no parameter LogDay\n")

    @pytest.mark.usefixtures("account")
    def test_a_parameter_without_value_is_refused(self):
        assert CliRunner().invoke(deploy_command, ["foundation", "LogDays"]).exit_code == 2

    @pytest.mark.filterwarnings("ignore:Tried to parse")
    @pytest.mark.usefixtures("account")
    def test_deploying_from_the_command_line_and_reading_the_outputs(self):
        assert (
            CliRunner().invoke(main, ["deploy", "foundation", "--environment", "test"]).output
            == "foundation: deployed\n"
        )
        lines = CliRunner().invoke(main, ["outputs", "--environment", "test"]).output.splitlines()
        assert "export SEGMENTATION_BUCKET='test-segmentation-123456789012-eu-central-1'" in lines
