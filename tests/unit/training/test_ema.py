"""The averaged generator: how fast it follows, and what it never takes over."""

import pytest
import torch
from tiny_networks import SMALL_DCGAN, copied, linear_step, real_step, reals, run, times

from videogen.training.ema import ema_decay


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


def test_statistics_of_an_overflow_are_those_of_before():
    step = real_step(SMALL_DCGAN)
    run(step, 0, 8)
    before = copied(step.state_dict())
    with torch.no_grad():
        step.generator.dense.weight[0] = torch.inf  # what this makes of statistics stays with them
    step.update_discriminator(reals(shape=(8, 3, 32, 32)), times(4, 8))
    assert not step.generator.dense_norm.running_mean.isfinite().all()
    step.update_ema(12)
    for network in (step.generator, step.ema):
        assert all(buffer.isfinite().all() for buffer in network.buffers())
    name = "generator.dense_norm.running_mean"
    assert step.state_dict()[name][0] == before[name][0]
    assert not step.state_dict()[name].equal(before[name])
