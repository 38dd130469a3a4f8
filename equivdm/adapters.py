"""Low-rank adapters (LoRA) through peft: put on a network, written in peft's own format, and merged into it again.

Without dropout, so that training with adapters draws no random number that training without them does not.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Base, DenoiserModule
from equivdm.backbones.deferred import standing_in
from equivdm.config import BackboneConfig, LoraConfig
from equivdm.errors import UsageError
from equivdm.networks.deferred import Reader, whole_state

_BASE = "base.json"


def adapt(
    denoiser: DenoiserModule, backbone: BackboneConfig, lora: LoraConfig, seed: int, base_seed: int | None = None
) -> None:
    """Do what `put_adapters` does, and keep what the network is, so that its adapters can be saved.

    Args:
        denoiser: the network.
        backbone: its config.
        lora: the adapters'.
        seed: of A.
        base_seed: that the network was built with.

    Raises:
        UsageError: as `put_adapters` does.
    """
    base = Base(backbone.model_dump(mode="json"), base_seed, digest(denoiser))
    put_adapters(denoiser, backbone, lora, seed)
    denoiser.base = base


def put_adapters(denoiser: DenoiserModule, backbone: BackboneConfig, lora: LoraConfig, seed: int) -> None:
    """Freeze a network and put fresh adapters on it, in float32: A is random by `seed`, B is 0, so nothing changes.

    Raises UsageError where a target is the name of no linear layer, or peft is not installed.
    """
    peft, body = _peft(), denoiser.body
    targets = backbone_of(backbone).targets(lora)
    check_targets(body, targets)
    denoiser.requires_grad_(False)
    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # annotated as a whole number, used as any
        target_modules=list(targets),
        base_model_name_or_path=getattr(backbone, "model", None),
    )
    with standing_in(denoiser), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(settings, body)
    for parameter in denoiser.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def check_targets(body: nn.Module, targets: Sequence[str]) -> None:
    """Raise UsageError where a target is the end of no linear layer's name."""
    layers = [name for name, layer in body.named_modules() if isinstance(layer, nn.Linear)]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in layers):
            raise UsageError(
                f"lora.targets: got {target!r}, wanted ends of the names of linear layers: take of "
                f"{', '.join(sorted({_end(name) for name in layers}))}"
            )


def digest(denoiser: DenoiserModule) -> str:
    """Return the sha256 of all weights, their names, shapes and precisions; those that wait are read, and not kept."""
    found = hashlib.sha256()
    for name, value in whole_state(denoiser, denoiser.readers):
        found.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def save_adapter(folder: Path, denoiser: DenoiserModule, state: Mapping[str, Tensor]) -> None:
    """Write adapters as peft reads them, and what they were trained on.

    Args:
        folder: where to.
        denoiser: a network of `adapt`.
        state: the adapters' weights, under the names that they have in `denoiser`; others are left out.

    Raises:
        ValueError: where there are no adapters.
    """
    if denoiser.base is None:
        raise ValueError("got a network without adapters, wanted one of `adapt`: save it as a whole")
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    body: Any = denoiser.body
    prefix = next(f"{name}." if name else "" for name, module in denoiser.named_modules() if module is body)
    own = {name.removeprefix(prefix): value for name, value in state.items()}
    adapters = get_peft_model_state_dict(body, state_dict=own, save_embedding_layers=False)
    tensors = {f"base_model.model.{name}": value.detach().cpu().contiguous() for name, value in adapters.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    body.peft_config["default"].save_pretrained(str(folder))
    _in_order(folder / "adapter_config.json")
    (folder / _BASE).write_text(json.dumps(denoiser.base._asdict(), indent=2))


def _in_order(file: Path) -> None:
    """Sort the targets: peft keeps a set, which each process writes in another order, and the file has a sha256."""
    settings = json.loads(file.read_text())
    settings["target_modules"].sort()
    file.write_text(json.dumps(settings, indent=2))


def read_base(folder: Path) -> Base:
    """Return what an adapter was trained on."""
    return Base(**json.loads((folder / _BASE).read_text()))


def merge_adapter(denoiser: DenoiserModule, folder: Path) -> None:
    """Add an adapter to the weights of the network that it was trained on: W + alpha / rank * B A.

    Raises UsageError where the network has other weights.
    """
    base, got = read_base(folder), digest(denoiser)
    if got != base.sha256:
        raise UsageError(
            f"backbone: got weights {got[:12]} of {base.backbone}, but the adapter was trained on {base.sha256[:12]}: "
            "put the weights back that were there in training"
        )
    peft, body = _peft(), denoiser.body
    with standing_in(denoiser):
        model: Any = peft.PeftModel.from_pretrained(body, str(folder))
        adapted: dict[str, Any] = {
            name: each for name, each in denoiser.named_modules() if hasattr(each, "get_delta_weight")
        }
        model.unload()
    for name, layer in adapted.items():
        _add(denoiser, f"{name}.weight", partial(layer.get_delta_weight, "default"))


@torch.no_grad()
def _add(denoiser: DenoiserModule, name: str, delta: Reader) -> None:
    """Add to a weight, when it is read where it waits."""
    if name not in denoiser.readers:
        denoiser.get_parameter(name).add_(delta())
        return
    read = denoiser.readers[name]
    denoiser.readers = {**denoiser.readers, name: lambda: read() + delta().detach()}


def _peft() -> Any:
    try:
        import peft
    except ModuleNotFoundError as error:
        raise UsageError("lora: peft is not installed: pip install 'equivdm[lora]'") from error
    return peft


def _end(name: str) -> str:
    """Return the end of a layer's name that says what it is: its last word, and the number after it."""
    return re.search(r"[^.]*[^.\d][^.]*(\.\d+)?$", name)[0]  # type: ignore[index]  # every name has a word
