"""From noise to video, from the noisiest time of a process to t = 0 (data): by its ODE, or by a student's steps."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.config import SamplerConfig
from equivdm.errors import UsageError
from equivdm.objective import Diffusion
from equivdm.process import Straight
from equivdm.solvers import SECOND_ORDER, Field, second_order, times_of
from equivdm.types import Latents

Draw = Callable[[int], Latents]
"""Draw k >= 1 of the noise, independent of the others and of the same motion."""

Watch = Callable[[Latents, float, float], None]
"""(velocity, t, t_next) of each step."""


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise: Latents,
    conditions: Conditions,
    config: SamplerConfig,
    diffusion: Diffusion,
    empty: Conditions | None = None,
    fresh: Draw | None = None,
    watch: Watch | None = None,
) -> Latents:
    """Return the latents at t = 0 of the path that starts in `noise` at `diffusion.start`.

    The denoiser is asked once a step, by `heun` twice, and once in its last step. With guidance each call has both
    prompts, as one batch of twice the size. None of the solvers adds randomness: the result is a function of the
    noise, which is how its motion reaches the video. `renoise` takes a fresh draw between two steps, of the same
    motion.

    The samples of a batch do not see each other, but what a network computes of more samples at once may be rounded
    in another way. Where bits count, give one sample at a time.

    Args:
        denoiser: what `diffusion` interprets.
        noise: white in each frame.
        conditions: what the video should be.
        config: the solver.
        diffusion: of the denoiser.
        empty: `conditions` with the empty prompt; only guidance needs them.
        fresh: gives the noise of the re-noising; only `renoise` with more than one step needs it.
        watch: is told the steps of `euler` on the straight path; other solvers have no velocities to tell.

    Raises:
        UsageError: where the solver does not go with the diffusion.
        ValueError: for guidance without `empty`, and where there is no `fresh` to take noise from.
    """
    check_sampler(config, diffusion)
    predict = _predictor(denoiser, conditions, config.guidance, empty)
    if config.kind == "renoise":
        return _few_steps(predict, noise, config, diffusion, fresh)
    times = step_times(config, diffusion)
    if config.kind in SECOND_ORDER:
        return second_order(predict, noise, config, diffusion, times)
    if config.kind == "euler" and isinstance(diffusion.process, Straight):
        return _euler(predict, noise, diffusion, times, watch)
    return _ddim(predict, noise, diffusion, times)


def check_shift(field: str, shift: float, diffusion: Diffusion) -> None:
    """Raise UsageError where a diffusion has no times to shift."""
    if shift != 1 and not isinstance(diffusion.process, Straight):
        raise UsageError(
            f"{field}: got {shift} for {type(diffusion.process).__name__}, wanted 1: "
            "only times of the straight path are shifted; leave it out"
        )


def check_sampler(config: SamplerConfig, diffusion: Diffusion) -> None:
    """Raise UsageError where a solver does not go with a diffusion."""
    process = type(diffusion.process).__name__
    check_shift("sampler.shift", config.shift, diffusion)
    levels = diffusion.process.levels
    if config.kind in SECOND_ORDER and levels and config.steps >= levels:
        raise UsageError(
            f"sampler.steps: got {config.steps} of {config.kind} for {process}, wanted at most {levels - 1}: "
            "it has no more levels, and a step must lead from one to another"
        )


def sampling_times(config: SamplerConfig, start: float) -> list[float]:
    """Return steps + 1 falling times from `start` to 0: start * shift s / (1 + (shift - 1) s) for evenly spaced s."""
    even = (1 - step / config.steps for step in range(config.steps + 1))
    return [start * (config.shift * s / (1 + (config.shift - 1) * s)) for s in even]


def step_times(config: SamplerConfig, diffusion: Diffusion) -> list[float]:
    """Return the times that a solver steps over, from the start to 0.

    They are `sampling_times`. Of a process with so many levels, `euler` alone: the other solvers go evenly from its
    noisiest level to the cleanest with noise, as models of such a process are published; the last step is the rest.
    """
    levels = diffusion.process.levels
    if config.kind == "euler" or levels is None or config.steps == 1:
        return sampling_times(config, diffusion.start)
    first, last = diffusion.start, 1 / levels
    return [*(first + (last - first) * step / (config.steps - 1) for step in range(config.steps)), 0.0]


def guided(toward: Latents, away: Latents, guidance: float) -> Latents:
    """D = D(empty) + w (D(prompt) - D(empty)), classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598).

    The same for every parameterisation: at one x_t each is an affine map of any other.
    """
    return away + guidance * (toward - away)


def euler_step(x: Latents, v: Latents, t: float, t_next: float) -> Latents:
    """x_{t'} = x_t + (t' - t) v(x_t, t)."""
    return x + (t_next - t) * v


def ddim_step(x: Latents, prediction: Latents, t: float, t_next: float, diffusion: Diffusion) -> Latents:
    """x_{t'} = a' x_0 + b' eps, DDIM with eta = 0 (Song et al. 2021, eq. 12). On the straight path `euler_step`."""
    x0, eps = diffusion.split(prediction, x, times_of(x, t))
    return diffusion.add_noise(x0, eps, times_of(x, t_next))


def renoised(predict: Field, noise: Latents, times: Sequence[float], diffusion: Diffusion, fresh: Draw) -> Latents:
    """Return x_t at the last of `times`, from `noise` at the first: x_{t_k} = a(t_k) x_0 + b(t_k) eps_k.

    x_0 is what is predicted at t_{k-1}, and eps_k = `fresh`(k): consistency models' and DMD2's way to sample in few
    steps (Song et al. 2023, algorithm 1; Yin et al. 2024, arXiv 2405.14867, section 4.4).
    """
    x = noise
    for k, (t, t_next) in enumerate(pairwise(times), 1):
        x0 = diffusion.clean(predict(x, t), x, times_of(x, t))
        x = diffusion.add_noise(x0, fresh(k), times_of(x, t_next))
    return x


def _few_steps(
    predict: Field, noise: Latents, config: SamplerConfig, diffusion: Diffusion, fresh: Draw | None
) -> Latents:
    *times, _ = sampling_times(config, diffusion.start)
    x = renoised(predict, noise, times, diffusion, fresh or _absent)
    return diffusion.clean(predict(x, times[-1]), x, times_of(x, times[-1]))


def _absent(k: int) -> Latents:
    raise ValueError(f"fresh: got none, wanted draw {k} of the noise for `renoise`: give what draws it")


def _predictor(denoiser: Denoiser, conditions: Conditions, guidance: float, empty: Conditions | None) -> Field:
    if guidance == 1:
        return lambda x, t: denoiser(x, times_of(x, t), conditions)
    if empty is None:
        raise ValueError(f"guidance: got {guidance} without conditions of the empty prompt: give them as `empty`")
    both = conditions.beside(empty)

    def pair(x: Latents, t: float) -> Latents:
        twice = torch.cat([x, x])
        toward, away = denoiser(twice, times_of(twice, t), both).chunk(2)
        return guided(toward, away, guidance)

    return pair


def _euler(predict: Field, noise: Latents, diffusion: Diffusion, times: list[float], watch: Watch | None) -> Latents:
    x = noise
    for t, t_next in pairwise(times):
        velocity = diffusion.velocity(predict(x, t), x, times_of(x, t))
        if watch:
            watch(velocity, t, t_next)
        x = euler_step(x, velocity, t, t_next)
    return x


def _ddim(predict: Field, noise: Latents, diffusion: Diffusion, times: list[float]) -> Latents:
    *asked, last, _ = times
    x = noise
    for t, t_next in pairwise([*asked, last]):
        x = ddim_step(x, predict(x, t), t, t_next, diffusion)
    # A process may have noise at its last level: the video is x_0.
    return diffusion.clean(predict(x, last), x, times_of(x, last))
