"""Training in a few lines of torch, with the project's own loss and average."""

from collections.abc import Mapping
from math import cos, pi

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from equivdm.backbones import backbone_of
from equivdm.backbones.base import DenoiserModule
from equivdm.ema import Ema
from equivdm.seeds import derive_seed
from equivdm.study.batches import Batches
from equivdm.study.clips import Clips
from equivdm.study.config import ModelSpec
from equivdm.study.noise import Noise

State = Mapping[str, Tensor]
"""Weights by name, on the CPU."""

BETAS, DECAY, CLIP = (0.9, 0.99), 0.01, 1.0
"""Of AdamW: moments and weight decay; and the largest norm of a gradient."""

_FLOOR = 0.01
"""What the cosine falls to, as a share of the peak."""


class Learner:
    """A network, its optimizer and schedule."""

    def __init__(self, network: nn.Module, lr: float, spec: ModelSpec, updates: int) -> None:
        """`updates` are all that it will do."""
        self.network = network
        self._optimizer = AdamW(network.parameters(), lr=lr, betas=BETAS, weight_decay=DECAY)
        self._schedule = LambdaLR(self._optimizer, lambda step: rate(step, updates, spec))

    def descend(self, loss: Tensor) -> None:
        """Do one update."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self._optimizer.step()
        self._schedule.step()


def rate(step: int, updates: int, spec: ModelSpec) -> float:
    """Return the learning rate of an update as a share of the peak."""
    if step < spec.warmup:
        return (step + 1) / spec.warmup
    if spec.schedule == "constant":
        return 1.0
    share = (step - spec.warmup) / max(1, updates - spec.warmup)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + cos(pi * min(1.0, share)))


def build(spec: ModelSpec, start: State | None, device: str) -> DenoiserModule:
    """Return the network of a spec: with weights from `start`, or fresh ones."""
    network = backbone_of(spec.backbone).build_denoiser(derive_seed(spec.seed, "weights"))
    if start is not None:
        network.load_state_dict(dict(start))
    return network.to(device)


def train(spec: ModelSpec, clips: Clips, start: State | None, device: str = "cpu") -> State:
    """Return the averaged weights after the ordinary denoising loss; a pure function on one machine's CPU.

    Args:
        spec: the model. Its `student` is not looked at.
        clips: of its data and seed.
        start: weights of its `base`; None where it has none.
        device: where to train.
    """
    diffusion, seed = backbone_of(spec.backbone).diffusion(), derive_seed(spec.seed, "training")
    noise = Noise(spec.noise, clips.train, spec.seed)
    batches = Batches(clips.train, noise, diffusion, seed, spec.batch, spec.control_share, device)
    network = build(spec, start, device).train()
    learner, ema = Learner(network, spec.lr, spec, spec.steps), Ema(network.state_dict(), spec.ema_decay)
    for step in range(spec.steps):
        batch = batches(step)
        learner.descend(diffusion.loss(network, batch.latents, batch.noises[0], batch.times, batch.conditions))
        ema.update(network.state_dict(), step)
    return {name: value.cpu() for name, value in ema.state_dict().items()}
