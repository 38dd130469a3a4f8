"""Manifests hold against the schemas of KubeRay and Kubernetes, and against what this project itself asks of them."""

import copy
import functools
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

from jobs.specs import load_spec
from pipelines.config import DistillJob, RenderJob, TrainJob
from tests.cluster.manifests import (
    CLUSTER,
    Manifest,
    as_pod,
    close,
    crd_validator,
    pod_templates,
    read,
    validate_kubernetes,
)

KUBERAY = CLUSTER / "kuberay"
FILES = sorted(set(KUBERAY.glob("*.yaml")) - {KUBERAY / "kustomization.yaml"})
MANIFESTS = [pytest.param(each, id=f"{path.stem}-{each['kind']}") for path in FILES for each in read(path)]
OF_RAY = [each for each in MANIFESTS if each.values[0]["apiVersion"] == "ray.io/v1"]
OF_KUBERNETES = [each for each in MANIFESTS if each not in OF_RAY]
JOBS = ("preprocess", "train", "distill", "render", "evaluate")


@functools.cache
def _validator(path: Path) -> jsonschema.Draft7Validator:
    return crd_validator(path)


def _judge(manifest: Manifest, assets: Path) -> None:
    name = f"ray.io_{manifest['kind'].lower()}s.yaml"
    _validator(assets / "schemas" / "kuberay" / name).validate(manifest)


def _cluster() -> Manifest:
    return read(KUBERAY / "raycluster.yaml")[-1]


def _groups() -> dict[str, Manifest]:
    return {each["groupName"]: each for each in _cluster()["spec"]["workerGroupSpecs"]}


def _pods() -> list[Manifest]:
    return [template for each in MANIFESTS for template in pod_templates(each.values[0])]


@pytest.mark.parametrize("manifest", OF_RAY)
def test_an_object_of_kuberay_holds_against_its_schema(manifest: Manifest, assets: Path) -> None:
    _judge(manifest, assets)


@pytest.mark.parametrize("manifest", OF_KUBERNETES)
def test_an_object_of_kubernetes_holds_against_its_schema(manifest: Manifest) -> None:
    validate_kubernetes(manifest)


def test_pods_hold_against_their_schema() -> None:
    assert len(_pods()) == 1 + len(_groups()) + 2, "head, pools, two CronJobs"
    for template in _pods():
        validate_kubernetes(as_pod(template))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("spec", "enableIntreeAutoscaling"), True),
        (("spec", "authOptions", "mod"), "token"),
        (("spec", "authOptions", "mode"), "tokens"),
        (("spec", "workerGroupSpecs", 0, "minReplicas"), "0"),
        (("spec", "workerGroupSpecs", 0, "template", "spec", "terminationGracePeriod"), 120),
        (("spec", "headGroupSpec", "template", "spec", "containers", 0, "readinessProb"), {}),
        (
            ("spec", "headGroupSpec", "template", "spec", "containers", 0, "env", 1, "name"),
            "RAY_idle_worker_killing_time_threshold_ms",
        ),
    ],
)
def test_a_wrong_field_of_a_cluster_is_caught(path: tuple[str | int, ...], wrong: object, assets: Path) -> None:
    manifest = copy.deepcopy(_cluster())
    node: Any = manifest
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = wrong
    with pytest.raises(jsonschema.ValidationError):
        _judge(manifest, assets)


def test_a_misspelt_field_of_kubernetes_is_caught() -> None:
    (manifest,) = read(KUBERAY / "cronjob-render.yaml")
    manifest["spec"]["concurencyPolicy"] = manifest["spec"].pop("concurrencyPolicy")
    with pytest.raises(kubernetes_validate.ValidationError, match="concurencyPolicy"):
        validate_kubernetes(manifest)


def test_a_schema_that_keeps_unknown_fields_stays_open() -> None:
    named = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert close(named)["additionalProperties"] is False
    assert "additionalProperties" not in close(named | {"x-kubernetes-preserve-unknown-fields": True})
    assert close({"type": "object", "additionalProperties": {"type": "string"}})["additionalProperties"]


def test_a_kustomization_names_what_stands() -> None:
    (found,) = read(KUBERAY / "kustomization.yaml")
    standing = {path.name for path in FILES if not path.name.startswith(("rayjob-", "raycronjob-"))}
    assert set(found["resources"]) == standing
    (image,) = found["images"]
    used = {container["image"] for pod in _pods() for container in pod["spec"]["containers"]}
    assert used == {f"{image['name']}:{image['newTag']}"}


