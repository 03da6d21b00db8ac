"""Motion codes in continuous time, after StyleGAN-V (Skorokhodov et al. 2022, section 3.1).

Random codes stand at every `interval` frames; between two of them the embedding is an acyclic
positional encoding: waves whose periods and phases the codes choose, bent so that they start and
end where the neighbouring codes' linear parts say. Any time, and any length, can be asked for.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from videogen.models.blocks import leaky, linear, scale_init
from videogen.models.latents import take_rows

KERNEL = 5
_NUM_CONVS = 2
_WIDTH = 128
_NUM_WAVES = 32
_LONGEST_PERIOD_FRAMES = 256


class MotionEncoder(nn.Module):
    """Motion codes and times to an embedding per frame, in float32."""

    def __init__(self, code_dim: int, embedding_dim: int, interval: int) -> None:
        super().__init__()
        self.code_dim, self.interval = code_dim, interval
        sizes = (code_dim, *[_WIDTH] * (_NUM_CONVS - 1))
        self.convs = nn.ModuleList(_conv(size) for size in sizes)
        self.frequencies: Tensor
        longest = max(_LONGEST_PERIOD_FRAMES, 2 * interval)
        periods = torch.logspace(math.log10(interval), math.log10(longest), _NUM_WAVES)
        self.register_buffer("frequencies", 2 * math.pi / periods)
        self.tempo = linear(_WIDTH, _NUM_WAVES, bias=False)
        self.phase = linear(_WIDTH, _NUM_WAVES, bias=False)
        self.aligner = linear(_WIDTH, 2 * _NUM_WAVES, bias=False)
        self.out = linear(2 * _NUM_WAVES, embedding_dim)

    def code_shape(self, num_frames: int) -> tuple[int, int]:
        """Codes needed for times from 0 up to `num_frames`, and the size of each."""
        return num_frames // self.interval + 2 + _NUM_CONVS * (KERNEL - 1), self.code_dim

    def forward(
        self, codes: Float[Tensor, "b n d"], times: Float[Tensor, "b t"]
    ) -> Float[Tensor, "b t e"]:
        """Embeddings at `times` (in frames); continuous in time."""
        with torch.autocast(times.device.type, enabled=False):
            return self._embed(codes.float(), times.float())

    def _embed(self, codes: Tensor, times: Tensor) -> Tensor:
        x = codes.transpose(1, 2)
        for conv in self.convs:
            x = leaky(conv(x))
        anchors = x.transpose(1, 2)  # (b, n, width): one for every `interval` frames
        left_index = (times / self.interval).floor()
        since = (times - left_index * self.interval)[..., None]  # frames since the left anchor
        left = take_rows(anchors, left_index.long())
        right = take_rows(anchors, left_index.long() + 1)
        tempo = torch.tanh(self.tempo(left)) + 1
        phase = 2 * math.pi * self.phase(left)

        def waves(time: Tensor | float) -> Tensor:
            angle = self.frequencies * tempo * time + phase
            return torch.cat([angle.sin(), angle.cos()], dim=-1)

        weight = since / self.interval
        chord = torch.lerp(waves(0.0), waves(float(self.interval)), weight)
        linear_part = torch.lerp(self.aligner(left), self.aligner(right), weight)
        embedding: Tensor = self.out(waves(since) - chord + linear_part)
        return embedding


def _conv(channels: int) -> nn.Conv1d:
    """Unpadded: every anchor sees as many codes."""
    conv = nn.Conv1d(channels, _WIDTH, KERNEL)
    scale_init(conv.weight, math.sqrt(2))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
