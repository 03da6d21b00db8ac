"""I3D RGB (Carreira & Zisserman 2017), for inference: clips of uint8 frames to 400 Kinetics logits.

Inception-v1 inflated to three dimensions. Batch norm (no scale, eps 1e-3) is folded into the
convolutions; padding is TensorFlow's "SAME", which puts the odd cell at the far end.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from videogen.evaluation.extractors.extractor import Device, Extractor, Precision
from videogen.evaluation.extractors.preprocessing import preprocess
from videogen.evaluation.extractors.weights import I3D_KINETICS, read_weights

MIN_FRAMES: Final = 9
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

Frames = Float[Tensor, "b t h w c"]
"""Channels innermost in memory, which is what the fast CPU kernels want and 1x1 kernels need."""

_ROWS: Final = 49
_CHUNKS: Final[Mapping[Device, int]] = {"cpu": 2, "cuda": 8}
"""Clips at once. A single clip would leave oneDNN for PyTorch's own loop: a quarter slower."""
_STEM: Final = 2
"""Layers that see clips one by one: above 32 MB, malloc gets every buffer anew from the system."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Cells that TensorFlow's "SAME" adds before and after an axis of that size."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Pointwise(nn.Module):
    """1x1x1 convolution, folded batch norm, ReLU.

    All cells are laid out as 49 rows (a factor of every frame size here): PyTorch hands 2-D
    convolutions of 16 rows or more to oneDNN, and smaller or 3-D ones to a loop half as fast.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1)

    def forward(self, x: Frames) -> Frames:
        rows = rearrange(x.reshape(_ROWS, 1, -1, x.shape[-1]), "r one n c -> r c one n")
        out = F.relu_(self.conv(rows))
        return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class _Conv(nn.Module):
    """Convolution with a cubic kernel and the same stride everywhere, folded batch norm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv3d(channels, width, kernel, stride, kernel // 2 if stride == 1 else 0)

    def forward(self, x: Frames) -> Frames:
        if self.stride > 1:
            sizes = (x.shape[3], x.shape[2], x.shape[1])  # F.pad wants the last axis first
            pads = [side for n in sizes for side in same_padding(n, self.kernel, self.stride)]
            x = F.pad(x, (0, 0, *pads))
        out = F.relu_(self.conv(x.permute(0, 4, 1, 2, 3)))
        return out.permute(0, 2, 3, 4, 1)


class _Pool(nn.Module):
    """Max pooling, in space and then in time; frame sizes are even wherever the stride is 2."""

    def __init__(self, time: tuple[int, int], space: tuple[int, int]) -> None:
        super().__init__()
        (self.kernel, self.stride), self.space = time, space

    def forward(self, x: Frames) -> Frames:
        kernel, stride = self.space
        frames = x.flatten(0, 1).permute(0, 3, 1, 2)
        padding = 1 if stride == 1 else 0
        pooled = F.max_pool2d(frames, kernel, stride, padding, ceil_mode=True)
        return self._over_time(pooled.permute(0, 2, 3, 1).unflatten(0, x.shape[:2]))

    def _over_time(self, x: Frames) -> Frames:
        if self.kernel == 1:
            return x
        before, after = same_padding(x.shape[1], self.kernel, self.stride)
        padded = F.pad(x, (0, 0, 0, 0, 0, 0, before, after))  # zeros: no input is negative
        span = padded.shape[1] - self.kernel + 1
        shifted = [padded[:, k : k + span : self.stride] for k in range(self.kernel)]
        out = torch.maximum(shifted[0], shifted[1])
        for more in shifted[2:]:
            torch.maximum(out, more, out=out)
        return out


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        w0, w1, w1_3x3, w2, w2_3x3, w3 = widths
        self.b0 = _Pointwise(channels, w0)
        self.b1_1x1, self.b1_3x3 = _Pointwise(channels, w1), _Conv(w1, w1_3x3)
        self.b2_1x1, self.b2_3x3 = _Pointwise(channels, w2), _Conv(w2, w2_3x3)
        self.b3_pool, self.b3 = _Pool((3, 1), (3, 1)), _Pointwise(channels, w3)

    def forward(self, x: Frames) -> Frames:
        b1, b2 = self.b1_3x3(self.b1_1x1(x)), self.b2_3x3(self.b2_1x1(x))
        return torch.cat([self.b0(x), b1, b2, self.b3(self.b3_pool(x))], dim=-1)

    def units(self) -> Iterator[tuple[str, nn.Conv2d | nn.Conv3d]]:
        """Its convolutions with their names among the weights."""
        yield "Branch_0/Conv3d_0a_1x1", self.b0.conv
        yield "Branch_1/Conv3d_0a_1x1", self.b1_1x1.conv
        yield "Branch_1/Conv3d_0b_3x3", self.b1_3x3.conv
        yield "Branch_2/Conv3d_0a_1x1", self.b2_1x1.conv
        yield "Branch_2/Conv3d_0b_3x3", self.b2_3x3.conv
        yield "Branch_3/Conv3d_0b_1x1", self.b3.conv


class I3D(nn.Module):
    """Clips in [-1, 1] at 224x224 to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential()
        self.trunk.add_module("Conv3d_1a_7x7", _Conv(3, 64, 7, 2))
        self.trunk.add_module("MaxPool3d_2a_3x3", _Pool((1, 1), (3, 2)))
        self.trunk.add_module("Conv3d_2b_1x1", _Pointwise(64, 64))
        self.trunk.add_module("Conv3d_2c_3x3", _Conv(64, 192))
        self.trunk.add_module("MaxPool3d_3a_3x3", _Pool((1, 1), (3, 2)))
        channels = 192
        for name, widths in _MIXED.items():
            if name == "Mixed_4b":
                self.trunk.add_module("MaxPool3d_4a_3x3", _Pool((3, 2), (3, 2)))
            if name == "Mixed_5b":
                self.trunk.add_module("MaxPool3d_5a_2x2", _Pool((2, 2), (2, 2)))
            self.trunk.add_module(name, _Mixed(channels, widths))
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.head = nn.Linear(channels, NUM_LOGITS)

    def forward(self, clips: Frames) -> Float[Tensor, "b 400"]:
        """Logits, averaged over time."""
        stem, rest = self.trunk[:_STEM], self.trunk[_STEM:]
        halved = torch.cat([stem(clip) for clip in clips.split(1)])
        pooled = rest(halved).float().mean(dim=(2, 3))
        pairs = (pooled[:, 1:] + pooled[:, :-1]) / 2  # the pool's window is 2 long in time
        averaged: Tensor = self.head(pairs.mean(dim=1))
        return averaged

    def units(self) -> Iterator[tuple[str, nn.Conv2d | nn.Conv3d]]:
        """Each batch-normed convolution with its name among the weights."""
        for name, layer in self.trunk.named_children():
            if isinstance(layer, _Conv | _Pointwise):
                yield name, layer.conv
            elif isinstance(layer, _Mixed):
                for path, conv in layer.units():
                    yield f"{name}/{path}", conv


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


