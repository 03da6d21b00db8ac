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

from videogen.config.augment import AugmentConfig
from videogen.config.models import R3ganVConfig
from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.training.draws import StepDraws
from videogen.training.parallel import Parallel
from videogen.training.seeing import Augmentation, Sight
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


def sight(share, view="frame", probability=0.0, clips_seen=0):
    draws = StepDraws(0, share, torch.device("cpu"), clips_seen)
    return Sight.drawn(view, "real", 4, draws, Augmentation(AugmentConfig(), probability))


def numbered(num):
    """Clips of four frames, each of one number: 10 times the clip's, plus the frame's."""
    values = 10 * torch.arange(num)[:, None] + torch.arange(4)
    return values.float()[:, :, None, None, None].expand(-1, -1, 3, 8, 8)


def test_one_frame_of_every_clip_is_looked_at_and_each_as_often():
    seen = sight(Share(4_000)).of(numbered(4_000), 0, 4_000)
    assert seen.shape == (4_000, 1, 3, 8, 8)
    clips, frames = seen[:, 0, 0, 0, 0].div(10, rounding_mode="floor"), seen[:, 0, 0, 0, 0] % 10
    assert torch.equal(clips, torch.arange(4_000).float())
    counts = frames.long().bincount(minlength=4)
    assert (counts - 1_000).abs().max() < 5 * math.sqrt(4_000 * 0.25 * 0.75)


@pytest.mark.parametrize("probability", [0.0, 1.0])
@pytest.mark.parametrize("view", ["clip", "frame", "frames"])
def test_what_is_seen_of_a_clip_depends_on_its_place_in_the_global_batch_alone(view, probability):
    clips = numbered(7)
    whole = sight(Share(7), view, probability).of(clips, 0, 7)
    parts = []
    for share in (Share(7, 3, rank) for rank in range(3)):
        own = sight(share, view, probability)
        for start, end in ((0, 1), (1, share.size)):  # and in micro-batches
            parts.append(own.of(clips[share.start :][start:end], start, end))
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(sight(Share(7), view, 1.0, clips_seen=7).of(clips, 0, 7), whole)


def test_each_frame_is_a_sample_where_frames_are_judged_alone():
    clips = numbered(2)
    seen = sight(Share(2), "frames").of(clips, 0, 2)
    assert torch.equal(seen, clips.reshape(8, 1, 3, 8, 8))
