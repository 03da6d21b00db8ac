import math

import pytest
import torch

from videogen.losses import (
    category_loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    needs_real_logits,
)

REAL = torch.tensor([0.3, -1.2, 4.0], dtype=torch.float64)
FAKE = torch.tensor([-0.7, 0.5, 1.0], dtype=torch.float64)


def softplus(values):
    return torch.tensor([math.log1p(math.exp(value)) for value in values], dtype=torch.float64)


def test_bce_is_the_cross_entropy_of_the_sigmoid():
    probability = torch.sigmoid
    expected = -torch.log(probability(REAL)) - torch.log(1 - probability(FAKE))
    torch.testing.assert_close(discriminator_loss("bce", REAL, FAKE), expected)
    torch.testing.assert_close(generator_loss("bce", REAL, FAKE), -torch.log(probability(FAKE)))


def test_bce_stays_finite_and_gives_the_generator_a_gradient_where_the_discriminator_is_sure():
    fake = torch.tensor([-200.0], requires_grad=True)
    loss = generator_loss("bce", torch.tensor([200.0]), fake)
    loss.sum().backward()
    assert loss.item() == pytest.approx(200.0)
    assert fake.grad.item() == pytest.approx(-1.0)


def test_mse_is_half_the_squared_distance_to_the_label():
    torch.testing.assert_close(
        discriminator_loss("mse", REAL, FAKE), 0.5 * ((REAL - 1) ** 2 + FAKE**2)
    )
    torch.testing.assert_close(generator_loss("mse", REAL, FAKE), 0.5 * (FAKE - 1) ** 2)


def test_relativistic_losses_are_softplus_of_the_difference_with_opposite_signs():
    torch.testing.assert_close(
        discriminator_loss("relativistic", REAL, FAKE), softplus((FAKE - REAL).tolist())
    )
    torch.testing.assert_close(
        generator_loss("relativistic", REAL, FAKE), softplus((REAL - FAKE).tolist())
    )


@pytest.mark.parametrize("kind", ["bce", "mse", "relativistic"])
def test_the_generator_is_paid_for_higher_fake_logits_and_the_discriminator_for_lower(kind):
    real, fake = torch.zeros(1), torch.zeros(1)
    higher, lower = fake + 0.1, fake - 0.1
    assert generator_loss(kind, real, higher) < generator_loss(kind, real, fake)
    assert discriminator_loss(kind, real + 0.1, fake) < discriminator_loss(kind, real, fake)
    if kind == "mse":
        fake, lower = fake + 0.5, lower + 0.5
    assert discriminator_loss(kind, real, lower) < discriminator_loss(kind, real, fake)


@pytest.mark.parametrize("kind", ["bce", "mse", "relativistic"])
def test_losses_are_per_clip(kind):
    whole = discriminator_loss(kind, REAL, FAKE), generator_loss(kind, REAL, FAKE)
    for index in range(3):
        part = slice(index, index + 1)
        assert discriminator_loss(kind, REAL[part], FAKE[part]).item() == whole[0][index].item()
        assert generator_loss(kind, REAL[part], FAKE[part]).item() == whole[1][index].item()


@pytest.mark.parametrize("kind", ["bce", "mse", "relativistic"])
def test_real_logits_are_asked_for_exactly_where_the_generators_loss_depends_on_them(kind):
    changes = not torch.equal(
        generator_loss(kind, REAL, FAKE), generator_loss(kind, REAL + 1, FAKE)
    )
    assert needs_real_logits(kind) is changes


def test_gradient_penalty_of_a_linear_critic_is_its_mean_squared_weight_norm_per_frame():
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 3, 4, 4, generator=rng, dtype=torch.float64)
    clips = torch.randn(2, 5, 3, 4, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(clips, (clips * weight).sum(dim=(1, 2, 3, 4)))
    expected = weight.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(penalty, expected.expand(2))


def test_gradient_penalty_of_a_quadratic_critic_is_the_clip_s_own_squared_norm_per_frame():
    rng = torch.Generator().manual_seed(1)
    clips = torch.randn(3, 2, 1, 2, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(clips, 0.5 * clips.square().sum(dim=(1, 2, 3, 4)))
    torch.testing.assert_close(penalty, clips.square().sum(dim=(2, 3, 4)).mean(dim=1))


def test_gradient_penalty_can_be_differentiated_towards_the_critic_s_weights():
    weight = torch.full((1, 1, 2, 2), 3.0, dtype=torch.float64, requires_grad=True)
    clips = torch.ones(4, 2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    gradient_penalty(clips, (clips * weight).sum(dim=(1, 2, 3, 4))).mean().backward()
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


@pytest.mark.parametrize("kind", ["bce", "mse", "relativistic"])
def test_a_clip_s_loss_is_the_mean_over_its_patches(kind):
    real, fake = torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    for loss in (discriminator_loss, generator_loss):
        patches = loss(kind, real.flatten(), fake.flatten()).view(3, 2, 4)
        torch.testing.assert_close(loss(kind, real, fake), patches.mean(dim=(1, 2)))


def test_gradient_penalty_of_patches_is_that_of_their_mean():
    clips = torch.randn(2, 1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    patches = torch.stack([clips.sum(dim=(1, 2, 3, 4)), 3 * clips.sum(dim=(1, 2, 3, 4))], dim=1)
    expected = torch.full((2,), 4 * 2.0**2, dtype=torch.float64)
    torch.testing.assert_close(gradient_penalty(clips, patches), expected)


def test_category_loss_is_minus_the_log_of_the_category_s_probability():
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    expected = torch.tensor([-math.log(3 / 4), math.log(2.0)])
    torch.testing.assert_close(category_loss(logits, torch.tensor([1, 0])), expected)
