"""`cluster/aws.yaml` through the parser of Ray's launcher, and its machines through the parameters that EC2 takes."""

import copy
from typing import Any

import botocore.session
import jsonschema
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.specs import load_spec
from pipelines.config import TrainJob
from tests.cluster.manifests import CLUSTER


@pytest.fixture(scope="module")
def prepared() -> dict[str, Any]:
    """The configuration as the launcher completes it."""
    return prepare_config(yaml.safe_load((CLUSTER / "aws.yaml").read_text()))


def test_the_launcher_takes_it(prepared: dict[str, Any]) -> None:
    validate_config(prepared)
    assert prepared["setup_commands"] == prepared["worker_setup_commands"] == [], "nothing is installed on top"
    assert prepared["available_node_types"]["head"]["max_workers"] == 0
    for name, kind in prepared["available_node_types"].items():
        assert kind["min_workers"] == 0, f"{name} costs nothing while nothing runs"


def test_a_misspelt_field_is_caught(prepared: dict[str, Any]) -> None:
    wrong = copy.deepcopy(prepared)
    wrong["idle_timeout"] = wrong.pop("idle_timeout_minutes")
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout"):
        validate_config(wrong)


def test_ec2_knows_every_parameter_of_its_machines(prepared: dict[str, Any]) -> None:
    shape = botocore.session.Session().get_service_model("ec2").operation_model("RunInstances").input_shape
    counts = {"MinCount": 1, "MaxCount": 1}  # what the launcher adds
    for kind in prepared["available_node_types"].values():
        report = ParamValidator().validate(kind["node_config"] | counts, shape)
        assert not report.has_errors(), report.generate_report()
    misspelt = ParamValidator().validate({"InstanceMarketOption": {"MarketType": "spot"}, **counts}, shape)
    assert "InstanceMarketOption" in misspelt.generate_report()


def test_the_dashboard_wants_a_token_and_listens_on_loopback(prepared: dict[str, Any]) -> None:
    options = " ".join(prepared["docker"]["run_options"])
    assert "--env RAY_AUTH_MODE=token" in options
    (mounted,) = prepared["file_mounts"]
    assert f"--env RAY_AUTH_TOKEN_PATH={mounted}" in options
    starts = [command for command in prepared["head_start_ray_commands"] if "ray start" in command]
    assert all("--dashboard-host=127.0.0.1" in command for command in starts)


def test_machines_that_may_be_taken_back_have_a_stand_in(prepared: dict[str, Any]) -> None:
    kinds = prepared["available_node_types"]
    spot = kinds["gpu_spot"]["node_config"]
    assert spot["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert spot["InstanceType"] == kinds["gpu_on_demand"]["node_config"]["InstanceType"]
    assert "InstanceMarketOptions" not in kinds["gpu_on_demand"]["node_config"]
    assert "InstanceMarketOptions" not in kinds["train"]["node_config"]


def test_trainings_pass_the_small_gpus_by(prepared: dict[str, Any]) -> None:
    job = load_spec("vace_1_3b_train")
    assert isinstance(job, TrainJob)
    for name in ("gpu_spot", "gpu_on_demand"):
        assert prepared["available_node_types"][name]["resources"]["CPU"] < job.fit.parallel.cpus_per_worker
