"""Frames as networks take them."""

from typing import Final

import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

SIZE: Final = 224


def preprocess(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t 224 224 c"]:
    """Frames scaled to [-1, 1] and resized bilinearly: half-pixel centres, no antialias.

    Channels stay innermost, where the resize is a copy of whole pixels, and small frames are scaled
    before they grow.
    """
    frames = clips.flatten(0, 1).float().div_(127.5).sub_(1).permute(0, 3, 1, 2)
    if frames.shape[-2:] != (SIZE, SIZE):
        frames = F.interpolate(frames, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    resized: Tensor = frames.permute(0, 2, 3, 1).unflatten(0, clips.shape[:2])
    return resized
