"""I3D RGB (Carreira & Zisserman 2017), for inference: clips of uint8 frames to 400 Kinetics logits.

Inception-v1 inflated to three dimensions. Batch norm (no scale, eps 1e-3) is folded into the
convolutions; padding is TensorFlow's "SAME", which puts the odd cell at the far end.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from videogen.errors import EvaluationError
from videogen.evaluation.weights import read_weights

MIN_FRAMES: Final = 9
SIZE: Final = 224
NUM_LOGITS: Final = 400
_EPS: Final = 1e-3
_MIXED: Final[dict[str, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Channels of branch 0, branch 1 (1x1, 3x3), branch 2 (1x1, 3x3), branch 3."""

Triple = tuple[int, int, int]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Cells that TensorFlow's "SAME" adds before and after an axis of that size."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pad_same(x: Float[Tensor, "b c t h w"], kernel: Triple, stride: Triple) -> Tensor:
    pads = [
        side
        for axis in (2, 1, 0)  # F.pad wants the last axis first
        for side in same_padding(x.shape[axis + 2], kernel[axis], stride[axis])
    ]
    return F.pad(x, pads) if any(pads) else x


class _Unit(nn.Module):
    """Convolution, folded batch norm, ReLU."""

    def __init__(
        self, channels: tuple[int, int], kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.symmetric = stride == (1, 1, 1)
        padding = tuple(size // 2 for size in kernel) if self.symmetric else 0
        self.conv = nn.Conv3d(*channels, kernel, stride, padding)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t2 h2 w2"]:
        padded = x if self.symmetric else _pad_same(x, self.kernel, self.stride)
        return F.relu_(self.conv(padded))


class _Pool(nn.Module):
    """Max pooling; its input is never negative, so padding with zeros is padding with nothing."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        return F.max_pool3d(_pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        w0, w1, w1_3x3, w2, w2_3x3, w3 = widths
        cube = (3, 3, 3)
        self.b0 = _Unit((channels, w0))
        self.b1 = nn.Sequential(_Unit((channels, w1)), _Unit((w1, w1_3x3), cube))
        self.b2 = nn.Sequential(_Unit((channels, w2)), _Unit((w2, w2_3x3), cube))
        self.b3 = nn.Sequential(_Pool(cube, (1, 1, 1)), _Unit((channels, w3)))

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t h w"]:
        return torch.cat([self.b0(x), self.b1(x), self.b2(x), self.b3(x)], dim=1)


class I3D(nn.Module):
    """Clips in [-1, 1] at 224x224 to logits."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": _Unit((3, 64), (7, 7, 7), (2, 2, 2)),
            "MaxPool3d_2a_3x3": _Pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": _Unit((64, 64)),
            "Conv3d_2c_3x3": _Unit((64, 192), (3, 3, 3)),
            "MaxPool3d_3a_3x3": _Pool((1, 3, 3), (1, 2, 2)),
        }
        channels = 192
        for name, widths in _MIXED.items():
            if name == "Mixed_4b":
                layers["MaxPool3d_4a_3x3"] = _Pool((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                layers["MaxPool3d_5a_2x2"] = _Pool((2, 2, 2), (2, 2, 2))
            layers[name] = _Mixed(channels, widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.trunk = nn.Sequential()
        for name, layer in layers.items():
            self.trunk.add_module(name, layer)
        self.head = nn.Conv3d(channels, NUM_LOGITS, 1)

    def forward(self, clips: Float[Tensor, "b 3 t 224 224"]) -> Float[Tensor, "b 400"]:
        """Logits, averaged over time."""
        pooled = F.avg_pool3d(self.trunk(clips), (2, 7, 7), stride=1)
        return self.head(pooled).mean(dim=(2, 3, 4))

    def units(self) -> Iterator[tuple[str, nn.Conv3d]]:
        """Each batch-normed convolution with its name among the weights."""
        for name, layer in self.trunk.named_children():
            if isinstance(layer, _Unit):
                yield name, layer.conv
            elif isinstance(layer, _Mixed):
                yield f"{name}/Branch_0/Conv3d_0a_1x1", layer.b0.conv
                for branch, path in ((1, layer.b1), (2, layer.b2)):
                    yield f"{name}/Branch_{branch}/Conv3d_0a_1x1", path[0].conv
                    yield f"{name}/Branch_{branch}/Conv3d_0b_3x3", path[1].conv
                yield f"{name}/Branch_3/Conv3d_0b_1x1", layer.b3[1].conv


def fold(network: I3D, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Put converted weights (kernels t h w in out) into a network, batch norm folded in float64."""
    for name, conv in network.units():
        kernel = weights[f"params/{name}/Conv_0/kernel"].astype(np.float64)
        bias = weights[f"params/{name}/BatchNorm_0/bias"].astype(np.float64)
        mean = weights[f"batch_stats/{name}/BatchNorm_0/mean"].astype(np.float64).reshape(-1)
        variance = weights[f"batch_stats/{name}/BatchNorm_0/var"].astype(np.float64).reshape(-1)
        scale = 1 / np.sqrt(variance + _EPS)
        _assign(conv, kernel * scale, bias - mean * scale)
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    _assign(network.head, weights[f"{head}/kernel"], weights[f"{head}/bias"])


def _assign(conv: nn.Conv3d, kernel: NDArray[np.generic], bias: NDArray[np.generic]) -> None:
    if conv.bias is None:
        raise AssertionError("every convolution carries the folded bias")
    folded = rearrange(torch.from_numpy(kernel), "t h w i o -> o i t h w")
    with torch.no_grad():
        conv.weight.copy_(folded)
        conv.bias.copy_(torch.from_numpy(bias))


@cache
def load_network(weights: Path) -> I3D:
    """The network with the weights of a file that `fetch_i3d` gave; once per process.

    Raises:
        EvaluationError: the file is missing or damaged.
    """
    network = I3D().eval().requires_grad_(requires_grad=False)
    fold(network, read_weights(weights))
    return network.to(memory_format=torch.channels_last_3d)


def preprocess(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b c t 224 224"]:
    """Frames scaled to [-1, 1] and resized bilinearly: half-pixel centres, no antialias."""
    frames = rearrange(clips, "b t h w c -> (b t) c h w").float().div_(127.5).sub_(1)
    frames = frames.contiguous(memory_format=torch.channels_last)
    if frames.shape[-2:] != (SIZE, SIZE):
        frames = F.interpolate(frames, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return rearrange(frames, "(b t) c h w -> b c t h w", b=len(clips))


def logits(
    network: I3D, clips: UInt8[np.ndarray, "n t h w c"], batch_size: int = 2
) -> Float[np.ndarray, "n 400"]:
    """Float32 logits of each clip; memory is bounded by `batch_size` clips, whatever n is.

    Raises:
        EvaluationError: clips have fewer frames than the network can pool over.
    """
    if clips.shape[1] < MIN_FRAMES:
        raise EvaluationError(
            f"clips have {clips.shape[1]} frames; I3D needs at least {MIN_FRAMES}: use longer clips"
        )
    device = next(network.parameters()).device
    features = np.empty((len(clips), NUM_LOGITS), np.float32)
    with torch.inference_mode():
        for start in range(0, len(clips), batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(clips[start : start + batch_size]))
            features[start : start + batch_size] = network(preprocess(batch.to(device))).cpu()
    return features
