"""The tally: sums add up whoever reports, and no item is lost for the sake of a figure."""

import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tally import SEND_EVERY_S, SKIPPED, Reporter, Sums, Tally, add_up, start_tally

ROOT = Path(__file__).parents[2]

some = settings(max_examples=60, derandomize=True)
sums = st.builds(
    Sums,
    st.dictionaries(st.sampled_from(["done", "filtered", "failed", "quarantined", SKIPPED]), st.integers(1, 99)).map(
        Counter
    ),
    st.integers(0, 99).map(float),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
)
reports = st.dictionaries(st.sampled_from(["looks", "motion", "latents"]), sums)


@some
@given(st.lists(reports))
def test_a_tally_holds_the_sum_of_all_that_it_was_told(told: list[dict[str, Sums]]) -> None:
    tally = Tally()
    for each in told:
        tally.add("one", each)
    tally.add("another", {"latents": Sums(Counter(done=1), 1.0)})
    for stage, total in tally.sums("one").items():
        parts = [each[stage] for each in told if stage in each]
        assert total.seconds == sum(part.seconds for part in parts)
        assert (total.bytes_in, total.bytes_out) == (sum(p.bytes_in for p in parts), sum(p.bytes_out for p in parts))
        assert total.through == sum(count for part in parts for count in part.outcomes.values())
        assert total.failed == sum(part.outcomes["failed"] + part.outcomes["quarantined"] for part in parts)


@some
@given(reports, reports, reports)
def test_reports_may_arrive_in_any_order(a: dict[str, Sums], b: dict[str, Sums], c: dict[str, Sums]) -> None:
    assert add_up(add_up(a, b), c) == add_up(a, add_up(c, b))


def test_without_ray_a_step_runs_as_it_is() -> None:
    reporter = Reporter("test")
    with reporter.stage("motion", bytes_in=3) as item:
        item.bytes_out = 4
    reporter.report("motion", "done")
    reporter.flush()
    assert reporter.read(0.1) is None


def test_what_a_block_raises_is_reported_as_failed_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Reporter, "report", lambda self, *facts: seen.append(facts))

    def fail() -> None:
        with Reporter("test").stage("motion", bytes_in=7):
            raise KeyError("lost")

    with pytest.raises(KeyError):
        fail()
    ((stage, outcome, seconds, *sizes),) = seen
    assert (stage, outcome, sizes) == ("motion", "failed", [7, 0])
    assert seconds >= 0


def test_its_actor_starts_without_torch_and_without_ray_data() -> None:
    code = "import sys, pipelines.tally; print(sorted({'torch', 'ray', 'numpy', 'rich'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def work(row: dict[str, int], reporter: Reporter) -> dict[str, int]:
    """A step of a pipeline whose every third item fails."""
    with reporter.stage("motion", bytes_in=row["item"]) as item:
        item.bytes_out = 2 * row["item"]
        item.outcome = "failed" if row["item"] % 3 == 0 else "done"
    reporter.report("latents", SKIPPED if row["item"] % 3 == 0 else "done", 0.5)
    return row


def read_until(reporter: Reporter, through: int, timeout_s: float = 20.0) -> dict[str, Sums]:
    """The sums, once so many items are through `latents`."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = reporter.read(timeout_s) or {}
        if "latents" in found and found["latents"].through >= through:
            return found
        time.sleep(0.05)
    raise AssertionError(f"got {reporter.read(1.0)}, wanted {through} items within {timeout_s} s")


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_steps_of_ray_data_are_added_up_over_processes() -> None:
    import ray.data

    reporter = start_tally("test-data")
    items = ray.data.from_items([{"item": number} for number in range(12)], override_num_blocks=12)
    items.map(work, fn_args=(reporter,), num_cpus=1).materialize()
    found = read_until(reporter, 12)
    assert found["motion"].outcomes == {"done": 8, "failed": 4}
    assert (found["motion"].bytes_in, found["motion"].bytes_out) == (66, 132)
    assert found["latents"].outcomes == {"done": 8, SKIPPED: 4}
    assert found["latents"].seconds == 6.0


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_reports_come_in_few_messages_and_none_is_held_back() -> None:
    import ray

    class Counting(Tally):
        """Counts its messages too."""

        messages = 0

        def add(self, part: str, sums: Any) -> None:
            self.messages += 1
            super().add(part, sums)

        def heard(self) -> int:
            return self.messages

    actor = ray.remote(num_cpus=0)(Counting).remote()
    reporter = Reporter("test-batches", actor)
    started = time.monotonic()
    for _ in range(2000):
        reporter.report("latents", "done", 0.001)
    took = time.monotonic() - started
    assert read_until(reporter, 2000)["latents"].seconds == pytest.approx(2.0)  # the last ones by the timer alone
    assert ray.get(actor.heard.remote()) <= 2 + took / SEND_EVERY_S
    reporter.report("latents", "done")
    reporter.flush()
    assert read_until(reporter, 2001)["latents"].through == 2001
    reporter = reporter.anew()
    reporter.report("latents", "done")
    assert read_until(reporter, 1)["latents"].through == 1


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_tally_that_is_gone_costs_no_item() -> None:
    import ray

    reporter = start_tally("test-gone")
    reporter.report("latents", "done")
    read_until(reporter, 1)
    ray.kill(reporter.actor)
    for _ in range(3):
        with reporter.stage("latents"):
            pass
        reporter.flush()
    assert reporter.read(5.0) is None


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_nodes_endpoint_exports_what_workers_report() -> None:
    import ray

    reporter = start_tally("test-metrics")
    ray.get(ray.remote(num_cpus=1)(work).remote({"item": 3}, reporter))
    wanted = {
        'ray_equivdm_items_total{job="test-metrics",outcome="failed",stage="motion"}': 1.0,
        'ray_equivdm_items_total{job="test-metrics",outcome="skipped",stage="latents"}': 1.0,
        'ray_equivdm_stage_seconds_total{job="test-metrics",stage="latents"}': 0.5,
        'ray_equivdm_stage_seconds_bucket{job="test-metrics",le="0.3",stage="latents"}': 0.0,
        'ray_equivdm_stage_seconds_bucket{job="test-metrics",le="1.0",stage="latents"}': 1.0,
        'ray_equivdm_stage_seconds_count{job="test-metrics",stage="motion"}': 1.0,
        'ray_equivdm_bytes_total{direction="in",job="test-metrics",stage="motion"}': 3.0,
        'ray_equivdm_bytes_total{direction="out",job="test-metrics",stage="motion"}': 6.0,
    }
    assert_exported("test-metrics", wanted)


def assert_exported(job: str, wanted: dict[str, float]) -> None:
    """The node's endpoint comes to export these series of a job."""
    import ray

    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    end, found = time.monotonic() + 30, dict[str, float]()
    while time.monotonic() < end and not wanted.items() <= found.items():
        time.sleep(0.5)
        with urllib.request.urlopen(url, timeout=10) as page:
            found = own_series(page.read().decode(), job)
    assert {name: found.get(name) for name in wanted} == wanted


def own_series(page: str, job: str) -> dict[str, float]:
    """The series of one job, without the labels that Ray adds."""
    from prometheus_client.parser import text_string_to_metric_families

    of = ("job", "stage", "outcome", "direction", "le")
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.labels.get("job") == job:
                labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()) if k in of)
                found[f"{sample.name}{{{labels}}}"] = sample.value
    return found
