"""The formula of plans beside a simulation of the scheduler, up to 10 million clips, 500 GPUs and 1,000 workers.

`python -m benchmarks.capacity` prints a table; `--quick` takes a hundredth of the items. Stages are stand-ins of the
given lengths: how long real ones take is for a plan of real runs to say.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from benchmarks.simulation import Stage, simulate
from pipelines.capacity import TASK_S, Load, Machines, capacity
from pipelines.intake import session

SHORT_WAVE = 20_000
"""Items of a wave, where items come in waves."""


@dataclass(frozen=True)
class Case:
    """A job on machines."""

    name: str
    machines: Machines
    loads: Sequence[Load]


def _stages(items: float, cpu_s: float, gpu_s: float) -> list[Load]:
    loads = [Load("motion", items, cpu_s, 1.0), Load("latents", items, gpu_s, 0.0, 1.0)]
    return [load for load in loads if load.seconds]


CASES = (
    Case("1,000 CPUs: 30 s", Machines(1000), _stages(1e6, 30.0, 0.0)),
    Case("500 CPUs, 500 GPUs: 10 s, 10 s", Machines(500, 500), _stages(1e6, 10.0, 10.0)),
    Case("500 GPUs: 100 s", Machines(1, 500), _stages(10e6, 0.0, 100.0)),
    Case("4,000 CPUs, 20 GPUs: 40 s, 1 s", Machines(4000, 20), _stages(10e6, 40.0, 1.0)),
)


def simulated(case: Case, wave: int) -> float:
    """Return the hours that a simulated scheduler takes."""
    pools = {"CPUs": int(case.machines.cpus), "GPUs": int(case.machines.gpus)}
    stages = [Stage(load.seconds, "GPUs" if load.gpus else "CPUs") for load in case.loads]
    items = int(case.loads[0].items)
    return simulate(stages, pools, items, wave=wave, task_s=TASK_S) / 3600


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The formula of plans beside a simulated scheduler.")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the items")
    share = 100 if parser.parse_args().quick else 1
    columns = ("clips", "limit", "formula, h", "simulated, h", "ratio", f"in waves of {SHORT_WAVE:,}, h")
    table = Table("machines: seconds of a worker a clip", *columns, box=None, pad_edge=False)
    for whole in CASES:
        case = replace(whole, loads=[replace(load, items=load.items / share) for load in whole.loads])
        found = capacity(case.loads, case.machines)
        assert found is not None
        hours, waves = simulated(case, session(case.machines.cpus + case.machines.gpus)), simulated(case, SHORT_WAVE)
        figures = (f"{found.hours:.2f}", f"{hours:.2f}", f"{found.hours / hours:.3f}", f"{waves:.2f}")
        table.add_row(case.name, f"{case.loads[0].items:,.0f}", found.limit, *figures)
    Console(width=140, highlight=False).print(table)


if __name__ == "__main__":
    main()
