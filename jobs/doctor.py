"""`equivdm doctor`: what this machine has, what is missing, and the cure."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import uuid4

import numpy as np
import psutil
from packaging.requirements import Requirement
from rich.box import SIMPLE
from rich.table import Table

from equivdm.errors import UsageError
from jobs.console import console
from pipelines.progress import progress
from pipelines.settings import StoreConfig

GIB = 2**30
PYTHONS = ((3, 11), (3, 13))
"""First and last Python that works."""
MEMORY_GIB, SHM_GIB, DISK_GIB = 4.0, 1.0, 5.0
"""What a small run on the CPU needs free."""
RAY_SECONDS = 240
"""An embedded Ray that has not started by then has a fault; small, busy machines are slow to start one."""


class Check(NamedTuple):
    """One line of the table. `without` says that a run on the CPU works without it."""

    name: str
    state: Literal["ok", "missing", "without"]
    found: str
    cure: str = ""


def run(store: str | None) -> int:
    """Print the table; 0 if all that a run on the CPU needs is there, else 1."""
    checks: list[Callable[[], Check]] = [
        python, packages, processors, memory, shared_memory, disk, ray_starts, gpus, pyav_decodes,
        compiler,
    ]  # fmt: skip
    found = []
    with progress("doctor", len(checks) + bool(store)) as advance:
        for check in checks:
            found.append(check())
            advance()
        if store:
            found.append(store_works(store))
            advance()
    console().print(_table(found))
    missing = sum(check.state == "missing" for check in found)
    console().print(
        "[green]Ready for a run on the CPU.[/]" if not missing else f"[red]{missing} missing: see the cures.[/]"
    )
    return 1 if missing else 0


def _table(checks: list[Check]) -> Table:
    words = {"ok": "[green]ok[/]", "missing": "[red]missing[/]", "without": "[yellow]not here[/]"}
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("cure", overflow="fold")
    for check in checks:
        table.add_row(check.name, words[check.state], check.found, check.cure)
    return table


def _judge(name: str, well: bool, found: str, cure: str) -> Check:
    return Check(name, "ok", found) if well else Check(name, "missing", found, cure)


def python() -> Check:
    """The interpreter's version."""
    first, last = (".".join(map(str, one)) for one in PYTHONS)
    well = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    return _judge(
        "Python",
        well,
        f"{platform.python_version()} in {sys.prefix}",
        f"make setup PYTHON=python{first} (to {last})",
    )


def packages() -> Check:
    """Everything that the project's own metadata asks for."""
    wrong, shown = [], []
    for text in requires("equivdm") or ():
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            got = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is not installed")
            continue
        if not need.specifier.contains(got, prereleases=True):
            wrong.append(f"{need.name} {got}, wanted {need.specifier}")
        if need.name in ("torch", "ray", "deepspeed", "deltalake"):
            shown.append(f"{need.name} {got}")
    return _judge("packages", not wrong, "; ".join(wrong or shown), "make setup")


def processors() -> Check:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check("processors", "ok", f"{cores} cores, {platform.machine()}")


def memory() -> Check:
    """Free memory; the limit of a container counts where it is lower."""
    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free, total = min(free, int(text) - used), min(total, int(text))
    found = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    return _judge(
        "memory",
        free >= MEMORY_GIB * GIB,
        found,
        f"free {MEMORY_GIB:.0f} GiB, or raise the container's limit",
    )


def shared_memory() -> Check:
    """Where Ray keeps objects."""
    if not os.path.isdir("/dev/shm"):
        return Check("shared memory", "ok", "no /dev/shm: Ray uses the temporary folder")
    free = shutil.disk_usage("/dev/shm").free
    if free >= SHM_GIB * GIB:
        return Check("shared memory", "ok", f"{free / GIB:.1f} GiB free in /dev/shm")
    cure = f"docker run --shm-size={SHM_GIB:.0f}g (Ray uses the temporary folder instead, slower)"
    return Check("shared memory", "without", f"{free / GIB:.1f} GiB free in /dev/shm", cure)


