"""Settings of the method. Pydantic only, so that a machine without torch can check and plan a job."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, TextSizes, UNetSizes


class Config(BaseModel):
    """A closed, frozen set of settings; the string under a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Bucket(Config):
    """One size and length of clips, of several in a mixed data set."""

    height: int = Field(ge=16)
    """Height in pixels, after a resize that covers the frame and a centre crop."""
    width: int = Field(ge=16)
    """Width in pixels, likewise."""
    frames: int = Field(ge=2)
    """Frames of a clip."""


class ClipConfig(Config):
    """Which windows of a video become clips, and at which size."""

    frames: int = Field(default=16, ge=2)
    """Frames of a clip."""
    height: int = Field(default=64, ge=16)
    """Height in pixels, after a resize that covers the frame and a centre crop."""
    width: int = Field(default=64, ge=16)
    """Width in pixels, likewise."""
    stride: int | None = Field(default=None, ge=1)
    """Frames from the start of one window to the start of the next; the clip's own length where none is given."""
    fps: float | None = Field(default=None, gt=0)
    """Frames a second after resampling by time stamps; the video's own frames where none is given."""
    max_windows: int | None = Field(default=None, ge=1)
    """At most so many windows of one video, spread evenly over it; all where none is given."""
    buckets: tuple[Bucket, ...] = ()
    """Sizes and lengths of a mixed data set: each shot gets the one that fits it best. Where some are given, `frames`,
    `height` and `width` are not looked at."""

    @property
    def choices(self) -> tuple[Bucket, ...]:
        """The buckets; where none is given, the one of `height`, `width` and `frames`."""
        return self.buckets or (Bucket(height=self.height, width=self.width, frames=self.frames),)

    @model_validator(mode="after")
    def _buckets_differ(self) -> "ClipConfig":
        for number, bucket in enumerate(self.buckets):
            if bucket in self.buckets[:number]:
                raise ValueError(
                    f"buckets: got height {bucket.height}, width {bucket.width}, frames {bucket.frames} twice: "
                    "leave one of the two out"
                )
        return self


class ShotsConfig(Config):
    """How a video is cut into shots, so that no clip goes across a cut."""

    kind: Literal["none", "cuts", "cuts_and_fades"] = "cuts_and_fades"
    """`cuts`: hard cuts; `cuts_and_fades`: also cross fades and fades from and to one colour, of up to about 32 frames;
    `none`: a video is one shot, and is not decoded to find its windows."""
    cut_ratio: float = Field(default=2.0, gt=1)
    """A cut is where the frames before differ from those after by so many times what they differ among themselves."""
    fade_change: float = Field(default=10.0, gt=0)
    """A fade is where the picture's structure changes by so many of 255 levels and does so as a linear mix would."""
    shortest: int = Field(default=1, ge=1)
    """Shots of fewer frames give no windows, even where one fits since the clip's rate is above the video's."""


class DecodeConfig(Config):
    """Limits of the decoder process. They cannot change a result, only stop it."""

    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds that one call to the decoder may take."""
    memory_mib: int = Field(default=4096, ge=256)
    """Address space that decoding may take on top of the idle decoder process, in MiB."""


class OcclusionConfig(Config):
    """The forward-backward check: a pixel is occluded where |f + b|^2 > absolute + relative * (|f|^2 + |b|^2)."""

    absolute: float = Field(default=0.5, ge=0)
    """Slack in px^2."""
    relative: float = Field(default=0.01, ge=0)
    """Slack per squared length of the two displacements."""


class FlowConfig(Config):
    """How motion is known."""

    kind: Literal["dis", "raft", "file"] = "dis"
    """`dis`: dense inverse search of OpenCV, on the CPU; `raft`: a network, for GPUs (needs torchvision); `file`:
    motion vectors beside the video, such as a renderer's, in `NAME.flow/` or `NAME.flow.npz` (docs/flow.md)."""
    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    """Of `dis`: OpenCV's trade of speed for accuracy."""
    weights: str | None = None
    """Of `raft`: local path of its weights, .pth or .safetensors, of the small or the large network."""
    updates: int = Field(default=12, ge=1)
    """Of `raft`: recurrent updates; fewer are faster."""
    batch: int = Field(default=4, ge=1)
    """Of `raft`: pairs of frames in one pass. Decides the memory, and changes rounding only."""
    occlusion: OcclusionConfig = OcclusionConfig()
    """What counts as hidden. No part of the flow itself."""

    @model_validator(mode="after")
    def _raft_has_weights(self) -> "FlowConfig":
        if (self.kind == "raft") != (self.weights is not None):
            raise ValueError(f"weights: got {self.weights!r} with kind={self.kind}: raft needs a path, the others none")
        return self


