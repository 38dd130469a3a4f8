"""No file of `cluster/` holds a secret, a registry's host, or something without a version."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.manifests import CLUSTER

FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())
YAML = [path for path in FILES if path.suffix == ".yaml"]

SECRET = re.compile(r"(?i)token|password|secret|access_?key|credential|private_?key|api_?key")

HOST = re.compile(r"\b(?:[a-z0-9-]+\.)+(?:com|io|net|org|dev|ai)(?::\d+)?/[\w./-]+:[\w.-]+")
"""An image with its registry."""

LOOKS_LIKE_ONE = [
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\b(?:ghp|gho|hf|xox[bp]|sk)[-_][A-Za-z0-9]{20,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    re.compile(r"\b[0-9a-f]{40,}\b"),
    re.compile(r"://[^/\s:@]+:[^/\s@]+@"),
]

HARMLESS = {
    "mode": "token",
    "RAY_AUTH_MODE": "token",
    "secretName": "equivdm-ray",
    "automountServiceAccountToken": False,
    "HttpTokens": "required",
}
"""Values that fields of such a name may have: a mode, or the name of a Secret."""


def _named(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values: of mappings, and of variables of an environment."""
    if isinstance(node, dict):
        if {"name", "value"} <= node.keys():
            yield str(node["name"]), node["value"]
        for name, below in node.items():
            if not isinstance(below, dict | list):
                yield str(name), below
            yield from _named(below)
    elif isinstance(node, list):
        for below in node:
            yield from _named(below)


def _secrets(document: Any) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in _named(document)
        if SECRET.search(name) and HARMLESS.get(name, ...) != value and not str(name).startswith("/")
    ]


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_a_secret_is_a_reference(path: Path) -> None:
    for document in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        assert _secrets(document) == []
        assert document.get("kind") != "Secret", "they are made by hand, or by a secret store"


def test_a_value_is_caught() -> None:
    assert _secrets({"env": [{"name": "RAY_AUTH_TOKEN", "value": "abc"}]}) == [("RAY_AUTH_TOKEN", "abc")]
    assert _secrets({"redisPassword": "abc"}) == [("redisPassword", "abc")]
    reference = {
        "name": "RAY_AUTH_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "equivdm-ray", "key": "auth_token"}},
    }
    assert _secrets({"env": [reference]}) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_looks_like_a_secret(path: Path) -> None:
    text = path.read_text()
    assert not [found[0] for pattern in LOOKS_LIKE_ONE for found in pattern.finditer(text)]
    assert not HOST.search(text), "the user's registry is not known here"


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_an_image_has_a_version(path: Path) -> None:
    for document in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        images = [str(value) for name, value in _named(document) if name == "image"]
        assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+", image) for image in images)
        assert all(value != "latest" for _, value in _named(document))


def test_a_token_is_asked_for_wherever_a_cluster_starts() -> None:
    for name in ("kuberay/raycluster.yaml", "aws.yaml", "slurm.sh"):
        text = (CLUSTER / name).read_text()
        assert "mode: token" in text or "RAY_AUTH_MODE=token" in text


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, below in node.items():
            if name in ("secretKeyRef", "secretRef"):
                yield below["name"]
            elif name == "secretName":
                yield below
            else:
                yield from _references(below)
    elif isinstance(node, list):
        for below in node:
            yield from _references(below)


def test_the_readme_makes_every_secret_that_is_referred_to() -> None:
    documents = [each for path in YAML for each in yaml.load_all(path.read_text(), yaml.CSafeLoader)]
    page = (CLUSTER / "README.md").read_text()
    needed = {name for each in documents for name in _references(each)}
    assert needed == {"equivdm-ray", "equivdm-redis", "equivdm-s3"}
    assert needed - {"equivdm-s3"} == set(re.findall(r"create secret generic (\S+)", page))
    assert "`equivdm-s3`" in page, "only where a store is not the cloud's"


def test_the_readme_names_files_that_are_there() -> None:
    page = (CLUSTER / "README.md").read_text()
    named = set(re.findall(r"cluster/[\w./-]*\w", page)) | {
        f"cluster/{each}" for each in re.findall(r"\]\(([a-z]\S+)\)", page)
    }
    assert len(named) > 6
    assert all((CLUSTER.parent / each).exists() for each in named), named
