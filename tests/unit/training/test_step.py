import math

import pytest
import torch
from torch import nn

from videogen.config.section import Cosine
from videogen.config.train import AugmentConfig, DcganConfig, R3ganVConfig, TrainConfig
from videogen.data.loading.order import Share
from videogen.errors import TrainingError
from videogen.models.build import Networks, build_networks
from videogen.models.discriminator import Judgement, VideoDiscriminator
from videogen.models.generator import CONTENT, VideoGenerator
from videogen.training.ema import ema_decay
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

    def forward(self, clips, rng=None):
        return Judgement((clips * self.weight).sum(dim=(1, 2, 3, 4)))


class Apart(Parallel):
    """One of several workers, tested without the others: nothing is averaged here."""

    def wrap(self, module):
        return module

    def all_reduce(self, tensor, op="sum"):
        return tensor.detach().clone()


class OtherWorkerFailed(Apart):
    def all_reduce(self, tensor, op="sum"):
        assert op == "max"
        return torch.ones_like(tensor)


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


def gap(step, real):
    """Per clip, how far the fake is ahead of the real."""
    theta, weight = step.generator.theta.detach(), step.discriminators["clip"].weight.detach()
    return ((theta - real) * weight).sum(dim=(1, 2, 3, 4))


def expected_discriminator_gradient(step, real, gamma):
    """Of mean softplus(fake - real) + gamma / 2 (R1 + R2), where each R is mean_t |w_t|^2."""
    theta, weight = step.generator.theta.detach(), step.discriminators["clip"].weight.detach()
    slope = torch.sigmoid(gap(step, real))[:, None, None, None, None]
    adversarial = (slope * (theta - real)).mean(dim=0)
    return adversarial + gamma / 2 * 2 * (2 * weight / FRAMES)


def test_the_discriminator_goes_down_its_loss_and_both_penalties():
    step, real = linear_step(), reals()
    expected = expected_discriminator_gradient(step, real, gamma=3.0)
    metrics = step.update_discriminator(real, times())
    torch.testing.assert_close(step.discriminators["clip"].weight.grad, expected)
    norm = torch.linspace(0.3, -0.2, math.prod(SHAPE)).square().sum() / FRAMES
    torch.testing.assert_close(metrics["r1"], norm)
    torch.testing.assert_close(metrics["r2"], norm)


def test_without_gamma_there_is_no_penalty():
    step, real = linear_step(gamma=0.0), reals()
    expected = expected_discriminator_gradient(step, real, gamma=0.0)
    metrics = step.update_discriminator(real, times())
    torch.testing.assert_close(step.discriminators["clip"].weight.grad, expected)
    assert "r1" not in metrics


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_penalties_stand_beside_every_loss(loss):
    with_penalty, without = linear_step(loss=loss), linear_step(loss=loss, gamma=0.0)
    weight = with_penalty.discriminators["clip"].weight.detach().clone()
    for step in (with_penalty, without):
        step.update_discriminator(reals(), times())
    difference = (
        with_penalty.discriminators["clip"].weight.grad - without.discriminators["clip"].weight.grad
    )
    torch.testing.assert_close(difference, 3.0 * 2 * weight / FRAMES)


def test_clips_take_turns_in_being_penalised_and_count_as_often_as_they_wait():
    step = linear_step(penalty_interval=4)
    real = reals()
    expected = expected_discriminator_gradient(step, real, gamma=3.0)
    turns = []
    for clips_seen in (0, 4, 8, 12):
        step.set_progress(clips_seen)
        turns.append(step._objective.turns(step._critics["clip"], range(4)))
    assert [sum(of_clip) for of_clip in zip(*turns, strict=True)] == [1, 1, 1, 1]
    step.set_progress(0)
    step.update_discriminator(real, times())  # a linear critic is penalised alike by every clip
    torch.testing.assert_close(step.discriminators["clip"].weight.grad, expected)


def test_the_generator_goes_towards_what_the_critic_likes():
    step, real = linear_step(), reals()
    slope = torch.sigmoid(-gap(step, real)).mean()
    expected = -slope * step.discriminators["clip"].weight.detach()
    step.update_generator(real, times())
    torch.testing.assert_close(step.generator.theta.grad, expected)
    moved = step.generator.theta.detach() - Painting().theta.detach()
    assert (moved * step.discriminators["clip"].weight).sum() > 0


def test_each_update_moves_its_own_network_only():
    step = linear_step()
    critic, painting = (
        module.state_dict() for module in (step.discriminators["clip"], step.generator)
    )  # fmt: skip
    critic = {name: value.clone() for name, value in critic.items()}
    painting = {name: value.clone() for name, value in painting.items()}
    step.update_generator(reals(), times())
    assert torch.equal(step.discriminators["clip"].weight, critic["weight"])
    assert step.discriminators["clip"].weight.grad is None
    moved = step.generator.theta.detach().clone()
    step.update_discriminator(reals(), times())
    assert torch.equal(step.generator.theta, moved)
    assert not torch.equal(moved, painting["theta"])
    assert not torch.equal(step.discriminators["clip"].weight, critic["weight"])


