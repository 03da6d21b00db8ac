"""I3D done plainly, as a port of it usually is: what ours is timed beside, and checked against.

Channels before time and space, padding of its own before each convolution and pool, batch norm as
a layer, clips resized by a step of its own, `no_grad`. No line is shared with the extractor.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

_SIZE: Final = 224
_INCEPTION: Final = {
    "3b": (192, (64, 96, 128, 16, 32, 32)),
    "3c": (256, (128, 128, 192, 32, 96, 64)),
    "4b": (480, (192, 96, 208, 16, 48, 64)),
    "4c": (512, (160, 112, 224, 24, 64, 64)),
    "4d": (512, (128, 128, 256, 24, 64, 64)),
    "4e": (512, (112, 144, 288, 32, 64, 64)),
    "4f": (528, (256, 160, 320, 32, 128, 128)),
    "5b": (832, (256, 160, 320, 32, 128, 128)),
    "5c": (832, (384, 192, 384, 48, 128, 128)),
}
"""Channels that come in, and those of the branches: 1x1; 1x1, 3x3; 1x1, 3x3; pool, 1x1."""


class PlainI3d(nn.Module):
    """uint8 clips to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.layers["Conv3d_1a_7x7"] = _Unit(3, 64, 7, 2)
        self.layers["MaxPool3d_2a_3x3"] = _SamePool((1, 3, 3), (1, 2, 2))
        self.layers["Conv3d_2b_1x1"] = _Unit(64, 64, 1)
        self.layers["Conv3d_2c_3x3"] = _Unit(64, 192, 3)
        self.layers["MaxPool3d_3a_3x3"] = _SamePool((1, 3, 3), (1, 2, 2))
        for place, (channels, widths) in _INCEPTION.items():
            if place == "4b":
                self.layers["MaxPool3d_4a_3x3"] = _SamePool((3, 3, 3), (2, 2, 2))
            if place == "5b":
                self.layers["MaxPool3d_5a_2x2"] = _SamePool((2, 2, 2), (2, 2, 2))
            self.layers[f"Mixed_{place}"] = _Inception(channels, widths)
        self.pool = nn.AvgPool3d((2, 7, 7), 1)
        self.logits = nn.Conv3d(1024, 400, 1)

    def forward(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b 400"]:
        """Logits, averaged over time."""
        x = _resized(clips)
        for layer in self.layers.values():
            x = layer(x)
        averaged: Tensor = self.logits(self.pool(x)).mean(dim=(2, 3, 4))
        return averaged


class _Unit(nn.Module):
    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv = nn.Conv3d(channels, width, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(_padded(x, self.kernel, self.stride, 0.0))))


class _SamePool(nn.Module):
    def __init__(self, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)

    def forward(self, x: Tensor) -> Tensor:
        padded = _padded(x, self.kernel, self.stride, float("-inf"))
        return F.max_pool3d(padded, self.kernel, self.stride)


class _Inception(nn.Module):
    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.units = nn.ModuleDict(
            {
                "Branch_0/Conv3d_0a_1x1": _Unit(channels, widths[0], 1),
                "Branch_1/Conv3d_0a_1x1": _Unit(channels, widths[1], 1),
                "Branch_1/Conv3d_0b_3x3": _Unit(widths[1], widths[2], 3),
                "Branch_2/Conv3d_0a_1x1": _Unit(channels, widths[3], 1),
                "Branch_2/Conv3d_0b_3x3": _Unit(widths[3], widths[4], 3),
                "Branch_3/Conv3d_0b_1x1": _Unit(channels, widths[5], 1),
            }
        )
        self.pool = _SamePool((3, 3, 3), (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        one, two, two_3x3, three, three_3x3, four = self.units.values()
        return torch.cat([one(x), two_3x3(two(x)), three_3x3(three(x)), four(self.pool(x))], dim=1)


def plain_i3d(weights: Mapping[str, NDArray[np.generic]]) -> PlainI3d:
    """The network with converted weights (kernels t h w in out)."""
    network = PlainI3d()
    for path, layer in network.named_modules():
        if isinstance(layer, _Unit):
            name = path.removeprefix("layers.").replace(".units.", "/")
            norm, seen = f"params/{name}/BatchNorm_0", f"batch_stats/{name}/BatchNorm_0"
            _set(layer.conv.weight, _kernel(weights[f"params/{name}/Conv_0/kernel"]))
            _set(layer.norm.bias, weights[f"{norm}/bias"])
            _set(layer.norm.get_buffer("running_mean"), weights[f"{seen}/mean"])
            _set(layer.norm.get_buffer("running_var"), weights[f"{seen}/var"])
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    _set(network.logits.weight, _kernel(weights[f"{head}/kernel"]))
    _set(network.logits.get_parameter("bias"), weights[f"{head}/bias"])
    return network.eval()


def plain_logits(
    network: PlainI3d, clips: UInt8[np.ndarray, "n t h w c"], batch_size: int
) -> Float[np.ndarray, "n 400"]:
    """Float32 logits of each clip."""
    with torch.no_grad():
        found = [network(batch) for batch in torch.from_numpy(clips).split(batch_size)]
    return torch.cat(found).numpy()


def _resized(clips: Tensor) -> Tensor:
    """In [-1, 1], b c t 224 224."""
    frames = clips.flatten(0, 1).permute(0, 3, 1, 2).float().contiguous()
    frames = F.interpolate(frames, (_SIZE, _SIZE), mode="bilinear", align_corners=False)
    scaled = frames / 127.5 - 1
    channels_first: Tensor = scaled.unflatten(0, clips.shape[:2]).transpose(1, 2)
    return channels_first.contiguous()


def _padded(x: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float) -> Tensor:
    """As TensorFlow's "SAME" does: the odd cell after."""
    pads: list[int] = []
    for size, width, step in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        missing = max((-(-size // step) - 1) * step + width - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads, value=value)


def _kernel(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.transpose(4, 3, 0, 1, 2)


def _set(tensor: Tensor, values: NDArray[np.generic]) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)).reshape(tensor.shape))