class PlanConfig(Config):
    """How finely the motion plan follows the flow."""

    per_cell: int = Field(default=4, ge=1, le=16)
    """K: a latent cell starts with K x K particles."""


class NoiseConfig(Config):
    """Which noise a model is trained or sampled with."""

    kind: Literal["warped", "independent"] = "warped"
    """`warped` moves with the video; `independent` is the baseline, fresh in every frame."""
    beta: float = Field(default=0.9, ge=0, le=1)
    """Share of the warped part: eps = beta * eps_warped + sqrt(1 - beta^2) * eps_independent."""


class ControlConfig(Config):
    """The dense condition beside the caption."""

    kind: Literal["none", "grey", "soft_edge", "canny", "depth", "low_resolution", "video", "file"] = "soft_edge"
    """`grey`: blurred grey copy of the video, to be repainted; `soft_edge`: smoothed gradient magnitude; `canny`:
    binary edges; `depth`: a network's, near is bright; `low_resolution`: the video shrunk and enlarged again, to be
    refined; `video`: the video itself, both in colour; `file`: pictures beside the video, such as a renderer's, in
    `NAME.control/` (docs/preprocess.md); `none`: the model has noise and caption only."""
    factor: int = Field(default=4, ge=2)
    """Of `low_resolution`: how many times smaller each side is."""
    model: str | None = None
    """Of `depth`: local path of a folder that transformers' AutoModelForDepthEstimation reads, or of a TorchScript
    file."""

    @model_validator(mode="after")
    def _depth_has_a_model(self) -> "ControlConfig":
        if (self.kind == "depth") != (self.model is not None):
            raise ValueError(f"model: got {self.model!r} with kind={self.kind}: depth needs a path, the others none")
        return self


