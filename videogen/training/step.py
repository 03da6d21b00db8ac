"""One update of each network: the whole objective, for every model.

Everything random in a step (latents, times, dropout, augmentation) is a function of the seed, the
clips seen and the clip's place in the global batch, so neither a resume nor the number of workers
changes it. Nothing here waits for the device: a gradient that is not finite makes the fused
optimisers skip the step by themselves.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from videogen.config.train import TrainConfig
from videogen.data.augment import Draws, augment
from videogen.data.loading.order import RandomKey, Share
from videogen.errors import TrainingError
from videogen.losses import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    needs_real_logits,
)
from videogen.models.build import Networks
from videogen.models.discriminator import Judgement
from videogen.models.generator import VideoGenerator
from videogen.models.latents import draw
from videogen.models.layout import to_channels_last
from videogen.training.optimizer import GuardedAdam
from videogen.training.parallel import Parallel
from videogen.training.precision import FP32, Precision
from videogen.training.schedules import cosine

Scalar = bool | int | float | str | None
Clips = Float[Tensor, "b t c h w"]
Logits = Float[Tensor, " b"]

_EMA_RAMP = 0.1
"""The EMA's half-life is at most this share of the clips seen: early samples show progress."""
_SEED_MASK = (1 << 63) - 1


class _Judged(NamedTuple):
    """What the discriminator said in its own update."""

    real: Logits
    fake: Logits
    penalties: tuple[Tensor, Tensor] | None
    """R1 and R2, each an estimate of the mean over all samples; None where there is none."""


