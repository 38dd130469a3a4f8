"""`cluster/slurm.sh` run by bash; scheduler, Ray and job are small scripts that write down how they are called."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.manifests import CLUSTER
from tests.pipelines.videos import write_scene

pytestmark = pytest.mark.cluster

SCRIPT = CLUSTER / "slurm.sh"

FAKES = {
    # What comes after its options is run, as a step would; the steps that stay are those that block.
    "srun": """
        while [[ $1 == --* ]]; do shift; done
        exec "$@"
    """,
    "scontrol": """
        [[ $1 == show ]] && echo "JobId=$4 JobName=equivdm JobState=$FAKE_STATE Reason=None"
        exit 0
    """,
    "ray": """
        stat --format='%a %n' "$RAY_AUTH_TOKEN_PATH" >> "$FAKE_LOG"
        cp "$RAY_AUTH_TOKEN_PATH" "$FAKE_TOKEN.$$" && mv "$FAKE_TOKEN.$$" "$FAKE_TOKEN" # nodes start at the same time
        [[ -z ${FAKE_RAY_FAILS:-} ]] || exit 3
        if [[ $1 == health-check ]]; then
            [[ -z ${FAKE_RAY_IS_SLOW:-} || -e $FAKE_LOG.asked ]] && exit 0
            touch "$FAKE_LOG.asked"
            exit 1
        fi
        sleep 60 & trap 'kill $!; echo "ray ends" >> "$FAKE_LOG"; exit 0' TERM
        echo "$1" >> "$FAKE_LOG.up"
        wait
    """,
    "equivdm": """
        echo "RAY_ADDRESS=$RAY_ADDRESS" >> "$FAKE_LOG"
        # A job uses all nodes: on a busy machine the last of them may take its time.
        until [[ $(grep -sc start "$FAKE_LOG.up") == "$FAKE_RAYS" ]]; do sleep 0.05; done
        sleep "$FAKE_SECONDS" & trap 'kill $!; echo "equivdm saves" >> "$FAKE_LOG"; exit 143' TERM
        touch "$FAKE_LOG.works"
        wait
        exit "$FAKE_CODE"
    """,
    "hostname": """
        [[ ${1:-} == -I ]] && echo '10.0.0.7 172.17.0.1 ' || echo node1
    """,
}


def _write(folder: Path, name: str) -> None:
    """Write one of the scripts; each but `hostname` writes down how it is called."""
    head = '#!/bin/bash\necho "${0##*/} $*" >> "$FAKE_LOG"\n' if name != "hostname" else "#!/bin/bash\n"
    (folder / name).write_text(head + FAKES[name])
    (folder / name).chmod(0o755)


class Job:
    """A Slurm job that runs in a folder of its own."""

    def __init__(self, folder: Path, nodes: int = 3, **fakes: str) -> None:
        self.folder = folder
        binaries = folder / "bin"
        binaries.mkdir()
        for name in FAKES:
            _write(binaries, name)
        self.log, self.token = folder / "log", folder / "token"
        (folder / "submitted").mkdir()
        environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "SLURM_SUBMIT_DIR": str(folder / "submitted"),
            "SLURM_JOB_ID": f"{os.getpid()}{abs(hash(folder)) % 10**6}",
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_CPUS_PER_TASK": "4",
            "RAY_AUTH_TOKEN": "of-another-cluster",
            "FAKE_LOG": str(self.log),
            "FAKE_TOKEN": str(self.token),
            "FAKE_STATE": "RUNNING",
            "FAKE_RAYS": str(min(nodes, 2)),
            "FAKE_SECONDS": "0.1",
            "FAKE_CODE": "0",
        }
        self.number = environment["SLURM_JOB_ID"]
        self.process = subprocess.Popen(
            ["bash", SCRIPT, "train", "my spec.yaml", "--set", "fit.steps=3"],
            env=environment | fakes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self) -> tuple[int, str]:
        """Wait, and return the exit code and what was printed."""
        printed, _ = self.process.communicate(timeout=120)
        return self.process.returncode, printed

    def until_it_works(self) -> None:
        """Wait until the job on top has begun."""
        until = time.monotonic() + 90
        while not Path(f"{self.log}.works").exists():
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def calls(self) -> list[str]:
        """Return what the fakes wrote, in order."""
        return self.log.read_text().splitlines()


def _called(job: Job, start: str) -> list[str]:
    return [call for call in job.calls() if call.startswith(start)]


def test_a_head_then_workers_then_the_command(tmp_path: Path) -> None:
    job = Job(tmp_path, FAKE_RAY_IS_SLOW="1")
    assert job.end() == (0, "")
    head, worker = _called(job, "ray start")
    port = re.search(r"--port=(\d+)", head)
    assert port is not None
    assert "--head" in head
    assert "--dashboard-host=127.0.0.1" in head
    assert f"--address=10.0.0.7:{port[1]}" in worker
    assert len(_called(job, "ray health-check")) == 2, "it waits for the head"
    (step,) = _called(job, "srun --relative=1")
    assert "--nodes=2 --ntasks=2" in step
    after = job.calls()[job.calls().index(head) :]
    assert "equivdm train my spec.yaml --set fit.steps=3" in after[after.index(_called(job, "ray health-check")[-1]) :]
    assert f"RAY_ADDRESS=10.0.0.7:{port[1]}" in job.calls()
    assert job.calls().count("ray ends") == 2, "nothing of the cluster is left behind"
    assert not _called(job, "scontrol requeue")
    assert not _called(job, "ray stop"), "that would end the Ray of another job on the node"


def test_jobs_on_a_node_share_neither_token_nor_port(tmp_path: Path) -> None:
    tokens, ports = set(), []
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    for job in [Job(folder) for folder in folders]:
        code, printed = job.end()
        assert code == 0
        token = job.token.read_text()
        assert re.fullmatch(r"[0-9a-f]{64}", token)
        assert token not in printed + job.log.read_text(), "neither in output nor in arguments"
        assert {call.split()[0] for call in job.calls() if call.endswith("auth_token")} == {"600"}
        assert not list((job.folder / "submitted").iterdir()), "it is deleted with the job's folder"
        tokens.add(token)
        ports += re.findall(r"-port=([1-9]\d*)", _called(job, "ray start --head")[0])
    assert len(tokens - {"of-another-cluster"}) == 2
    assert len(ports) == len(set(ports)) == 6


def test_an_exit_code_is_passed_on(tmp_path: Path) -> None:
    job = Job(tmp_path, nodes=1, FAKE_CODE="2")
    assert job.end() == (2, "")
    assert len(_called(job, "ray start")) == 1, "a single node has a head alone"
    assert not _called(job, "srun --relative")
    assert not _called(job, "scontrol")


def test_before_the_time_is_up_it_saves_and_is_put_back(tmp_path: Path) -> None:
    job = Job(tmp_path, FAKE_SECONDS="60")
    job.until_it_works()
    job.process.send_signal(signal.SIGTERM)
    assert job.end() == (143, "")
    calls = job.calls()
    assert calls.count("equivdm saves") == 1
    assert calls[-1] == f"scontrol requeue {job.number}", "last: Slurm ends the script with it"
    assert calls.index("equivdm saves") < calls.index("ray ends"), "Ray lives until the training has saved"


def test_what_slurm_ends_is_not_put_back(tmp_path: Path) -> None:
    job = Job(tmp_path, FAKE_SECONDS="60", FAKE_STATE="CANCELLED")
    job.until_it_works()
    job.process.send_signal(signal.SIGTERM)
    assert job.end()[0] == 143
    assert not _called(job, "scontrol requeue")


def test_a_ray_that_does_not_start_is_told(tmp_path: Path) -> None:
    job = Job(tmp_path, FAKE_RAY_FAILS="1")
    code, printed = job.end()
    assert code == 1
    assert printed == "slurm.sh: Ray did not start on node1\n"
    assert not _called(job, "equivdm")


def test_a_job_runs_on_a_real_ray_that_leaves_nothing_behind(tmp_path: Path) -> None:
    """One node; only the scheduler is made of scripts."""
    programs, submitted = tmp_path / "programs", tmp_path / "submitted"
    for folder in (programs, submitted):
        folder.mkdir()
    for name in ("srun", "scontrol"):
        _write(programs, name)
    write_scene(tmp_path / "videos" / "a.mp4", 1)
    settings = [f"source.root={tmp_path / 'videos'}", f"store.root={tmp_path / 'store'}", "clip.frames=6"]
    command = ["bash", str(SCRIPT), "preprocess", "tiny_preprocess"]
    command += [part for setting in settings for part in ("--set", setting)]
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    number = str(os.getpid())
    slurm = {"SLURM_SUBMIT_DIR": str(submitted), "SLURM_JOB_ID": number, "SLURM_JOB_NUM_NODES": "1"}
    fakes = {"FAKE_LOG": str(tmp_path / "log"), "FAKE_STATE": "RUNNING"}
    known = {**os.environ, **slurm, **fakes, "SLURM_CPUS_ON_NODE": "2", "PATH": path}
    done = subprocess.run(command, env=known, cwd=tmp_path, text=True, capture_output=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert re.search(r"(\d+) inputs = \1 done", done.stdout)
    assert list(submitted.iterdir()) == [], "its token among others"
    assert not Path(f"/tmp/equivdm-{number}").exists()


def test_directives_are_those_that_a_training_needs() -> None:
    lines = [line.split()[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--requeue", "--signal=B:TERM@600", "--open-mode=append"} <= set(lines)
    assert SCRIPT.stat().st_mode & stat.S_IXUSR
    # Slurm stops reading directives at the first command.
    body = SCRIPT.read_text()
    assert body.rindex("#SBATCH") < body.index("set -euo")
