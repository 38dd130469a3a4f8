"""Settings of the metrics. Pydantic only, and no part of `equivdm.metrics`, so that a job is planned without numpy."""

from equivdm.config import Config


class WeightsConfig(Config):
    """Networks that some metrics look through, by local path; nothing is downloaded (docs/metrics.md says where to get
    them). A metric whose network is not given is left out, with a line that says so."""

    inception: str | None = None
    """TorchScript of FID's Inception-v3 (`inception-2015-12-05.pt`): of `fid` and `kid`."""
    i3d: str | None = None
    """TorchScript of I3D on Kinetics-400 (`i3d_torchscript.pt`): of `fvd`."""
    clip: str | None = None
    """Folder that transformers' CLIPModel and its tokenizer are read from: of `clip_text`, `clip_frame` and
    `background_consistency`, for which VBench has clip-vit-base-patch32."""
    dino: str | None = None
    """Folder that transformers' ViTModel is read from: of `subject_consistency`, for which VBench has dino-vitb16."""
    lpips: str | None = None
    """AlexNet, a .pth or .safetensors with torchvision's names (`alexnet-owt-7be5be79.pth`): of `lpips`."""
    lpips_linear: str | None = None
    """LPIPS' learned weights of AlexNet's channels (`lpips_v0.1_lin_alex.pth`): of `lpips`, beside the former."""
    quality: str | None = None
    """MUSIQ trained on SPAQ, as pyiqa reads it (`musiq_spaq_ckpt-358bb6af.pth`): of `image_quality`."""

    def path(self, name: str) -> str:
        """Return the path of one of them. Raises ValueError where it is not given."""
        path = getattr(self, name)
        if path is None:
            raise ValueError(f"weights.{name}: got none, wanted a path: leave out the metrics that need it")
        return path
