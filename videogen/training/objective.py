"""The objective of a step, for one discriminator: what it minimises, and the generator against it.

A discriminator with batch norm never judges real and fake clips together, nor a part of them: its
answers depend on what is judged with them. The others judge the few penalised clips together, and
the rest apart. Measured for `r3gan-v` on one core (CPU time of a discriminator's update, against
all together): 0.95 to 0.97 at 8 clips of 32 px, 0.87 at 16 clips.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from videogen.losses import (
    LossKind,
    category_loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    needs_real_logits,
    per_clip,
)
from videogen.models.discriminator import (
    NOTHING_KNOWN,
    Conditions,
    Judgement,
    VideoDiscriminator,
)

Samples = Float[Tensor, "n f c h w"]
Terms = tuple[Tensor, dict[str, Tensor]]
"""A loss, the mean over samples, and figures beside it, detached."""


class Critic:
    """A discriminator, plain and as it is wrapped for averaging gradients over workers."""

    def __init__(self, judge: VideoDiscriminator, wrapped: nn.Module) -> None:
        self.judge, self.wrapped = judge, wrapped
        self.mixes = any(isinstance(one, _BatchNorm) for one in judge.modules())
        """Whether a sample's judgement depends on those beside it."""


@dataclass(frozen=True)
class Seen:
    """Samples as a discriminator sees them."""

    real: Samples
    fake: Samples
    categories: Int[Tensor, " n"] | None
    """Those that the fakes were given."""
    places: range
    """Where the samples lie among those of the global batch."""
    known: Conditions = NOTHING_KNOWN
    """Of real and fake alike: a fake has the times and the label of the real beside it."""

    def taken(self, index: list[int]) -> "Seen":
        """Some of them, in order."""
        if len(index) == len(self.places):
            return self
        rows = torch.tensor(index, dtype=torch.long)
        if self.real.is_cuda:
            rows = rows.pin_memory().to(self.real.device, non_blocking=True)
        return Seen(
            self.real.index_select(0, rows),
            self.fake.index_select(0, rows),
            None if self.categories is None else self.categories.index_select(0, rows),
            range(len(index)),
            Conditions(*(None if one is None else one.index_select(0, rows) for one in self.known)),
        )


@dataclass(frozen=True)
class Objective:
    """The objective at one point of a run."""

    loss: LossKind
    gamma: float
    penalty_interval: int
    step_index: int
    autocast: Callable[[], AbstractContextManager[object]]
    """The number format of all but the penalties, which are computed in fp32."""

    def of_discriminator(self, critic: Critic, seen: Seen, rng: torch.Generator) -> Terms:
        """Adversarial loss, both penalties, and the categories of fakes."""
        turns = self.turns(critic, seen.places)
        none = seen.real.new_zeros(())  # every worker has the same figures, whoever's turn it is
        sums = {"r1": none, "r2": none} if self.gamma > 0 else {}
        for exactly in (True, False):
            part = seen.taken([one for one, turn in enumerate(turns) if turn is exactly])
            if len(part.places):
                for name, value in self._sums(critic, part, rng, exactly=exactly).items():
                    sums[name] = sums[name] + value if name in sums else value
        means = {name: value / len(seen.places) for name, value in sums.items()}
        loss = torch.stack(
            [means[name] for name in ("discriminator_loss", "category_loss") if name in means]
        ).sum()
        if self.gamma > 0:
            means |= {name: self.penalty_interval * means[name] for name in ("r1", "r2")}
            loss = loss + self.gamma / 2 * (means["r1"] + means["r2"])
        return loss, {name: value.detach() for name, value in means.items()}

    def of_generator(self, critic: Critic, seen: Seen, rng: torch.Generator) -> Terms:
        """Adversarial loss against the discriminator as it is, and the categories of fakes."""
        with self.autocast():
            fake = critic.judge(seen.fake, rng, seen.known)
            real = fake
            if needs_real_logits(self.loss):
                with torch.no_grad():
                    real = critic.judge(seen.real, rng, seen.known)
        loss = generator_loss(self.loss, real.logits.float(), fake.logits.float()).mean()
        figures = {"generator_loss": loss.detach()}
        if (guessing := _guessing(fake, seen.categories)) is not None:
            loss = loss + guessing.mean()
        return loss, figures

    def turns(self, critic: Critic, places: range) -> list[bool]:
        """Which samples are penalised in this step.

        They take turns, and count `penalty_interval`-fold: in expectation that is the penalty on
        all. Where samples cannot be judged apart, it is the turn of all or of none.
        """
        if self.gamma <= 0:
            return [False] * len(places)
        if critic.mixes:
            return [self.step_index % self.penalty_interval == 0] * len(places)
        return [(place + self.step_index) % self.penalty_interval == 0 for place in places]

    def _sums(
        self, critic: Critic, seen: Seen, rng: torch.Generator, *, exactly: bool
    ) -> dict[str, Tensor]:
        """Over samples; with penalties, in fp32, or without."""
        penalties: dict[str, Tensor] = {}
        if exactly:
            real, fake, penalties = _judged_with_penalties(critic, seen, rng)
        else:
            with self.autocast():
                real = critic.wrapped(seen.real, rng, seen.known)
                fake = critic.wrapped(seen.fake, rng, seen.known)
        pair = real.logits.float(), fake.logits.float()
        sums = penalties | {
            "discriminator_loss": discriminator_loss(self.loss, *pair).sum(),
            "real_logit": per_clip(pair[0].detach()).sum(),
            "fake_logit": per_clip(pair[1].detach()).sum(),
        }
        if (guessing := _guessing(fake, seen.categories)) is not None:
            sums["category_loss"] = guessing.sum()
        return sums


def _judged_with_penalties(
    critic: Critic, seen: Seen, rng: torch.Generator
) -> tuple[Judgement, Judgement, dict[str, Tensor]]:
    """Both judgements, and sums of R1 and R2."""
    clips, known = [seen.real.detach(), seen.fake.detach()], seen.known
    if not critic.mixes:
        clips = [torch.cat(clips)]
        known = Conditions(*(None if one is None else torch.cat([one, one]) for one in known))
    judged = [critic.wrapped(one.requires_grad_(), rng, known) for one in clips]
    penalties = torch.cat(
        [gradient_penalty(one, what.logits) for one, what in zip(clips, judged, strict=True)]
    )
    r1, r2 = penalties.chunk(2)
    if critic.mixes:
        real, fake = judged
    else:
        (both,) = judged
        guessed = (None, None) if both.categories is None else both.categories.chunk(2)
        real, fake = (Judgement(*one) for one in zip(both.logits.chunk(2), guessed, strict=True))
    return real, fake, {"r1": r1.sum(), "r2": r2.sum()}


def _guessing(fake: Judgement, categories: Int[Tensor, " n"] | None) -> Tensor | None:
    """How badly each fake's category is guessed; None where nobody guesses, or there is none."""
    if fake.categories is None or categories is None:
        return None
    return category_loss(fake.categories.float(), categories)
