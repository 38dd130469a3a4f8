"""The frozen teacher: the real score of a re-noised video, the features that a head sees, and the end of its ODE."""

from dataclasses import dataclass

import torch

from equivdm.backbones.base import Conditions, Denoiser, DenoiserModule, Features
from equivdm.backbones.features import listening
from equivdm.config import SamplerConfig
from equivdm.objective import Diffusion
from equivdm.sampling import guided, sample
from equivdm.types import Latents, Times


@dataclass(frozen=True)
class Teacher:
    """Its weights have no gradient; what it is asked about may have one, which goes through."""

    call: Denoiser
    """Runs the network."""
    network: DenoiserModule
    """Whose layers are listened to."""
    diffusion: Diffusion
    guidance: float = 1.0
    """Of score and ODE (see `equivdm.sampling.guided`); 1 is none, and any other needs conditions of the empty prompt.
    """

    def judge(
        self, x_t: Latents, times: Times, conditions: Conditions, empty: Conditions | None = None, *, listen: bool
    ) -> tuple[Latents, list[Features]]:
        """Return the real score's prediction at x_t, without gradient, and the features, with that of `x_t`.

        One pass gives both, a second one guidance. Features there are none unless `listen` is set; they are those of
        the caption alone. Raises ValueError for guidance without `empty`.
        """
        if listen:
            prediction, features = self._heard(x_t, times, conditions)
        else:
            with torch.no_grad():  # nothing is kept for a pass backward that there is not
                prediction, features = self.call(x_t, times, conditions), []
        if self.guidance == 1:
            return prediction.detach(), features
        if empty is None:
            raise ValueError(f"guidance: got {self.guidance} without conditions of the empty prompt: give `empty`")
        with torch.no_grad():
            return guided(prediction.detach(), self.call(x_t, times, empty), self.guidance), features

    @torch.no_grad()
    def features(self, x_t: Latents, times: Times, conditions: Conditions) -> list[Features]:
        """Return the features of x_t, without gradient."""
        return self._heard(x_t, times, conditions)[1]

    def solve(
        self, noise: Latents, conditions: Conditions, sampler: SamplerConfig, empty: Conditions | None
    ) -> Latents:
        """Return what its ODE makes of noise, by `sampler` with the teacher's guidance."""
        config = sampler.model_copy(update={"guidance": self.guidance})
        return sample(self.call, noise, conditions, config, self.diffusion, empty)

    def _heard(self, x_t: Latents, times: Times, conditions: Conditions) -> tuple[Latents, list[Features]]:
        with listening(self.network, len(x_t)) as features:
            return self.call(x_t, times, conditions), features
