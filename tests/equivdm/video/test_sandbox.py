"""The decoder process: it is stopped, renewed, and never outlives its owner."""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from equivdm.config import DecodeConfig, ShotsConfig
from equivdm.errors import DecoderCrashed, DecoderMemory, DecoderStopped, DecoderTimeout, EmptyFile, NotAVideo
from equivdm.video.decode import decode
from equivdm.video.probe import probe
from equivdm.video.sandbox import Sandbox
from equivdm.video.shots import Shot, score_video
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("videos") / "scene.mp4")
    write_video(path, render_scene(0, frames=8, height=48, width=64).frames, 8.0)
    return path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(DecodeConfig(timeout_s=30, memory_mib=512))
    yield made
    made.close()


def test_results_are_those_of_the_functions(sandbox: Sandbox, video: str) -> None:
    info, want = sandbox.probe(video), probe(video)
    assert (info.width, info.height, info.fps, info.rotation) == (want.width, want.height, want.fps, want.rotation)
    np.testing.assert_array_equal(info.timestamps, want.timestamps)
    np.testing.assert_array_equal(sandbox.decode(video, range(2, 6), (32, 32)), decode(video, range(2, 6), (32, 32)))


def test_errors_come_through_and_the_child_stays(sandbox: Sandbox, video: str, tmp_path: Path) -> None:
    child = sandbox.call(os.getpid)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(EmptyFile, match="empty"):
        sandbox.probe(str(tmp_path / "empty.mp4"))
    with pytest.raises(FileNotFoundError):
        sandbox.probe(str(tmp_path / "absent.mp4"))
    with pytest.raises(ValueError, match="at least one"):
        sandbox.decode(video, [99], None)
    assert sandbox.call(os.getpid) == child != os.getpid()


def test_a_call_that_hangs_is_stopped_and_the_next_one_works(video: str) -> None:
    hasty = Sandbox(DecodeConfig(timeout_s=4))
    start = time.monotonic()
    with pytest.raises(DecoderTimeout, match="more than 4 s"):
        hasty.call(time.sleep, 600)
    assert time.monotonic() - start < 300
    assert len(hasty.decode(video, [0, 1], (16, 16))) == 2
    hasty.close()


def test_a_crash_costs_its_own_call_only(sandbox: Sandbox, video: str) -> None:
    with pytest.raises(DecoderCrashed, match=f"signal {int(signal.SIGABRT)}"):
        sandbox.call(os.abort)
    assert len(sandbox.probe(video).timestamps) == 8


def test_a_child_killed_between_calls_is_renewed(sandbox: Sandbox, video: str) -> None:
    child = sandbox.call(os.getpid)
    os.kill(child, signal.SIGKILL)
    _wait_for_end(child)
    # Its main thread is gone; the others, and the pipe that they hold, follow at once.
    time.sleep(0.3)
    assert sandbox.call(os.getpid) != child
    assert len(sandbox.probe(video).timestamps) == 8


# The child runs functions of importable modules; these tests' own are in none, so they bring their source.
PARTS = """
def parts(seconds):
    import time
    for number, pause in enumerate(seconds):
        time.sleep(pause)
        yield number
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Iterator[int]]]:
    (tmp_path / "slow_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("slow_parts").parts
    del sys.modules["slow_parts"]


def test_the_time_limit_is_that_of_a_part(parts: Callable[..., Iterator[int]]) -> None:
    hasty = Sandbox(DecodeConfig(timeout_s=4))
    hasty.call(os.getpid)
    start = time.monotonic()
    assert list(hasty.stream(parts, [1.0] * 5)) == list(range(5))
    assert time.monotonic() - start > 4
    hangs = hasty.stream(parts, [0.0, 0.0, 600.0])
    assert [next(hangs), next(hangs)] == [0, 1]
    with pytest.raises(DecoderStopped, match="more than 4 s"):
        next(hangs)
    assert hasty.call(len, "four") == 4
    hasty.close()


def test_parts_that_nobody_takes_are_no_answer_to_the_next_call(sandbox: Sandbox, video: str) -> None:
    left = sandbox.stream(score_video, video)
    next(left)
    left.close()
    assert sandbox.call(len, "four") == 4


def test_errors_of_a_generator_come_through(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(NotAVideo, match="empty"):
        list(sandbox.stream(score_video, str(tmp_path / "empty.mp4")))
    with pytest.raises(FileNotFoundError):
        sandbox.survey(str(tmp_path / "absent.mp4"), ShotsConfig())


def test_a_survey_has_the_probe_and_the_shots(sandbox: Sandbox, video: str, tmp_path: Path) -> None:
    assert sandbox.survey(video, ShotsConfig()).shots == (Shot(0, 8),)
    joined = str(tmp_path / "joined.mp4")
    scenes = [render_scene(seed, frames=8, height=48, width=64).frames for seed in (0, 1)]
    write_video(joined, np.concatenate(scenes), 8.0)
    survey = sandbox.survey(joined, ShotsConfig())
    np.testing.assert_array_equal(survey.info.timestamps, probe(joined).timestamps)
    assert survey.shots == (Shot(0, 8), Shot(8, 16))
    assert sandbox.survey(joined, ShotsConfig(kind="none")).shots == (Shot(0, 16),)


def test_memory_is_limited(sandbox: Sandbox) -> None:
    with pytest.raises(DecoderMemory, match="memory limit of 512 MiB"):
        sandbox.call(bytes, 2**30)
    assert len(sandbox.call(bytes, 2**20)) == 2**20


def test_a_header_of_a_huge_picture_costs_its_own_call_only(sandbox: Sandbox, video: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 8, 8, "rgb8"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    data[6:10] = 2 * (16000).to_bytes(2, "little")  # a canvas of a gigabyte
    path.write_bytes(data)
    with pytest.raises(DecoderMemory, match="memory limit of 512 MiB"):
        sandbox.decode(str(path), [0], (64, 64))
    assert len(sandbox.decode(video, [0, 1], (16, 16))) == 2


def test_what_the_child_prints_is_no_answer(sandbox: Sandbox) -> None:
    assert sandbox.call(os.system, "echo noise") == 0
    assert sandbox.call(len, "four") == 4


def test_threads_take_turns(sandbox: Sandbox) -> None:
    answers: dict[int, int] = {}

    def ask(number: int) -> None:
        answers[number] = sandbox.call(int, str(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number for number in range(8)}


OWNER = """
import os, sys, threading, time
from equivdm.config import DecodeConfig
from equivdm.video.sandbox import Sandbox
open(sys.argv[1], "a").write("run ")
sandbox = Sandbox(DecodeConfig())
child = sandbox.call(os.getpid)
if sys.argv[2] == "busy":
    threading.Thread(target=sandbox.call, args=(time.sleep, 600)).start()
    time.sleep(0.5)
print(child, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_child_outlives_a_killed_owner_nor_runs_its_script(tmp_path: Path, state: str) -> None:
    script, runs = tmp_path / "owner.py", tmp_path / "runs"
    script.write_text(OWNER)
    with subprocess.Popen([sys.executable, script, runs, state], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        owner.kill()
    _wait_for_end(child)
    assert runs.read_text() == "run "


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_it_works_inside_a_ray_task(video: str) -> None:
    import ray

    @ray.remote(num_cpus=1)
    def count() -> int:
        inside = Sandbox(DecodeConfig())
        found = len(inside.decode(video, [0, 3], (16, 16)))
        inside.close()
        return found

    assert ray.get(count.remote()) == 2


def _wait_for_end(process: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(f"process {process} is still alive")
