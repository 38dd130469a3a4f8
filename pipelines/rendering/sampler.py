"""The model on an actor: from a window's noise and conditions to its latents, and from latents to frames."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from equivdm.arrays import Frames
from equivdm.backbones import backbone_of
from pipelines.config import RenderJob
from pipelines.encoding import as_video, encoder
from pipelines.models import ModelRecord, load_model
from pipelines.rendering.identity import settings_of
from pipelines.schemas import from_tensor
from pipelines.shown import Shown, conditions_of
from pipelines.store import Store
from pipelines.tables import Row

if TYPE_CHECKING:
    from equivdm.metrics.trajectory import Path
    from equivdm.types import Latents


class Sampled(NamedTuple):
    """What was sampled, and the way there."""

    noise: "Latents"
    latents: "Latents"
    path: "Path"

    def metrics(self) -> list[Row]:
        """Return what is known of the way only now: how long it is, and how straight, where it is of several steps."""
        from equivdm.metrics.trajectory import noise_to_video_distance

        found = {"noise_to_video_distance": noise_to_video_distance(self.noise, self.latents).item()}
        if self.path.steps > 1:
            found["straightness"] = self.path.straightness(self.noise, self.latents).item()
        return [{"metric": name, "value": value} for name, value in found.items()]


class Sampler:
    """A network and its codec, on a GPU where the process has one."""

    def __init__(self, store: Store, job: RenderJob, model: ModelRecord) -> None:
        import torch

        from pipelines.engines import frozen

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        (denoiser, self.codec), self.model = load_model(store, model, self.device), model
        self._denoiser = frozen(denoiser, self.device)  # in the precision of training and its validation
        self._diffusion = backbone_of(self.model.backbone).diffusion(self.model.objective)
        self._job, (_, self._sampler) = job, settings_of(job, self.model)
        self._encode = encoder(self.codec, self.device)
        self._blank: Callable[[tuple[int, int, int]], np.ndarray] = lru_cache(maxsize=8)(
            lambda size: self._encode(np.zeros((3, *size), np.float32))
        )

    def sample(self, shown: Shown, noises: list[np.ndarray]) -> "Sampled":
        """Sample a window, a batch of one: what else is sampled at the time cannot change it."""
        import torch

        from equivdm.metrics.trajectory import Path
        from equivdm.sampling import sample

        conditions, empty = (
            conditions_of([shown], [use_text], [self._job.use_control]).to(self.device) for use_text in (True, False)
        )

        def draw(number: int) -> "Latents":
            return torch.tensor(noises[number])[None].to(self.device)

        noise, path = draw(0), Path()
        with torch.inference_mode():
            given = (conditions, self._sampler, self._diffusion, empty, draw, path)
            return Sampled(noise, sample(self._denoiser, noise, *given), path)

    def shown(self, row: Row) -> Shown:
        """Return what a window gives the network beside its noise, in the form that the backbone takes."""
        text, empty = from_tensor(row["text"]), from_tensor(row["empty"])
        form = backbone_of(self.model.backbone).control_form()
        if form == "none":
            return Shown(text, empty, None, None, row["fps"])
        control = from_tensor(row["control"])
        if form == "pixels":
            return Shown(text, empty, control, np.zeros_like(control), row["fps"])
        blank = self._blank(control.shape[:3])
        # What shows nothing is mid grey, as in preprocess; a condition of zeros would be black.
        hint = blank if self._job.control.kind == "none" else self._encode(as_video(control))
        return Shown(text, empty, np.concatenate([blank, hint]), np.concatenate([blank, blank]), row["fps"])

    def decode(self, chunks: "Iterable[Latents]") -> Iterator[Frames]:
        """Yield the frames of latents, chunk by chunk."""
        import torch

        from equivdm.video.tensors import to_frames

        with torch.inference_mode():
            for video in self.codec.decode_stream(chunks):
                yield to_frames(video[0])