class TinyConfig(Config):
    """The embedded backbone: a small video transformer on half-resolution pixels. It trains on a CPU in minutes."""

    kind: Literal["tiny"] = "tiny"
    """Name of the backbone."""
    width: int = Field(default=96, ge=16)
    """Channels of the transformer."""
    depth: int = Field(default=3, ge=1)
    """Blocks; each has attention over space and over time, and an MLP."""
    heads: int = Field(default=4, ge=2, multiple_of=2)
    """Attention heads; half of them look over space, half over time."""
    patch: int = Field(default=8, ge=2, multiple_of=2)
    """Latent cells along each side of a token."""
    channels: int = Field(default=16, ge=4)
    """Of the convolutions at latent resolution; each level below has twice as many."""
    levels: int = Field(default=2, ge=1, le=6)
    """Resolutions of the convolutions, each half of the one before; the transformer is at the last."""
    control_channels: Literal[1, 3] = 1
    """Of the dense condition: 1 for grey ones, 3 for those in colour, which takes grey ones too."""

    @property
    def level_channels(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(self.channels << level for level in range(self.levels))

    @model_validator(mode="after")
    def _patch_spans_levels(self) -> "TinyConfig":
        if self.patch % (cell := 1 << (self.levels - 1)):
            raise ValueError(
                f"patch: got {self.patch} with {self.levels} levels, wanted a multiple of {cell}, "
                "a cell of the last level: change patch or levels"
            )
        return self

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TinyConfig":
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is no multiple of twice the heads ({self.heads}): choose one that is")
        return self


class WanConfig(Config):
    """Wan 2.1 (arXiv 2503.20314), text to video or VACE (2503.07598), by the class of its transformer."""

    kind: Literal["wan"] = "wan"
    """Name of the backbone."""
    model: str = Field(min_length=1)
    """A folder that diffusers saved the model to, or OWNER/NAME on the hub, which is downloaded to its cache first."""
    words: int = Field(default=512, ge=1)
    """Tokens that captions are cut or padded to; 512 is what Wan is trained with."""


class VideoCrafter2Config(Config):
    """VideoCrafter2 (arXiv 2401.09047), the paper's first backbone: text and frame rate, no dense condition."""

    kind: Literal["videocrafter2"] = "videocrafter2"
    """Name of the backbone."""
    weights: str = Field(min_length=1)
    """Path of the public `model.ckpt` (320 x 512), or of a .safetensors of the same names: all three networks."""
    tokenizer: str = Field(min_length=1)
    """Folder of a CLIP tokenizer: vocab.json and merges.txt."""
    unet: UNetSizes = UNetSizes()
    """Sizes of the UNet; those of the public file where none are given. Likewise the next two."""
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    """Sizes of the autoencoder."""
    text: TextSizes = TextSizes()
    """Sizes of the text encoder."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "VideoCrafter2Config":
        if self.unet.text_width != self.text.width:
            raise ValueError(f"unet.text_width: got {self.unet.text_width}, wanted text.width, {self.text.width}")
        shape = (self.autoencoder.latents, self.autoencoder.stride, self.unet.latents)
        if shape != (4, 8, 4):
            raise ValueError(
                f"autoencoder: got {shape[0]} latents, a stride of {shape[1]}, and {shape[2]} latents of the UNet, "
                "wanted 4, 8 and 4: give four factors, and leave the latents as they are"
            )
        return self


def _tiny_by_default(value: Any) -> Any:
    return {"kind": "tiny", **value} if isinstance(value, dict) else value


BackboneConfig = Annotated[
    TinyConfig | WanConfig | VideoCrafter2Config, Field(discriminator="kind"), BeforeValidator(_tiny_by_default)
]
"""A backbone by its `kind`; settings that name none are those of `tiny`."""

Parameterisation = Literal["epsilon", "v", "x0", "flow"]
"""What a denoiser predicts of x_t = a x_0 + b eps: eps; a eps - b x_0; x_0; or eps - x_0."""


class LoraConfig(Config):
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685): W stays, alpha / rank * B A is trained beside it."""

    rank: int = Field(default=16, ge=1)
    """Rank of B A: a layer of n inputs and m outputs gets rank * (n + m) weights."""
    alpha: float = Field(default=16.0, gt=0)
    """Scale of B A, times the rank."""
    targets: tuple[str, ...] = ()
    """Linear layers that get one: ends of their names, such as `to_q` or `attn1.to_out.0`. The backbone's own where
    none is given: the attention projections; of `tiny` those of attention and MLP, which are one layer."""


class SamplerConfig(Config):
    """How a model goes from noise to video: a solver of its ODE, or a student's steps."""

    kind: Literal["euler", "ddim", "heun", "unipc", "renoise"] = "euler"
    """`ddim` (eta 0) and `euler` are first order, and one but for rounding; `heun` and `unipc` are second-order solvers
    of diffusers. Any of them goes with any model (docs/render.md). `renoise` is for distilled students: each step goes
    to the video at once, which is given fresh noise for the next."""
    steps: int = Field(default=8, ge=1)
    """Solver steps; a student's are those that it was distilled for."""
    shift: float = Field(default=1.0, gt=0)
    """Times are shift * s / (1 + (shift - 1) * s) for evenly spaced s: above 1 more of them lie near the noise. The s
    of `heun` end at a shifted one, as in diffusers (docs/render.md)."""
    guidance: float = Field(default=1.0, ge=0)
    """Classifier-free guidance: how far to go from what the empty prompt gives to what the caption gives, and beyond.
    1 is none; any other shows the model both prompts, as a batch of two. The dense condition is kept for both."""
