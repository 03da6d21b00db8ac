"""Networks small enough for closed forms, and steps of them."""

import math

import torch
from torch import nn

from videogen.config.models import DcganConfig, R3ganVConfig
from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import Networks, build_networks
from videogen.models.discriminator import Conditions, Judgement, VideoDiscriminator
from videogen.models.generator import CONTENT, VideoGenerator
from videogen.training.compute import PLAIN
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep

FRAMES, SIZE = 4, 2


SHAPE = (FRAMES, 3, SIZE, SIZE)


TIMES = torch.arange(FRAMES).float()


class Painting(VideoGenerator):
    """Always the same learned clip, plus a little of its latent, so that clips differ."""

    def __init__(self, latent_weight=0.0):
        super().__init__()
        self.theta = nn.Parameter(torch.linspace(-0.5, 0.5, math.prod(SHAPE)).reshape(SHAPE))
        self.latent_weight = latent_weight

    def latent_shapes(self, num_frames):
        return {CONTENT: (1,)}

    def forward(self, latents, times):
        push = self.latent_weight * latents[CONTENT][:, :, None, None, None]
        return self.theta[None] + push * self.theta.detach().cos()


class LinearCritic(VideoDiscriminator):
    view = "clip"

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.3, -0.2, math.prod(SHAPE)).reshape(SHAPE))

    def forward(self, clips, rng=None, known=None):
        return Judgement((clips * self.weight).sum(dim=(1, 2, 3, 4)))


class Apart(Parallel):
    """One of several workers, tested without the others: nothing is averaged here."""

    def wrap(self, module):
        return module

    def all_reduce(self, tensor, op="sum"):
        return tensor.detach().clone()


def config_of(**changes):
    settings = {
        "global_batch_size": 4, "total_clips": 400, "num_frames": FRAMES, "gamma": 3.0,
        "penalty_interval": 1, "learning_rate": 1e-2, **changes,
    }  # fmt: skip
    return TrainConfig(**settings)


def linear_step(parallel=None, latent_weight=0.0, **changes):
    networks = Networks(Painting(latent_weight), {"clip": LinearCritic()})
    batch = changes.get("global_batch_size", 4)
    return TrainStep(config_of(**changes), networks, parallel or Parallel(), Share(batch))


def reals(num=4, seed=0, shape=SHAPE):
    return torch.randn(num, *shape, generator=torch.Generator().manual_seed(seed))


def times(num=4, frames=FRAMES):
    return torch.arange(frames).float().expand(num, -1)


SMALL = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,))


SMALL_DCGAN = DcganConfig(base_channels=8)


def real_step(model=SMALL, parallel=None, share=None, compute=PLAIN, **changes):
    settings = {"model": model, "num_frames": 8, "penalty_interval": 2, **changes}
    if isinstance(model, DcganConfig):
        settings = {"loss": "bce", "gamma": 0.0, **settings}
    networks = build_networks(model, (32, 32), 8, seed=0)
    return TrainStep(
        config_of(**settings), networks, parallel or Parallel(), share or Share(4), compute=compute
    )


def fakes(step, purpose, share_times):
    return step._kitchen.material(purpose, step._draws, Conditions(share_times)).made_by(
        step.generator
    )


def run(step, start, end, real=None):
    real = reals(shape=(8, 3, 32, 32)) if real is None else real
    metrics = {}
    for clips_seen in range(start, end, 4):
        step.set_progress(clips_seen)
        metrics |= step.update_discriminator(real, times(len(real), 8))
        metrics |= step.update_generator(real, times(len(real), 8))
        step.update_ema(clips_seen + 4)
    return metrics


def same(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def copied(state):
    return {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
    }