class TrainStep:
    """Networks, optimisers and EMA of one worker, and how they change."""

    def __init__(
        self,
        config: TrainConfig,
        networks: Networks,
        parallel: Parallel,
        share: Share,
        *,
        precision: Precision = FP32,
    ) -> None:
        """Takes the networks over: moves them to the worker's device and wraps them."""
        self.config, self.share, self.precision = config, share, precision
        self._parallel = parallel
        self._weight = parallel.weight(share.end - share.start, share.global_batch)
        self._device = parallel.device
        self._judges = dict(networks.discriminators)
        views = {judge.view for judge in self._judges.values()}
        self._sample_frames = config.num_frames if "clip" in views else 1
        self.generator: VideoGenerator = networks.generator
        self.discriminators = nn.ModuleDict(self._judges)
        for network in (self.generator, self.discriminators):
            to_channels_last(network)
            network.to(self._device).train()
        self._generator_ddp = parallel.wrap(self.generator)
        self._judges_ddp = {name: parallel.wrap(one) for name, one in self._judges.items()}
        self.ema: VideoGenerator = copy.deepcopy(self.generator).eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature
        self._generator_adam = GuardedAdam(self.generator, config.beta1, parallel)
        self._discriminators_adam = GuardedAdam(self.discriminators, config.beta1, parallel)
        self._clips_seen, self._gamma, self._augment_probability = 0, 0.0, 0.0
        self.set_progress(0)

    def set_progress(self, clips_seen: int) -> None:
        """Move every schedule, and all random numbers, to where the run is."""
        config, total = self.config, self.config.total_clips
        self._clips_seen = clips_seen
        self._gamma = cosine(config.gamma, clips_seen, total)
        self._augment_probability = cosine(config.augment.probability, clips_seen, total)
        rate = cosine(config.learning_rate, clips_seen, total)
        beta2 = cosine(config.beta2, clips_seen, total)
        for adam in (self._generator_adam, self._discriminators_adam):
            adam.set(rate, beta2)

    def update_discriminator(self, real: Clips, times: Float[Tensor, "b t"]) -> dict[str, Tensor]:
        """One step of the discriminator against the generator as it is."""
        with torch.no_grad(), self.precision.autocast(self._device):
            fake = self._fake(self.generator, times, "discriminator")
        fake = fake.float()
        losses: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for name in self._judges:
            loss, figures = self._discriminator_loss(name, real, fake)
            prefix = f"{name}_" if len(self._judges) > 1 else ""
            metrics |= {f"{prefix}{figure}": value for figure, value in figures.items()}
            losses.append(loss)
        self._discriminators_adam.step(torch.stack(losses).sum() * self._weight)
        return metrics

    def _discriminator_loss(
        self, name: str, real: Clips, fake: Clips
    ) -> tuple[Tensor, dict[str, Tensor]]:
        real, fake = self._seen(name, real, "real"), self._seen(name, fake, "fake")
        judged = self._judge(name, real, fake)
        loss = discriminator_loss(self.config.loss, judged.real, judged.fake).mean()
        metrics = {
            "discriminator_loss": loss.detach(),
            "real_logit": judged.real.detach().mean(),
            "fake_logit": judged.fake.detach().mean(),
        }
        if judged.penalties is not None:
            r1, r2 = judged.penalties
            loss = loss + self._gamma / 2 * (r1 + r2)
            metrics |= {"r1": r1.detach(), "r2": r2.detach()}
        return loss, metrics

    def update_generator(self, real: Clips, times: Float[Tensor, "b t"]) -> dict[str, Tensor]:
        """One step of the generator against the discriminator as it is."""
        with self.precision.autocast(self._device):
            fake = self._fake(self._generator_ddp, times, "generator").float()
        rng = self._rng(f"generator dropout {self.share.start}")
        losses = [self._generator_loss(name, real, fake, rng) for name in self._judges]
        loss = torch.stack(losses).sum()
        self._generator_adam.step(loss * self._weight)
        return {
            "generator_loss": loss.detach(),
            "real_diversity": _diversity(real),
            "fake_diversity": _diversity(fake.detach()),
            "skipped_steps": self._generator_adam.skipped + self._discriminators_adam.skipped,
        }

    def _generator_loss(self, name: str, real: Clips, fake: Clips, rng: torch.Generator) -> Tensor:
        with self.precision.autocast(self._device):
            fake_logits = self._judge_frozen(name, self._seen(name, fake, "fake"), rng)
            real_logits = fake_logits
            if needs_real_logits(self.config.loss):
                with torch.no_grad():
                    real_logits = self._judge_frozen(name, self._seen(name, real, "real"), rng)
        return generator_loss(self.config.loss, real_logits.float(), fake_logits.float()).mean()

    @torch.no_grad()
    def update_ema(self, clips_seen: int) -> None:
        """Let the averaged generator follow; half of the past is forgotten in a half-life."""
        config = self.config
        half_life = cosine(config.ema_half_life_clips, clips_seen, config.total_clips)
        decay = ema_decay(half_life, clips_seen, config.global_batch_size)
        averaged: list[Tensor] = list(self.ema.parameters())
        current: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
        for mine, theirs in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Tensor | Scalar]:
        """Everything that decides how training goes on, beside the clips seen: tensors by name."""
        state: dict[str, Tensor | Scalar] = {}
        for part, module in self._modules().items():
            state |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        for part, adam in self._adams().items():
            state |= {f"{part}.{name}": value for name, value in adam.state_dict().items()}
        return {
            name: value.detach().clone() if isinstance(value, Tensor) else value
            for name, value in state.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Go on from that state exactly.

        Raises:
            TrainingError: it is not a state of such networks and optimisers.
        """
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        parts = [*self._modules(), *self._adams()]
        unknown = [name for name in tensors if name.split(".", 1)[0] not in parts]
        if unknown:
            raise TrainingError(f"the checkpoint holds {unknown[0]!r}, which no such step has")
        try:
            for part, module in self._modules().items():
                module.load_state_dict(_below(tensors, part), strict=True)
            for part, adam in self._adams().items():
                adam.load_state_dict(_below(tensors, part))
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise TrainingError(f"the checkpoint does not fit the networks: {reason}") from error

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator, "discriminators": self.discriminators, "ema": self.ema
        }  # fmt: skip

    def _adams(self) -> dict[str, GuardedAdam]:
        return {
            "generator_adam": self._generator_adam,
            "discriminators_adam": self._discriminators_adam,
        }  # fmt: skip

    def _rng(self, purpose: str) -> torch.Generator:
        """A CPU generator for this purpose at this place in the run."""
        key = RandomKey.of("train step", self.config.seed, purpose)
        word = int(key.draw(self._clips_seen, 1)[0])
        return torch.Generator().manual_seed(word & _SEED_MASK)

    def _fake(
        self, generator: nn.Module, times: Float[Tensor, "b t"], purpose: str
    ) -> Float[Tensor, "n f c h w"]:
        """Fresh samples: the global batch is drawn, and this worker's part of it is made."""
        frames = self._sample_frames
        per_clip = times.shape[1] // frames
        rng = self._rng(f"{purpose} latents")
        # Clips start anywhere in the first `frames` frames, so that later times are learned too.
        span = (frames - 1) * self.config.frame_stride + 1
        shapes = self.generator.latent_shapes(frames + span if frames > 1 else 1)
        latents = draw(shapes, self.share.global_batch * per_clip, rng)
        starts = torch.rand(self.share.global_batch * per_clip, 1, generator=rng) * frames
        mine = slice(self.share.start * per_clip, self.share.end * per_clip)
        local = {name: value[mine].to(self._device) for name, value in latents.items()}
        if frames == 1:
            at = torch.zeros(times.numel(), 1, device=self._device)
        else:
            at = times + starts[mine].to(self._device)
        fake: Tensor = generator(local, at)
        return fake

    def _seen(self, name: str, clips: Clips, kind: str) -> Clips:
        """The clips as a discriminator sees them: cut into its samples, augmented."""
        view = self._judges[name].view
        if view == "frames":
            clips = clips.flatten(0, 1).unsqueeze(1)
        if view == "frame":
            places = torch.rand(self.share.global_batch, generator=self._rng(f"{name} {kind}"))
            places = places[self.share.start : self.share.end] * clips.shape[1]
            index = places.long().to(clips.device)[:, None, None, None, None]
            clips = clips.take_along_dim(index, dim=1)
        if self._augment_probability <= 0:
            return clips
        per_clip = len(clips) // (self.share.end - self.share.start)
        draws = Draws.of(self.share.global_batch * per_clip, self._rng(f"augment {name} {kind}"))
        mine = draws.part(self.share.start * per_clip, self.share.end * per_clip)
        return augment(clips, self.config.augment, self._augment_probability, mine)

    def _judge(self, name: str, real: Clips, fake: Clips) -> "_Judged":
        """Logits for the discriminator's own update, and the penalties on a part of the clips.

        Clips take turns in being penalised, and count `penalty_interval`-fold: in expectation
        that is the penalty on all. Their part is computed in fp32.
        """
        rng = self._rng(f"discriminator dropout {self.share.start}")
        turn = self._penalty_turn(len(real))
        parts = [part[index] for index in (turn, ~turn) for part in (real, fake)]
        exact, rest = torch.cat(parts[:2]), torch.cat(parts[2:])
        none = real.new_zeros(())  # every worker has the same figures, whoever's turn it is
        penalties, logits = (none, none) if self._gamma > 0 else None, []
        if len(exact):
            logits.append(self._judges_ddp[name](exact.requires_grad_(), rng=rng).logits)
            both = gradient_penalty(exact, logits[0]).chunk(2)
            weight = self.config.penalty_interval / len(real)
            penalties = both[0].sum() * weight, both[1].sum() * weight
        if len(rest):
            with self.precision.autocast(self._device):
                logits.append(self._judges_ddp[name](rest, rng=rng).logits.float())
        halves = [part.chunk(2) for part in logits]
        return _Judged(
            torch.cat([half[0] for half in halves]),
            torch.cat([half[1] for half in halves]),
            penalties,
        )

    def _penalty_turn(self, num_samples: int) -> Bool[Tensor, " n"]:
        """Which of this worker's samples are penalised in this step."""
        if self._gamma <= 0:
            return torch.zeros(num_samples, dtype=torch.bool)
        step_index = self._clips_seen // self.config.global_batch_size
        first = self.share.start * num_samples // (self.share.end - self.share.start)
        places = torch.arange(first, first + num_samples)
        return (places + step_index) % self.config.penalty_interval == 0

    def _judge_frozen(self, name: str, clips: Clips, rng: torch.Generator) -> Logits:
        """Logits whose gradient reaches the clips and not the discriminator's weights."""
        judge = self._judges[name]
        weights = {weight: value.detach() for weight, value in judge.named_parameters()}
        judged: Judgement = torch.func.functional_call(judge, weights, (clips,), {"rng": rng})
        return judged.logits


def ema_decay(half_life_clips: float, clips_seen: int, batch_clips: int) -> float:
    """What the average keeps of itself in a step of `batch_clips`; 0 with no half-life."""
    half_life = min(half_life_clips, _EMA_RAMP * clips_seen)
    return 0.5 ** (batch_clips / half_life) if half_life > 0 else 0.0


def _diversity(clips: Clips) -> Tensor:
    """Mean absolute difference of neighbouring samples' first frames; near 0 after a collapse."""
    first = clips[:, 0]
    return (first - first.roll(1, dims=0)).abs().mean()


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, by their own names."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