def _assign(
    layer: nn.Conv2d | nn.Conv3d | nn.Linear,
    kernel: NDArray[np.generic],
    bias: NDArray[np.generic],
) -> None:
    folded = rearrange(torch.from_numpy(kernel), "t h w i o -> o i t h w")
    layer.load_state_dict(
        {"weight": folded.reshape(layer.weight.shape), "bias": torch.from_numpy(bias)}
    )
    if isinstance(layer, nn.Conv3d):
        innermost = layer.weight.detach().contiguous(memory_format=torch.channels_last_3d)
        layer.weight = nn.Parameter(innermost)


def i3d_extractor(weights: Path, precision: Precision, device: Device) -> Extractor:
    """I3D with the weights of a file that `fetch_i3d` gave.

    Raises:
        EvaluationError: the file is missing or damaged.
    """
    network = I3D()
    fold(network, read_weights(weights))
    return ready(network, precision, device)


def ready(network: I3D, precision: Precision, device: Device) -> Extractor:
    """A network with its weights, made ready to run; it is changed and taken over.

    bf16 is that of weights and of what goes between layers; sums, the mean over frames and the head
    are fp32.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    network.eval().requires_grad_(requires_grad=False).to(device)
    network.trunk.to(dtype)
    return Extractor(
        name="i3d",
        sha256=I3D_KINETICS.member_sha256,
        precision=precision,
        device=device,
        chunk=_CHUNKS[device],
        network=lambda clips: network(preprocess(clips).to(dtype)),
        min_frames=MIN_FRAMES,
    )
