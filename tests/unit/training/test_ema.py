import pytest
import torch
from tiny_networks import (
    linear_step,
)

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