def test_adam_s_first_step_has_the_scheduled_length():
    step = linear_step(learning_rate=Cosine(start=0.03, end=0.01))
    before = step.generator.theta.detach().clone()
    step.set_progress(200)
    step.update_generator(reals(), times())
    torch.testing.assert_close(
        (step.generator.theta - before).abs(), torch.full(SHAPE, 0.02), atol=1e-5, rtol=1e-3
    )


def test_gamma_and_beta2_follow_their_schedules():
    step = linear_step(gamma=Cosine(start=3.0, end=1.0), beta2=Cosine(start=0.9, end=0.99))
    step.set_progress(400)
    expected = expected_discriminator_gradient(step, reals(), gamma=1.0)
    step.update_discriminator(reals(), times())
    torch.testing.assert_close(step.discriminators["clip"].weight.grad, expected)
    state = step.state_dict()
    torch.testing.assert_close(
        state["discriminators_adam.clip.weight.exp_avg_sq"], (1 - 0.99) * expected.square()
    )


def test_uneven_shares_count_per_clip():
    whole = linear_step(latent_weight=0.3)
    real = reals()
    parts = []
    for share in (Share(4, 3, rank) for rank in range(3)):
        start, end = share.start, share.end
        networks = Networks(Painting(0.3), {"clip": LinearCritic()})
        part = TrainStep(config_of(), networks, Apart(share.rank, 3), share)
        part.update_discriminator(real[start:end], times(end - start))
        part.discriminators["clip"].load_state_dict(LinearCritic().state_dict())
        part.update_generator(real[start:end], times(end - start))
        parts.append(part)
    whole.update_discriminator(real, times())
    whole.discriminators["clip"].load_state_dict(LinearCritic().state_dict())
    whole.update_generator(real, times())
    for name, network in (("clip.weight", "discriminators"), ("theta", "generator")):
        gradients = [getattr(part, network).get_parameter(name).grad for part in parts]
        together = getattr(whole, network).get_parameter(name).grad
        torch.testing.assert_close(sum(gradients) / 3, together)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_whose_gradient_is_not_finite_is_not_applied_and_counted(bad):
    step = linear_step()
    step.update_discriminator(reals(), times())
    before = copied(step.state_dict())
    real = reals()
    real[1, 2, 0, 1, 1] = bad
    step.update_discriminator(real, times())
    after = dict(step.state_dict())
    assert after.pop("discriminators_adam.skipped").item() == 1
    before.pop("discriminators_adam.skipped")
    assert all(same(value, after[name]) for name, value in before.items())
    step.update_discriminator(reals(), times())
    assert not torch.equal(step.discriminators["clip"].weight, before["discriminators.clip.weight"])
    assert step.update_generator(reals(), times())["skipped_steps"].item() == 1


def test_no_worker_applies_a_step_that_failed_on_another():
    step = linear_step(OtherWorkerFailed())
    step.update_discriminator(reals(), times())
    step.update_generator(reals(), times())
    assert torch.equal(step.discriminators["clip"].weight, LinearCritic().weight)
    assert torch.equal(step.generator.theta, Painting().theta)
    assert step.state_dict()["generator_adam.skipped"].item() == 1


def test_the_average_forgets_half_of_the_past_in_a_half_life():
    step = linear_step(ema_half_life_clips=40)
    start = step.ema.theta.detach().clone()
    with torch.no_grad():
        step.generator.theta += 1
    for _ in range(10):  # of 4 clips each
        step.update_ema(10_000)
    torch.testing.assert_close(step.ema.theta, start + 0.5)


def test_the_average_has_a_short_memory_early_and_none_without_a_half_life():
    assert ema_decay(1_000, clips_seen=100, batch_clips=10) == pytest.approx(0.5)
    assert ema_decay(1_000, clips_seen=10**6, batch_clips=10) == pytest.approx(0.5**0.01)
    assert ema_decay(0, clips_seen=10**6, batch_clips=10) == 0


SMALL = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,))
SMALL_DCGAN = DcganConfig(base_channels=8)


def real_step(model=SMALL, parallel=None, share=None, **changes):
    settings = {"model": model, "num_frames": 8, "penalty_interval": 2, **changes}
    if isinstance(model, DcganConfig):
        settings = {"loss": "bce", "gamma": 0.0, **settings}
    networks = build_networks(model, (32, 32), 8, seed=0)
    return TrainStep(config_of(**settings), networks, parallel or Parallel(), share or Share(4))


