import math

import pytest
import torch
from tiny_networks import (
    Apart,
    config_of,
    fakes,
    real_step,
    times,
)

from videogen.config.train import R3ganVConfig
from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep


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


@pytest.mark.parametrize("stride", [2, 4])
def test_windows_with_gaps_between_frames_find_motion_codes_for_all_their_times(stride):
    config = config_of(model=R3ganVConfig(), frame_stride=stride, num_frames=16)
    networks = build_networks(config.model, (32, 32), 16, seed=0)
    step = TrainStep(config, networks, Parallel(), Share(2))
    at = torch.arange(16).float().expand(2, -1) * stride
    figures = step.update_generator(torch.zeros(2, 16, 3, 32, 32), at)
    assert math.isfinite(figures["generator_loss"])