def disk() -> Check:
    """Free space where results and temporary files go."""
    places = {place: shutil.disk_usage(place).free for place in (os.getcwd(), tempfile.gettempdir())}
    found = ", ".join(f"{free / GIB:.0f} GiB free in {place}" for place, free in places.items())
    cure = f"free {DISK_GIB:.0f} GiB, or set TMPDIR to a larger disk"
    return _judge("disk", min(places.values()) >= DISK_GIB * GIB, found, cure)


def ray_starts() -> Check:
    """An embedded Ray runs a task. In a process of its own, so that a fault or a hang of it is only a line here."""
    program = (
        "import ray; from pipelines.settings import RayConfig; from pipelines.ray_session import ray_session\n"
        "with ray_session(RayConfig(cpus=1, object_store_mib=80)):\n"
        "    assert ray.get(ray.remote(lambda: 7).remote()) == 7\n"
    )
    cure = "look at /tmp/ray/session_latest/logs; a proxy or a full /tmp are the usual reasons"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=RAY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("Ray", "missing", f"an embedded Ray did not start within {RAY_SECONDS} s", cure)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return _judge(
        "Ray",
        done.returncode == 0,
        "an embedded Ray starts and runs a task" if not done.returncode else last,
        cure,
    )


def gpus() -> Check:
    """GPUs that torch can use."""
    import torch

    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        found = ", ".join(f"{device.name} {device.total_memory / GIB:.0f} GiB" for device in devices)
        return Check("GPU", "ok", f"{found}; CUDA {torch.version.cuda}")
    if torch.version.cuda is None:
        cure = "for GPUs install torch's CUDA build" if shutil.which("nvidia-smi") else "none needed on the CPU"
        return Check("GPU", "without", f"torch {torch.__version__} is a CPU build", cure)
    return Check("GPU", "without", f"torch has CUDA {torch.version.cuda}, but sees no GPU", "install NVIDIA's driver")


def pyav_decodes() -> Check:
    """The decoder and encoder, with the FFmpeg libraries in it."""
    import av

    libraries = ", ".join(
        f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavcodec", "libavformat")
    )
    missing = {"h264", "hevc", "vp9", "av1", "mpeg4", "libx264"} - set(av.codecs_available)
    found = f"{av.__version__}, {libraries}" + (f", without {', '.join(sorted(missing))}" if missing else "")
    with _clip() as path, av.open(path) as container:
        frames = sum(1 for _ in container.decode(video=0))
    return _judge("PyAV", frames == 4 and "libx264" not in missing, found, "pip install --force-reinstall av")


@contextmanager
def _clip() -> Iterator[str]:
    """Give the path of a clip of four frames that goes away with the block."""
    from equivdm.video.write import write_video

    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        path = os.path.join(folder, "four.mp4")
        write_video(path, np.zeros((4, 32, 32, 3), np.uint8), 8.0)
        yield path


def compiler() -> Check:
    """A C++ compiler and Python's headers: DeepSpeed builds an operator when training first starts."""
    name = os.environ.get("CXX", "c++")
    found, headers = shutil.which(name), Path(sysconfig.get_path("include"), "Python.h")
    cure = "apt-get install g++ python3-dev (or your system's equivalent)"
    if not found:
        return Check("C++ compiler", "missing", f"no {name} on the PATH", cure)
    if not headers.is_file():
        return Check("C++ compiler", "missing", f"{found}, but no {headers}", cure)
    line = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return Check("C++ compiler", "ok", line)


def store_works(root: str) -> Check:
    """A small object can be written, read back and deleted."""
    from pipelines.store import STORE_FAULTS, open_store

    cure = "check the path and its permissions"
    if root.startswith("s3://"):
        cure = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and AWS_ENDPOINT_URL where it is not AWS"
        )
    try:
        store = open_store(StoreConfig(root=root))
        name, data = store.path(f".doctor-{uuid4().hex}"), os.urandom(1024)
        store.filesystem.pipe_file(name, data)
        same = store.filesystem.cat_file(name) == data
        store.filesystem.rm_file(name)
    except (UsageError, *STORE_FAULTS) as error:
        return Check("store", "missing", str(error), cure)
    where = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    place = f"{root} at {where}" if root.startswith("s3://") else store.root
    return _judge("store", same, f"{place}: writes, reads, deletes", "what was read differs from what was written")