def test_pods_have_no_rights() -> None:
    for template in _pods():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            found = container["securityContext"]
            assert found["allowPrivilegeEscalation"] is False
            assert found["readOnlyRootFilesystem"] is True
            assert found["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}


def test_a_cluster_asks_for_a_token_and_runs_nothing_on_its_head() -> None:
    spec = _cluster()["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "equivdm-ray"}
    assert spec["rayVersion"] == ray.__version__, "the nodes' Ray is that of constraints.txt"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_a_pool_drains_before_it_is_killed() -> None:
    for group in _groups().values():
        spec = group["template"]["spec"]
        assert group["minReplicas"] == 0
        command = shlex.split(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
        deadline = int(command[command.index("--deadline-remaining-seconds") + 1])
        assert command[:2] == ["ray", "drain-node"]
        assert command[-3:] == ["&&", "sleep", str(deadline)], "it goes at once where nothing can be drained"
        assert deadline < spec["terminationGracePeriodSeconds"]


def test_trainings_pass_the_small_gpus_by() -> None:
    groups = _groups()
    for kind, spec in ((TrainJob, "vace_1_3b_train"), (DistillJob, "vace_1_3b_distill")):
        job = load_spec(spec)
        assert isinstance(job, kind)
        parallel = job.fit.parallel
        limits = {name: _limits(group) for name, group in groups.items()}
        assert int(limits["a10"]["cpu"]) < parallel.cpus_per_worker
        assert int(limits["h100"]["cpu"]) >= parallel.cpus_per_worker * parallel.workers
        assert int(limits["h100"]["nvidia.com/gpu"]) >= parallel.gpus_per_worker * parallel.workers


def test_a_render_has_room_on_the_large_gpus_only() -> None:
    job = load_spec("vace_1_3b_render")
    assert isinstance(job, RenderJob)
    memory = {name: int(_limits(group)["memory"].removesuffix("Gi")) * 1024 for name, group in _groups().items()}
    assert memory["a10"] < job.work.model.memory_mib <= memory["h100"] / job.work.model.actors


def _limits(group: Manifest) -> dict[str, str]:
    return group["template"]["spec"]["containers"][0]["resources"]["limits"]


@pytest.mark.parametrize("verb", JOBS)
def test_a_rayjob_runs_a_job_of_ours(verb: str) -> None:
    (manifest,) = read(KUBERAY / f"rayjob-{verb}.yaml")
    spec = manifest["spec"]
    assert _runs(spec["entrypoint"]) == verb
    assert spec["clusterSelector"] == {"ray.io/cluster": _cluster()["metadata"]["name"]}
    assert spec["shutdownAfterJobFinishes"] is False, "of a cluster that is not its own"
    assert spec["backoffLimit"] == 0, "KubeRay refuses another one with clusterSelector"
    told = yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]
    assert int(told["RAY_JOB_STOP_WAIT_TIME_S"]) >= 120


def _runs(entrypoint: str) -> str:
    """Return the verb of a command line whose spec and settings hold."""
    command, verb, spec, *rest = shlex.split(entrypoint)
    assert command == "equivdm"
    assert rest[::2] == ["--set"] * (len(rest) // 2)
    load_spec(spec, rest[1::2], verb)
    return verb


@pytest.mark.parametrize("verb", ["preprocess", "render"])
def test_a_cronjob_submits_a_job_of_ours_and_waits_for_it(verb: str) -> None:
    (manifest,) = read(KUBERAY / f"cronjob-{verb}.yaml")
    spec = manifest["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    interval = 24 * 3600
    assert spec["startingDeadlineSeconds"] < interval
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] < interval
    template = spec["jobTemplate"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    *command, name, address = container["args"][:5]
    assert command == ["equivdm", "submit", verb]
    assert address == "--address=http://equivdm-head-svc:8265"
    load_spec(name, [each.removeprefix("--set=") for each in container["args"][5:]], verb)
    (policy,) = read(KUBERAY / "networkpolicy.yaml")
    label = policy["spec"]["ingress"][1]["from"][0]["podSelector"]["matchLabels"]
    assert label.items() <= template["metadata"]["labels"].items(), "or it does not reach the job server"


def test_cronjobs_differ_in_what_they_run_only() -> None:
    first, second = (copy.deepcopy(read(KUBERAY / f"cronjob-{verb}.yaml")[0]) for verb in ("preprocess", "render"))
    for manifest in (first, second):
        del manifest["metadata"]["name"], manifest["spec"]["schedule"]
        del manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert first == second


def test_a_raycronjob_is_the_rayjob_with_less_time() -> None:
    (recurring,), (once,) = read(KUBERAY / "raycronjob-preprocess.yaml"), read(KUBERAY / "rayjob-preprocess.yaml")
    template = recurring["spec"]["jobTemplate"]
    assert template | {"activeDeadlineSeconds": 0} == once["spec"] | {"activeDeadlineSeconds": 0}
    assert template["activeDeadlineSeconds"] < 24 * 3600
    assert (KUBERAY / "raycronjob-preprocess.yaml").read_text().startswith("# ALPHA")


def test_a_policy_lets_nobody_else_in() -> None:
    (policy,) = read(KUBERAY / "networkpolicy.yaml")
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    own, *others = policy["spec"]["ingress"]
    assert own == {"from": [{"podSelector": policy["spec"]["podSelector"]}]}
    for rule in others:
        assert rule["ports"], "a rule without ports opens all"
        assert all(peer["podSelector"]["matchLabels"] for peer in rule["from"]), "an empty selector is everybody"
