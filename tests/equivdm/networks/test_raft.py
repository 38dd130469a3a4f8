"""RAFT's names and loading. The network itself needs torchvision: tests/gpu."""

import importlib.util
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from equivdm.errors import UsageError
from equivdm.networks.raft import Raft, torchvision_names
from equivdm.networks.state import load_state

LINES = [line.split("\t") for line in (Path(__file__).parent / "raft_names.tsv").read_text().splitlines()[1:]]
"""Size, name in the authors' release, name in torchvision ("-": the tensor has another name too), shape."""


def release(size: str) -> dict[str, torch.Tensor]:
    """The release's tensors, each of its shape and with its own number in it."""
    own = [
        (name, [] if shape == "-" else [int(n) for n in shape.split("x")]) for s, name, _, shape in LINES if s == size
    ]
    return {name: torch.full(shape, float(number)) for number, (name, shape) in enumerate(own)}


@pytest.mark.parametrize("size", ["small", "large"])
def test_names_of_the_release_become_torchvision_s(size: str) -> None:
    old = release(size)
    wanted = {new: old[name] for s, name, new, _ in LINES if s == size and new != "-"}
    named = torchvision_names(old)
    assert named.keys() == wanted.keys()
    assert all(named[name] is wanted[name] for name in wanted)


@pytest.mark.parametrize("size", ["small", "large"])
def test_torchvision_s_own_names_stay(size: str) -> None:
    named = torchvision_names(release(size))
    assert torchvision_names(named).keys() == named.keys()


def test_the_released_file_has_the_listed_names_and_shapes(assets: Path) -> None:
    state = load_state(str(assets / "weights" / "raft-small.pth"))
    assert {name: tuple(t.shape) for name, t in state.items()} == {
        name: tuple(t.shape) for name, t in release("small").items()
    }


def test_both_file_formats_hold_the_same_tensors(tmp_path: Path) -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.int64)}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        loaded = load_state(str(tmp_path / name))
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


class Code:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize("content", ["code", "text", "empty", "nested", "short.safetensors"])
def test_a_file_of_something_else_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / (content if "." in content else f"{content}.pth")
    if content == "nested":
        torch.save({"model": {"a": torch.ones(1)}}, path)
    else:
        path.write_bytes({"code": pickle.dumps(Code()), "empty": b""}.get(content, b"no weights at all"))
    with pytest.raises(UsageError, match=r"^weights: .*: give a "):
        load_state(str(path))
    assert capsys.readouterr().out == ""


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"^weights: /no/raft.pth cannot be read .No such file.*: give the path"):
        Raft("/no/raft.pth")


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_without_torchvision_one_line_says_what_to_install(tmp_path: Path) -> None:
    torch.save(release("small"), tmp_path / "raft.pth")
    with pytest.raises(UsageError, match=r"torchvision is not installed: pip install .* torch 2\.") as error:
        Raft(str(tmp_path / "raft.pth"))
    assert "\n" not in str(error.value)
