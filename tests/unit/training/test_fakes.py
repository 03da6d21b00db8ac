import pytest
import torch

from videogen.config.models import DcganConfig, MocoganConfig, R3ganVConfig
from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.models.discriminator import Conditions
from videogen.training.draws import StepDraws
from videogen.training.fakes import Kitchen

NUM = 64
STRIDE = 2
MODELS = {
    "dcgan": DcganConfig(base_channels=4),
    "mocogan": MocoganConfig(generator_channels=4, discriminator_channels=4),
    "r3gan-v": R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,)),
}


def material_of(kind):
    model = MODELS[kind]
    config = TrainConfig(model=model, num_frames=4, frame_stride=STRIDE)
    networks = build_networks(model, (32, 32), 4, seed=0)
    draws = StepDraws(0, Share(NUM), torch.device("cpu"), clips_seen=0)
    times = (torch.arange(4).float() * STRIDE).expand(NUM, -1)
    return (
        networks.generator,
        Kitchen(config, networks).material("any", draws, Conditions(times)),
        times,
    )


def test_where_motion_is_alike_at_all_times_clips_start_anywhere_in_the_first_frames():
    _, material, times = material_of("r3gan-v")
    starts = (material.times - times)[:, 0]
    torch.testing.assert_close(material.times - starts[:, None], times)
    assert starts.min() >= 0
    assert 3 < starts.max() < 4
    assert abs(starts.mean() - 2) < 4 * 4 / 12**0.5 / NUM**0.5  # standard errors


def test_an_rnn_s_clips_start_where_it_starts():
    _, material, times = material_of("mocogan")
    assert torch.equal(material.times, times)


@pytest.mark.parametrize("kind", MODELS)
def test_there_are_latents_for_every_time(kind):
    generator, material, _ = material_of(kind)
    made = material.part(0, 2).made_by(generator)
    assert made.shape == (2, 4, 3, 32, 32)
    assert made.isfinite().all()
