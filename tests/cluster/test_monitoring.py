"""Alerts and dashboard ask for metrics that exist, by labels that they have."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ray.dashboard.consts import GPU_TAG_KEYS, NODE_TAG_KEYS

from pipelines import prometheus, tally
from tests.cluster.manifests import CLUSTER

OF_RAY = {
    "ray_node_cpu_utilization": set(NODE_TAG_KEYS),
    "ray_node_mem_used": set(NODE_TAG_KEYS),
    "ray_node_disk_free": set(NODE_TAG_KEYS),
    "ray_node_disk_usage": set(NODE_TAG_KEYS),
    "ray_node_gpus_utilization": set(GPU_TAG_KEYS),
    "ray_node_gram_used": set(GPU_TAG_KEYS),
    "ray_object_store_memory": {"Location"},
    "ray_memory_manager_worker_eviction_total": {"Name", "Type"},
    "up": {"job"},
}
"""Metrics of others, with the labels that are asked for."""

OF_SCRAPES = {"instance", "pod"}

WORDS = {
    *("sum", "max", "min", "avg", "by", "on", "and", "unless", "offset"),
    *("rate", "increase", "histogram_quantile"),
}


def _ours() -> dict[str, set[str]]:
    # A histogram has three series.
    found = {}
    for metric in [*prometheus._metrics.__wrapped__(), prometheus.pending_gauge("job")]:
        name, labels = f"ray_{metric.info['name']}", set(metric.info["tag_keys"])
        if "boundaries" in metric.info:
            found |= {f"{name}_{end}": labels for end in ("sum", "count")} | {f"{name}_bucket": labels | {"le"}}
        else:
            found[name] = labels
    return found


KNOWN = _ours() | OF_RAY


def _alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((CLUSTER / "prometheus" / "alerts.yaml").read_text())["groups"]
    return group["rules"]


def _dashboard() -> dict[str, Any]:
    return json.loads((CLUSTER / "grafana" / "equivdm.json").read_text())


def _expressions() -> Iterator[tuple[str, str]]:
    for rule in _alerts():
        yield rule["alert"], rule["expr"]
    for panel in _dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def unknown(expression: str) -> set[str]:
    """Return the names in a PromQL expression that are neither its words, nor metrics, nor labels of its metrics."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\[[^\]]*\]|\b\d[\w.]*", "", bare)  # durations and numbers
    names = set(re.findall(r"[A-Za-z_]\w*", bare)) - WORDS
    metrics = names & KNOWN.keys()
    labels = OF_SCRAPES.union(*(KNOWN[name] for name in metrics))
    return names - metrics - labels


@pytest.mark.parametrize(("name", "expression"), list(_expressions()))
def test_an_expression_asks_for_what_is_exported(name: str, expression: str) -> None:
    assert not unknown(expression), name
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("sum by (job) (ray_equivdm_item_total)", {"job", "ray_equivdm_item_total"}),
        ("sum by (stages) (rate(ray_equivdm_items_total[5m]))", {"stages"}),
        ('ray_equivdm_items_pending{stage="motion"} > 0', {"stage"}),
        ("ray_equivdm_stage_seconds > 0", {"ray_equivdm_stage_seconds"}),
        ("rat(ray_equivdm_bytes_total[5m])", {"rat"}),
    ],
)
def test_a_wrong_name_is_caught(expression: str, wrong: set[str]) -> None:
    assert unknown(expression) == wrong


def test_outcomes_that_are_asked_for_are_counted() -> None:
    asked = {
        each
        for _, text in _expressions()
        for found in re.findall(r'outcome\W+"([^"]+)"', text)
        for each in found.split("|")
    }
    assert asked <= {tally.SKIPPED, *tally.FAILED}


def test_every_metric_of_ours_is_shown() -> None:
    shown = " ".join(target["expr"] for panel in _dashboard()["panels"] for target in panel["targets"])
    missing = {name for name in _ours() if not re.search(rf"\b{name}\b", shown)}
    assert missing == set()


def test_an_alert_says_what_it_means_and_operations_what_to_do() -> None:
    page = (CLUSTER.parent / "docs" / "operations.md").read_text()
    for rule in _alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in page


def test_panels_do_not_overlap() -> None:
    taken = set()
    for panel in _dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24, "Grafana's grid has 24 columns"
        taken |= cells


@pytest.mark.parametrize("name", ["scrape_kubernetes.yaml", "scrape_files.yaml"])
def test_scrapes_keep_the_job_label(name: str) -> None:
    (scrape,) = yaml.safe_load((CLUSTER / "prometheus" / name).read_text())["scrape_configs"]
    assert scrape["honor_labels"] is True, "Prometheus would rename the label `job` of our metrics"
    assert scrape["job_name"] == "ray", "what EquivdmNodeSilent looks at"
