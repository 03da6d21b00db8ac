import math

import pytest
import torch
from tiny_networks import (
    FRAMES,
    SHAPE,
    SMALL_DCGAN,
    Apart,
    LinearCritic,
    Painting,
    config_of,
    copied,
    fakes,
    linear_step,
    reals,
    same,
    times,
)

from videogen.config.section import Cosine
from videogen.data.loading.order import Share
from videogen.models.build import Networks, build_networks
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep


class OtherWorkerFailed(Apart):
    def all_reduce(self, tensor, op="sum"):
        assert op == "max"
        return torch.ones_like(tensor)


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
    after = step.state_dict()
    assert all(same(value, after[name]) for name, value in before.items())
    assert step.update_generator(reals(), times())["skipped_updates"].item() == 1
    step.update_discriminator(reals(), times())
    assert not torch.equal(step.discriminators["clip"].weight, before["discriminators.clip.weight"])
    assert step.update_generator(reals(), times())["skipped_updates"].item() == 0


def test_no_worker_applies_a_step_that_failed_on_another():
    step = linear_step(OtherWorkerFailed())
    step.update_discriminator(reals(), times())
    figures = step.update_generator(reals(), times())
    assert torch.equal(step.discriminators["clip"].weight, LinearCritic().weight)
    assert torch.equal(step.generator.theta, Painting().theta)
    assert figures["skipped_updates"].item() == 2


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
