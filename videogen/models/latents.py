"""Latents: drawn for training from a generator of random numbers, or for a request from seeds.

A seed's latents are numpy's sequential normal stream, one stream per latent name: more rows go on
where fewer end, so a longer video of a seed extends the shorter one.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from videogen.errors import ConfigError
from videogen.models.generator import CONTENT, Latents

Shapes = Mapping[str, tuple[int, ...]]

_SEED_RANGE = 1 << 63


def draw(
    shapes: Shapes, num: int, rng: torch.Generator, device: torch.device | None = None
) -> dict[str, Tensor]:
    """Latents for `num` clips, from a CPU generator, so that devices do not change them."""
    return {
        name: torch.randn(num, *shape, generator=rng).to(device) for name, shape in shapes.items()
    }


def draw_seeded(
    shapes: Shapes, seeds: Sequence[int], device: torch.device | None = None
) -> dict[str, Tensor]:
    """Latents of one clip per seed; each depends on its own seed alone.

    Raises:
        ConfigError: a seed is negative, or has more than 63 bits.
    """
    for seed in seeds:
        if not 0 <= seed < _SEED_RANGE:
            raise ConfigError(f"seed {seed} is out of range: use 0 to {_SEED_RANGE - 1}")
    return {
        name: torch.from_numpy(
            np.stack([_stream(name, seed).standard_normal(shape, np.float32) for seed in seeds])
        ).to(device)
        for name, shape in shapes.items()
    }


def truncate(latents: Latents, psi: float) -> dict[str, Tensor]:
    """Draw the content towards its mean: 1 leaves it, 0 makes every clip the average one.

    Motion is left alone, so clips keep moving.
    """
    return {name: value * psi if name == CONTENT else value for name, value in latents.items()}


def take_rows(rows: Float[Tensor, "b n d"], index: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
    """Of each clip's rows, those that its times ask for."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))


def _stream(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"videogen latent\x1f{name}\x1f{seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
