"""Adversarial losses and gradient penalties: pure, per clip, cited; whoever calls them averages.

A logit is a real number: the discriminator ends without a sigmoid. "Real" logits come from clips
of the data, "fake" ones from the generator.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LossKind = Literal["bce", "mse", "relativistic"]


def discriminator_loss(
    kind: LossKind, real_logits: Float[Tensor, " b"], fake_logits: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """What the discriminator minimises, per pair of a real and a fake clip.

    - `bce`: cross entropy on logits (Goodfellow et al. 2014, eq. 1).
    - `mse`: least squares to 1 and 0, halved (Mao et al. 2017, eq. 9).
    - `relativistic`: softplus of how far the fake is ahead (Jolicoeur-Martineau 2019; Huang et al.
      2024, eq. 1).
    """
    match kind:
        case "bce":
            return F.softplus(-real_logits) + F.softplus(fake_logits)
        case "mse":
            return 0.5 * ((real_logits - 1).square() + fake_logits.square())
        case "relativistic":
            return F.softplus(fake_logits - real_logits)


def generator_loss(
    kind: LossKind, real_logits: Float[Tensor, " b"], fake_logits: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """What the generator minimises, per pair; only `relativistic` looks at the real logits.

    - `bce`: non-saturating, -log D(fake) (Goodfellow et al. 2014, section 3).
    - `mse`: least squares of the fake to 1, halved (Mao et al. 2017, eq. 9).
    - `relativistic`: softplus of how far the real is ahead (Huang et al. 2024, eq. 1).
    """
    match kind:
        case "bce":
            return F.softplus(-fake_logits)
        case "mse":
            return 0.5 * (fake_logits - 1).square()
        case "relativistic":
            return F.softplus(real_logits - fake_logits)


def needs_real_logits(kind: LossKind) -> bool:
    """Whether the generator's loss depends on real clips."""
    return kind == "relativistic"


def gradient_penalty(
    clips: Float[Tensor, "b t c h w"], logits: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """Zero-centred penalty: squared gradient norm of a frame, averaged over a clip's frames.

    R1 where the clips are real (Mescheder et al. 2018, eq. 9), R2 where they are fake (eq. 10);
    both are in the objective of Huang et al. 2024. `clips` must require gradients and `logits` be
    computed from them, clip by clip. The result can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), clips, create_graph=True)
    return gradient.square().sum(dim=(2, 3, 4)).mean(dim=1)
