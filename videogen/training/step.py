"""One update of each network, for every model: what is drawn, made, judged, and gone down.

Everything random in a step is a function of the seed, the clips seen and the clip's place in the
global batch (`StepDraws`). Nothing here waits for the device: a gradient that is not finite makes
the fused optimisers skip the step by themselves, and figures stay where they are.

A worker computes its share at once, or in micro-batches whose gradients add up to the same: only
batch norm, and what is random within a discriminator, know of the division.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import Networks
from videogen.models.discriminator import Conditions
from videogen.models.generator import VideoGenerator
from videogen.models.layout import to_channels_last, to_contiguous
from videogen.training.compute import PLAIN, Compute
from videogen.training.draws import StepDraws
from videogen.training.ema import averaged_copy, ema_decay, follow
from videogen.training.fakes import Kitchen
from videogen.training.micro_batches import Means, MicroBatch, divided
from videogen.training.objective import Critic, Objective, Seen, Terms
from videogen.training.optimizer import GuardedAdam
from videogen.training.parallel import Parallel
from videogen.training.schedules import cosine
from videogen.training.seeing import Augmentation, Sight
from videogen.training.state import Parts

Scalar = bool | int | float | str | None
Clips = Float[Tensor, "b t c h w"]
Times = Float[Tensor, "b t"]
Labels = Int[Tensor, " b"]
Figures = dict[str, Tensor]
"""0-dim tensors: means over a worker's clips, and gradients' norms."""

_TOTALS = {"discriminator_loss", "generator_loss"}
"""Figures that are summed over discriminators; the others have their names where there are several.
"""


class Shown(NamedTuple):
    """What the discriminators are shown in an update."""

    real: Clips
    """Of the whole share."""
    fake: Clips
    """Of a micro-batch."""
    known: Conditions
    """Of the whole share."""


class TrainStep:
    """Networks, optimisers and EMA of one worker, and how they change."""

    def __init__(
        self,
        config: TrainConfig,
        networks: Networks,
        parallel: Parallel,
        share: Share,
        *,
        compute: Compute = PLAIN,
        micro_batch_clips: int | None = None,
    ) -> None:
        """Takes the networks over: moves them to the worker's device and wraps them.

        `micro_batch_clips` is how many clips of its share a worker computes at once; None: all.
        """
        self.config, self.share = config, share
        self._parallel, self._device = parallel, parallel.device
        self._divided = divided(share.size, micro_batch_clips)
        self._kitchen = Kitchen(config, networks)
        self.generator: VideoGenerator = networks.generator
        self._judges = dict(networks.discriminators)
        self.discriminators = nn.ModuleDict(self._judges)
        for network in (self.generator, self.discriminators):
            network.to(self._device).train()
        self._arrange(compute)
        self.set_progress(0)

    def set_progress(self, clips_seen: int) -> None:
        """Move every schedule, and all random numbers, to where the run is."""
        config, total = self.config, self.config.total_clips
        self._draws = StepDraws(config.seed, self.share, self._device, clips_seen)
        self._sights: dict[str, Sight] = {}
        self._augmentation = Augmentation(
            config.augment, cosine(config.augment.probability, clips_seen, total)
        )
        self._objective = Objective(
            loss=config.loss,
            gamma=cosine(config.gamma, clips_seen, total),
            penalty_interval=config.penalty_interval,
            step_index=clips_seen // config.global_batch_size,
            autocast=lambda: self.compute.autocast(self._device),
        )
        rate = cosine(config.learning_rate, clips_seen, total)
        beta2 = cosine(config.beta2, clips_seen, total)
        for adam in (self._generator_adam, self._discriminators_adam):
            adam.set(rate, beta2)

    def update_discriminator(
        self, real: Clips, times: Times, labels: Labels | None = None
    ) -> Figures:
        """One step of the discriminators against the generator as it is."""
        known = Conditions(times, labels)
        means = Means(self.share.size)
        self._discriminators_adam.forget_gradients()
        wrapped = [critic.wrapped for critic in self._critics.values()]
        for part in self._micro_batches("discriminator", known, wrapped):
            with torch.no_grad(), self._objective.autocast():
                fake = part.material.made_by(self._generator_run).float()
            loss, figures = self._loss(
                self._objective.of_discriminator, part, Shown(real, fake, known)
            )
            (loss * part.weight).backward()
            means.add(figures, part)
        norm = self._discriminators_adam.step()
        return {**means.read(), "discriminator_gradient_norm": norm}

    def update_generator(self, real: Clips, times: Times, labels: Labels | None = None) -> Figures:
        """One step of the generator against the discriminators as they are."""
        known = Conditions(times, labels)
        means, firsts = Means(self.share.size), []
        self._generator_adam.forget_gradients()
        with _frozen(self.discriminators):
            for part in self._micro_batches("generator", known, [self._generator_wrapped]):
                with self._objective.autocast():
                    fake = part.material.made_by(self._generator_wrapped).float()
                loss, figures = self._loss(
                    self._objective.of_generator, part, Shown(real, fake, known)
                )
                (loss * part.weight).backward()
                means.add(figures, part)
                firsts.append(fake[:, 0].detach())
        norm = self._generator_adam.step()
        return {
            **means.read(),
            "generator_gradient_norm": norm,
            "real_diversity": _diversity(real[:, 0]),
            "fake_diversity": _diversity(torch.cat(firsts)),
            "skipped_updates": self._generator_adam.skipped + self._discriminators_adam.skipped,
        }

    def update_ema(self, clips_seen: int) -> None:
        """Let the averaged generator follow; half of the past is forgotten in a half-life."""
        config = self.config
        share = self._parallel.weight(self.share.size, self.share.global_batch)
        self._parallel.average_statistics([self.generator, self.discriminators], share)
        half_life = cosine(config.ema_half_life_clips, clips_seen, config.total_clips)
        decay = ema_decay(half_life, clips_seen, config.global_batch_size)
        follow(self.ema, self.generator, decay)

    def state_dict(self) -> dict[str, Tensor | Scalar]:
        """Everything that decides how training goes on, beside the clips seen.

        The tensors are the step's own: copy them before the next update.
        """
        return {**self._stateful().tensors(), **self.compute.state()}

    def load_state_dict(self, state: Mapping[str, Tensor | Scalar]) -> None:
        """Go on from that state exactly, computing as it was computed where that can be.

        Raises:
            TrainingError: it is not a state of such networks and optimisers.
        """
        compute = self.compute.resumed(state)
        if compute != self.compute:
            self._arrange(compute)
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        self._stateful().load(tensors)

    def _arrange(self, compute: Compute) -> None:
        """Lay the networks out, compile and wrap them; begin average and optimisers anew."""
        self.compute = compute
        lay_out = to_channels_last if compute.channels_last else to_contiguous
        for network in (self.generator, self.discriminators):
            lay_out(network)
        if self._device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # shapes stay the same, so looking around pays
            torch.backends.cudnn.allow_tf32 = False  # its 10 bits would bend the penalties
        self._generator_run: nn.Module = self.generator
        if compute.compiled:
            self._generator_run = torch.compile(self.generator, dynamic=False)  # type: ignore[assignment] # a module for a module
        self._generator_wrapped = self._parallel.wrap(self._generator_run)
        # Wrapping gives all workers the first one's weights: the average begins with them.
        self.ema: VideoGenerator = averaged_copy(self.generator)
        self._critics = {
            name: Critic(judge, self._parallel.wrap(judge)) for name, judge in self._judges.items()
        }
        self._generator_adam, self._discriminators_adam = (
            GuardedAdam(
                network,
                self.config.beta1,
                self._parallel,
                weight_decay=self.config.weight_decay,
                max_norm=self.config.max_gradient_norm,
            )
            for network in (self.generator, self.discriminators)
        )

    def _stateful(self) -> Parts:
        return Parts(
            {"generator": self.generator, "discriminators": self.discriminators, "ema": self.ema},
            {
                "generator_adam": self._generator_adam,
                "discriminators_adam": self._discriminators_adam,
            },
        )

    def _micro_batches(
        self, update: str, known: Conditions, wrapped: Iterable[nn.Module]
    ) -> Iterator[MicroBatch]:
        """The parts of an update; gradients are averaged over workers with the last one."""
        modules = list(wrapped)
        material = self._kitchen.material(update, self._draws, known)
        for start, end in self._divided:
            weight = self._parallel.weight(end - start, self.share.global_batch)
            last = end == self.share.size
            with nullcontext() if last else self._parallel.without_averaging(modules):
                yield MicroBatch(start, end, material.part(start, end), weight)

    def _loss(
        self,
        objective: Callable[[Critic, Seen, torch.Generator], Terms],
        part: MicroBatch,
        shown: Shown,
    ) -> tuple[Tensor, Figures]:
        """The sum over discriminators, and their figures."""
        losses: list[Tensor] = []
        figures: Figures = {}
        for name, critic in self._critics.items():
            seen = self._seen(name, part, shown)
            masks = f"{objective.__name__} {name}"
            rng = self._draws.masks(masks, self.share.start + part.start)
            loss, found = objective(critic, seen, rng)
            losses.append(loss)
            prefix = f"{name}_" if len(self._critics) > 1 else ""
            for figure, value in found.items():
                key = figure if figure in _TOTALS else prefix + figure
                figures[key] = figures[key] + value if key in figures else value
        return torch.stack(losses).sum(), figures

    def _seen(self, name: str, part: MicroBatch, shown: Shown) -> Seen:
        """What a discriminator sees of some of the share's clips and their fakes."""
        sights = self._sight(name, "real"), self._sight(name, "fake")
        samples = sights[0].per_clip
        categories = part.material.categories(self.generator)
        if categories is not None:
            categories = categories.repeat_interleave(samples)
        first = (self.share.start + part.start) * samples
        real = shown.real[part.rows]
        return Seen(
            sights[0].of(real, part.start, part.end),
            sights[1].of(shown.fake, part.start, part.end),
            categories,
            range(first, first + len(real) * samples),
            sights[0].known(shown.known, part.rows),
        )

    def _sight(self, name: str, kind: str) -> Sight:
        """Drawn at its first use in a step."""
        purpose = f"{name} {kind}"
        if purpose not in self._sights:
            self._sights[purpose] = Sight.drawn(
                self._judges[name].view,
                purpose,
                self.config.num_frames,
                self._draws,
                self._augmentation,
            )
        return self._sights[purpose]


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Within it, gradients pass through the network and reach none of its weights."""
    network.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    try:
        yield
    finally:
        network.requires_grad_(True)  # noqa: FBT003 - torch's own signature


def _diversity(frames: Float[Tensor, "n c h w"]) -> Tensor:
    """Mean absolute difference of neighbouring clips' first frames; near 0 after a collapse."""
    return (frames - frames.roll(1, dims=0)).abs().mean()
