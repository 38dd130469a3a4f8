"""A head that tells real videos from the student's, on features of the frozen teacher (DMD2, section 4.3)."""

from collections.abc import Sequence

import torch
from torch import nn

from equivdm.backbones.base import Features
from equivdm.distillation.losses import Logits


class Head(nn.Module):
    """An MLP for each of the teacher's layers that it sees, the same at every place: a logit for each.

    Places are judged one by one, as patches are (Isola et al. 2017): the teacher's own layers have mixed them already.
    Features are normalised first, so that no layer's scale decides.
    """

    def __init__(self, widths: Sequence[int], hidden: int) -> None:
        """Build it with fresh weights from torch's global generator. `widths` are the channels of the layers."""
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, 1)
            )
            for width in widths
        )

    def forward(self, features: Sequence[Features]) -> Logits:
        """Return the logits of all layers' places. Raises ValueError for features of another number of layers."""
        logits = [layer(each) for layer, each in zip(self.layers, features, strict=True)]
        return torch.cat(logits, 1).squeeze(-1)
