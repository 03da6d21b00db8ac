"""Adversarial losses and gradient penalties: pure, per clip, cited; whoever calls them averages.

A logit is a real number: the discriminator ends without a sigmoid. "Real" logits come from clips
of the data, "fake" ones from the generator. Where a discriminator answers with a logit for each
patch of a clip, the clip's loss is the mean over its patches.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

LossKind = Literal["bce", "mse", "relativistic"]
Logits = Float[Tensor, "b *patches"]


def discriminator_loss(
    kind: LossKind, real_logits: Logits, fake_logits: Logits
) -> Float[Tensor, " b"]:
    """What the discriminator minimises, per pair of a real and a fake clip.

    - `bce`: cross entropy on logits (Goodfellow et al. 2014, eq. 1).
    - `mse`: least squares to 1 and 0, halved (Mao et al. 2017, eq. 9).
    - `relativistic`: softplus of how far the fake is ahead (Jolicoeur-Martineau 2019; Huang et al.
      2024, eq. 1).
    """
    match kind:
        case "bce":
            return per_clip(F.softplus(-real_logits) + F.softplus(fake_logits))
        case "mse":
            return per_clip(0.5 * ((real_logits - 1).square() + fake_logits.square()))
        case "relativistic":
            return per_clip(F.softplus(fake_logits - real_logits))


def generator_loss(kind: LossKind, real_logits: Logits, fake_logits: Logits) -> Float[Tensor, " b"]:
    """What the generator minimises, per pair; only `relativistic` looks at the real logits.

    - `bce`: non-saturating, -log D(fake) (Goodfellow et al. 2014, section 3).
    - `mse`: least squares of the fake to 1, halved (Mao et al. 2017, eq. 9).
    - `relativistic`: softplus of how far the real is ahead (Huang et al. 2024, eq. 1).
    """
    match kind:
        case "bce":
            return per_clip(F.softplus(-fake_logits))
        case "mse":
            return per_clip(0.5 * (fake_logits - 1).square())
        case "relativistic":
            return per_clip(F.softplus(real_logits - fake_logits))


def needs_real_logits(kind: LossKind) -> bool:
    """Whether the generator's loss depends on real clips."""
    return kind == "relativistic"


def category_loss(logits: Float[Tensor, "b k"], category: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Cross entropy of the category that a fake was given, for both networks to minimise.

    The bound on the mutual information of Chen et al. 2016 (eq. 5), up to a constant.
    """
    return F.cross_entropy(logits, category, reduction="none")


def per_clip(values: Logits) -> Float[Tensor, " b"]:
    """The mean over the patches of each clip."""
    return values if values.dim() == 1 else values.flatten(1).mean(dim=1)


def gradient_penalty(clips: Float[Tensor, "b t c h w"], logits: Logits) -> Float[Tensor, " b"]:
    """Zero-centred penalty: squared gradient norm of a frame, averaged over a clip's frames.

    R1 where the clips are real (Mescheder et al. 2018, eq. 9), R2 where they are fake (eq. 10);
    both are in the objective of Huang et al. 2024. Of patches the mean logit counts. `clips` must
    require gradients and `logits` be computed from them, clip by clip (with batch norm, that each
    has a share in the others' logits counts too). The result can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(per_clip(logits).sum(), clips, create_graph=True)
    return gradient.square().sum(dim=(2, 3, 4)).mean(dim=1)
