"""`mocogan`: content and motion apart, the motion from an RNN (Tulyakov et al. 2018).

A clip has one content code and one category of motion; a GRU turns noise into a motion code for
every frame of the data; each frame is made from its three codes by transposed convolutions with
batch norm. Times between frames take what lies on the straight line between the codes around them.
Training shows clips from where the GRU starts, as the paper does: shown from anywhere, the first
frames of what is asked for later were grey, for the GRU starts further out than it goes on.

At 64 px with the default widths the generator is the paper's; other sizes have one stage per
doubling. The first transposed convolution, of a single position, is computed as the matrix product
that it is: on one core with AVX-512 BF16 that takes 5 ms for 512 frames, the convolution 45. The
others, in bf16 on channels-last, run at 280 to 450 GFLOP/s, twice to four times as fast as when
written as convolutions with sub-pixel outputs, or as products whose columns are folded.

A whole iteration at 32 clips of 16x64x64 takes 6.1 CPU-seconds there (bf16 on contiguous 7.4, fp32
on channels-last 12.0, fp32 on contiguous 14.6), of which convolutions are 85 %.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from videogen.config.models import MocoganConfig
from videogen.models.generator import CATEGORY, CONTENT, MOTION, Latents, VideoGenerator
from videogen.models.latents import take_rows
from videogen.models.layout import follow

BASE_SIZE = 4
MAX_WIDENING = 8
"""The narrowest layers have at most this many times the channels of the widest."""
KERNEL = 4
_RGB = 3


class MocoganGenerator(VideoGenerator):
    """Frames of `size` pixels square from content, category and a GRU's motion codes."""

    stationary = False  # the GRU starts from N(0, 1), wider than the states that it comes to

    def __init__(self, config: MocoganConfig, size: int) -> None:
        super().__init__()
        self.config = config
        doublings = int(math.log2(size // BASE_SIZE))
        channels = [
            config.generator_channels * min(1 << power, MAX_WIDENING)
            for power in range(doublings - 1, -1, -1)
        ]
        self.recurrent = nn.GRUCell(config.motion_dim, config.motion_dim)
        code_dim = config.content_dim + config.num_categories + config.motion_dim
        self.start = nn.Linear(code_dim, channels[0] * BASE_SIZE**2, bias=False)
        bound = 1 / math.sqrt(channels[0] * BASE_SIZE**2)  # torch's for the convolution that it is
        nn.init.uniform_(self.start.weight, -bound, bound)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(before, width, KERNEL, 2, 1, bias=False)
            for before, width in zip(channels, [*channels[1:], _RGB], strict=True)
        )

    def latent_shapes(self, num_frames: int) -> dict[str, tuple[int, ...]]:
        """A content vector, scores of the categories, the GRU's first state and its noise."""
        config = self.config
        shapes: dict[str, tuple[int, ...]] = {
            CONTENT: (config.content_dim,),
            MOTION: (1 + num_frames + 2, config.motion_dim),
        }
        if config.num_categories:
            shapes[CATEGORY] = (config.num_categories,)
        return shapes

    def categories(self, latents: Latents) -> Int[Tensor, " b"] | None:
        """The category with the highest score: all are equally likely."""
        scores = latents.get(CATEGORY)
        return None if scores is None else scores.argmax(dim=1)

    def forward(self, latents: Latents, times: Float[Tensor, "b t"]) -> Float[Tensor, "b t c h w"]:
        """Frames at `times`, in [-1, 1]."""
        x = self.start(self._codes(latents, times).flatten(0, 1))
        x = rearrange(x, "n (h w c) -> n c h w", h=BASE_SIZE, w=BASE_SIZE)
        x = follow(x, self.convs[0])
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(F.relu_(norm(x)))
        frames: Tensor = torch.tanh(x.float()).unflatten(0, times.shape)
        return frames

    def _codes(self, latents: Latents, times: Float[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Everything that is known of each frame."""
        still = [latents[CONTENT]]
        category = self.categories(latents)
        if category is not None:
            still.append(F.one_hot(category, self.config.num_categories).to(still[0].dtype))
        motion = self._motion(latents[MOTION], times)
        parts = [one[:, None].expand(-1, times.shape[1], -1) for one in still]
        return torch.cat([*parts, motion], dim=-1)

    def _motion(
        self, noise: Float[Tensor, "b n d"], times: Float[Tensor, "b t"]
    ) -> Float[Tensor, "b t d"]:
        """The GRU's states after its first, one a frame; the first row is where it starts."""
        states = []
        with torch.autocast(times.device.type, enabled=False):
            state, *steps = noise.float().unbind(dim=1)
            for step in steps:
                state = self.recurrent(step, state)
                states.append(state)
            codes = torch.stack(states, dim=1)
            left = times.floor()
            weight = (times - left)[..., None]
            index = left.long()
            return torch.lerp(take_rows(codes, index), take_rows(codes, index + 1), weight)
