"""The manifests of `cluster/kuberay`, and what judges them: KubeRay's own schemas, and those of Kubernetes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"

KUBERNETES = "1.34"
"""The version whose API KubeRay's schemas embed."""

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    """Return the documents of a YAML file."""
    return list(yaml.load_all(path.read_text(), yaml.CSafeLoader))


def crd_validator(path: Path) -> jsonschema.Draft7Validator:
    """Return what a Kubernetes API server with strict field validation does with an object of a CRD's version v1."""
    (crd,) = read(path)
    schema = next(each for each in crd["spec"]["versions"] if each["name"] == "v1")["schema"]["openAPIV3Schema"]
    closed = close(schema)
    # The server itself knows these of every object.
    closed["properties"]["metadata"] = {"type": "object"}
    return _Structural(closed)


def close(schema: Manifest) -> Manifest:
    """Return a structural schema that refuses fields that it does not name, unless it says that it keeps them."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: close(field) for name, field in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            closed[name] = close(schema[name])
    names_fields = schema.get("type") == "object" and "additionalProperties" not in schema
    if names_fields and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed["additionalProperties"] = False
    return closed


def _twice(_: Any, keys: list[str], items: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    seen = set()
    for item in items:
        key = tuple(item.get(name) for name in keys)
        if key in seen:
            yield jsonschema.ValidationError(f"{key} stands twice")
        seen.add(key)


_Structural = jsonschema.validators.extend(jsonschema.Draft7Validator, {"x-kubernetes-list-map-keys": _twice})


def validate_kubernetes(manifest: Manifest) -> None:
    """Check an object of Kubernetes' own against its schema; unknown fields are refused."""
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def pod_templates(manifest: Manifest) -> Iterator[Manifest]:
    """Yield the pod templates of an object, however deep."""
    for name, field in _fields(manifest):
        if name in ("template", "submitterPodTemplate") and "containers" in field.get("spec", {}):
            yield field


def as_pod(template: Manifest) -> Manifest:
    """Return the pod that a template makes."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}} | template


def _fields(node: Any) -> Iterator[tuple[str, Manifest]]:
    if isinstance(node, dict):
        for name, below in node.items():
            if isinstance(below, dict):
                yield name, below
            yield from _fields(below)
    elif isinstance(node, list):
        for below in node:
            yield from _fields(below)
