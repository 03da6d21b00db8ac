"""Each discriminator sees its own view of a clip, and has its own part in the objective."""

import math

import torch
from tiny_networks import FRAMES, SHAPE, SIZE, LinearCritic, Painting, config_of, reals, times
from torch import nn
from torch.nn import functional as F

from videogen.data.loading.order import Share
from videogen.models.build import Networks
from videogen.models.discriminator import Conditions, Judgement, VideoDiscriminator
from videogen.models.generator import CONTENT
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep


class FrameCritic(VideoDiscriminator):
    """One logit for each row of one frame."""

    view = "frame"

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-0.1, 0.4, 3 * SIZE * SIZE).view(3, SIZE, SIZE))

    def forward(self, clips, rng=None, known=None):
        assert clips.shape[1] == 1
        return Judgement((clips[:, 0] * self.weight).sum(dim=(1, 3)))


class StillPainting(Painting):
    """Every frame alike, so that it does not matter which one is looked at."""

    def forward(self, latents, times):
        clips = super().forward(latents, times)
        return clips[:, :1].expand_as(clips).expand(len(times), -1, -1, -1, -1)


def step_of(judges, generator=None, **changes):
    networks = Networks(generator or StillPainting(), judges)
    return TrainStep(config_of(loss="bce", **changes), networks, Parallel(), Share(4))


def still_reals():
    return reals()[:, :1].expand(-1, FRAMES, -1, -1, -1).contiguous()


def expected_loss(critic, frames, *, real):
    """Cross entropy of patches, as a mean over patches and clips."""
    logits = critic(frames).logits
    return F.softplus(-logits if real else logits).mean()


def test_discriminators_go_down_their_own_losses_and_the_generator_down_the_sum():
    judges = {"clip": LinearCritic(), "frame": FrameCritic()}
    step, real = step_of(judges, gamma=0.0), still_reals()
    theta = step.generator.theta.detach().clone().requires_grad_()
    fake = theta[None, :1].expand(4, FRAMES, -1, -1, -1)
    seen = {"clip": (real, fake), "frame": (real[:, :1], fake[:, :1])}
    losses = {
        name: expected_loss(judges[name], one, real=True)
        + expected_loss(judges[name], two, real=False)
        for name, (one, two) in seen.items()
    }
    weights = [judges[name].weight for name in losses]
    expected = torch.autograd.grad(sum(losses.values()), weights, retain_graph=True)
    figures = step.update_discriminator(real, times())
    for weight, gradient in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    torch.testing.assert_close(figures["discriminator_loss"], sum(losses.values()).detach())
    assert {"clip_real_logit", "frame_real_logit", "frame_fake_logit"} <= figures.keys()
    fooled = sum(expected_loss(judges[name], seen[name][1], real=True) for name in judges)
    (gradient,) = torch.autograd.grad(fooled, theta)
    step.update_generator(real, times())
    torch.testing.assert_close(step.generator.theta.grad, gradient)


def test_penalties_of_patches_are_those_of_the_mean_logit():
    step = step_of({"frame": FrameCritic()}, gamma=2.0)
    weight = step.discriminators["frame"].weight.detach() / SIZE  # the mean of SIZE rows
    figures = step.update_discriminator(still_reals(), times())
    torch.testing.assert_close(figures["r1"], weight.square().sum())
    torch.testing.assert_close(figures["r2"], weight.square().sum())


class Guesser(LinearCritic):
    """Guesses the category from the clip's mean."""

    def __init__(self):
        super().__init__()
        self.guess = nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))

    def forward(self, clips, rng=None, known=None):
        mean = clips.mean(dim=(1, 2, 3, 4))
        return Judgement(super().forward(clips).logits, mean[:, None] * self.guess)


class Labelled(StillPainting):
    """Its latents say of which category a clip is, and how bright."""

    def latent_shapes(self, num_frames):
        return {CONTENT: (1,), "category": (3,)}

    def forward(self, latents, times):
        return self.theta[None] + latents[CONTENT][:, :, None, None, None]

    def categories(self, latents):
        return latents["category"].argmax(dim=1)


def test_both_networks_go_down_the_cross_entropy_of_the_given_category():
    with_guess, without = (
        step_of({"clip": critic()}, Labelled(), gamma=0.0) for critic in (Guesser, LinearCritic)
    )
    material = with_guess._kitchen.material("discriminator", with_guess._draws, Conditions(times()))
    fake = material.made_by(with_guess.generator).detach()
    category = material.latents["category"].argmax(dim=1)
    guesser = with_guess.discriminators["clip"]
    entropy = F.cross_entropy(guesser(fake).categories, category)
    (expected,) = torch.autograd.grad(entropy, guesser.guess)
    figures = with_guess.update_discriminator(reals(), times())
    torch.testing.assert_close(guesser.guess.grad, expected)
    torch.testing.assert_close(figures["category_loss"], entropy.detach())
    without.update_discriminator(reals(), times())
    judges = [step.discriminators["clip"] for step in (with_guess, without)]
    torch.testing.assert_close(judges[0].weight.grad, judges[1].weight.grad)
    judges[1].load_state_dict({"weight": judges[0].weight.detach()})
    material = with_guess._kitchen.material("generator", with_guess._draws, Conditions(times()))
    fake = material.made_by(with_guess.generator)
    category = material.latents["category"].argmax(dim=1)
    entropy = F.cross_entropy(guesser(fake).categories, category)
    (more,) = torch.autograd.grad(entropy, with_guess.generator.theta)
    for step in (with_guess, without):
        step.update_generator(reals(), times())
    gradients = [step.generator.theta.grad for step in (with_guess, without)]
    torch.testing.assert_close(gradients[0] - gradients[1], more)
    assert more.norm() > 0


class BatchNormCritic(LinearCritic):
    """Keeps what it was shown together: the numbers of its clips, and whether they are real."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.shown = []

    def forward(self, clips, rng=None, known=None):
        self.shown.append((clips.detach()[:, 0, 0, 0, 0] > 0).tolist())
        x = (clips * self.weight).sum(dim=(2, 3, 4))[:, None, None]
        return Judgement(self.norm(x).sum(dim=(1, 2, 3)))


def test_with_batch_norm_whole_batches_of_real_or_fake_clips_are_judged():
    painting = StillPainting()
    with torch.no_grad():
        painting.theta.copy_(-painting.theta.abs() - 0.1)
    step = step_of({"clip": BatchNormCritic()}, painting, penalty_interval=2, gamma=2.0)
    critic = step.discriminators["clip"]
    penalties = []
    for clips_seen in (0, 4):
        step.set_progress(clips_seen)
        figures = step.update_discriminator(reals().abs() + 0.1, times())
        assert critic.shown == [[True] * 4, [False] * 4]
        critic.shown.clear()
        penalties.append(figures["r1"].item())
    assert penalties[0] > 0  # all clips at every other step, twofold
    assert penalties[1] == 0
    step.set_progress(0)
    weight, real = critic.weight.detach(), (reals().abs() + 0.1).requires_grad_()
    critic(real).logits.sum().backward()
    assert math.prod(SHAPE) == weight.numel()
    expected = 2 * real.grad.square().sum(dim=(2, 3, 4)).mean()
    torch.testing.assert_close(
        torch.tensor(penalties[0]), expected, rtol=0.1, atol=1e-3
    )  # the critic has made two steps since