def same(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def copied(state):
    return {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
    }


def fakes(step, purpose, share_times):
    return step._kitchen.material(purpose, step._draws, share_times).made_by(step.generator)


def run(step, start, end, real=None):
    real = reals(shape=(8, 3, 32, 32)) if real is None else real
    metrics = {}
    for clips_seen in range(start, end, 4):
        step.set_progress(clips_seen)
        metrics |= step.update_discriminator(real, times(len(real), 8))
        metrics |= step.update_generator(real, times(len(real), 8))
        step.update_ema(clips_seen + 4)
    return metrics


@pytest.mark.parametrize("model", [SMALL, SMALL_DCGAN], ids=lambda model: model.kind)
def test_a_resumed_step_goes_on_bit_by_bit(model):
    augmented = {"augment": AugmentConfig(probability=0.5)}
    whole, half = real_step(model, **augmented), real_step(model, **augmented)
    run(whole, 0, 24)
    run(half, 0, 12)
    state = copied(half.state_dict())
    resumed = real_step(model, **augmented)
    run(resumed, 0, 4)  # whatever it was before is replaced
    resumed.load_state_dict(state)
    torch.manual_seed(99)
    run(resumed, 12, 24)
    expected = whole.state_dict()
    for name, value in resumed.state_dict().items():
        assert same(value, expected[name]), name


@pytest.mark.parametrize("model", [SMALL, SMALL_DCGAN], ids=lambda model: model.kind)
def test_a_state_from_before_the_first_step_can_be_loaded(model):
    fresh, other = real_step(model), real_step(model)
    run(other, 0, 8)
    other.load_state_dict(fresh.state_dict())
    run(fresh, 0, 8)
    run(other, 0, 8)
    expected = fresh.state_dict()
    assert all(same(value, expected[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("ema.basis"),
        lambda state: state.update({"ema.more": torch.zeros(1)}),
        lambda state: state.update({"elsewhere.more": torch.zeros(1)}),
        lambda state: state.pop("generator_adam.basis.exp_avg"),
        lambda state: state.update({"generator_adam.basis.exp_avg": torch.zeros(1)}),
        lambda state: state.update({"generator_adam.more": torch.zeros(1)}),
    ],
)
def test_a_state_of_something_else_is_refused(damage):
    step = real_step()
    run(step, 0, 4)
    state = step.state_dict()
    damage(state)
    with pytest.raises(TrainingError, match="checkpoint"):
        step.load_state_dict(state)


def test_workers_draw_the_parts_of_one_global_batch():
    whole = real_step()
    whole.set_progress(8)
    together = fakes(whole, "generator", times(4, 8))
    for share in (Share(4, 3, rank) for rank in range(3)):
        start, end = share.start, share.end
        part = real_step(parallel=Apart(0, 3), share=share)
        part.set_progress(8)
        own = fakes(part, "generator", times(end - start, 8))
        torch.testing.assert_close(own, together[start:end], atol=1e-5, rtol=1e-5)


def test_every_step_draws_anew_and_both_updates_differ():
    step = real_step()
    made = []
    for clips_seen, purpose in ((0, "generator"), (4, "generator"), (4, "discriminator")):
        step.set_progress(clips_seen)
        made.append(fakes(step, purpose, times(4, 8)))
    assert not torch.allclose(made[0], made[1])
    assert not torch.allclose(made[1], made[2])


def test_dcgan_learns_the_colour_of_its_frames():
    """By the adversarial loss alone, 150 steps make grey fakes as red as the reals."""
    colour = torch.tensor([0.8, -0.6, -0.6])
    real = colour[None, None, :, None, None] + 0.05 * reals(shape=(2, 3, 32, 32))
    networks = build_networks(SMALL_DCGAN, (32, 32), 2, seed=1)
    config = config_of(
        model=SMALL_DCGAN, loss="bce", gamma=0.0, learning_rate=1e-3, beta1=0.5, num_frames=2
    )
    step = TrainStep(config, networks, Parallel(), Share(4))

    def distance():
        fake = fakes(step, "generator", times(4, 2)).detach()
        return (fake.mean(dim=(0, 1, 3, 4)) - colour).abs().max().item()

    untrained = distance()
    for clips_seen in range(0, 600, 4):
        step.set_progress(min(clips_seen, 396))
        step.update_discriminator(real, times(4, 2))
        step.update_generator(real, times(4, 2))
        step.update_ema(clips_seen)
    assert untrained > 0.5
    assert distance() < 0.2


def test_every_worker_names_the_same_figures_whoever_s_turn_to_be_penalised_it_is():
    named = set()
    for share in (Share(4, 2, 0), Share(4, 2, 1)):
        networks = Networks(Painting(), {"clip": LinearCritic()})
        step = TrainStep(config_of(penalty_interval=4), networks, Apart(), share)
        named.add(tuple(sorted(step.update_discriminator(reals(2), times(2)))))
    assert len(named) == 1
    assert {"r1", "r2"} <= set(named.pop())


@pytest.mark.parametrize("stride", [2, 4])
def test_windows_with_gaps_between_frames_find_motion_codes_for_all_their_times(stride):
    config = config_of(model=R3ganVConfig(), frame_stride=stride, num_frames=16)
    networks = build_networks(config.model, (32, 32), 16, seed=0)
    step = TrainStep(config, networks, Parallel(), Share(2))
    at = torch.arange(16).float().expand(2, -1) * stride
    figures = step.update_generator(torch.zeros(2, 16, 3, 32, 32), at)
    assert math.isfinite(figures["generator_loss"])
