import numpy as np
import pytest
import torch
from pydantic import ValidationError

from videogen.config.models import DcganConfig, MocoganConfig, R3ganVConfig
from videogen.errors import ConfigError
from videogen.models.build import build_discriminators, build_generator, build_networks
from videogen.models.dcgan import slerp
from videogen.models.generator import CONTENT, MOTION
from videogen.models.latents import draw, draw_seeded, truncate
from videogen.models.motion import MotionEncoder
from videogen.models.sampling import generate, to_pixels

SMALL = R3ganVConfig(generator_channels=(32, 16), discriminator_channels=(32, 16))
SMALL_DCGAN = DcganConfig(base_channels=8)
SMALL_MOCOGAN = MocoganConfig(generator_channels=8, discriminator_channels=8)
MODELS = [SMALL, SMALL_DCGAN, SMALL_MOCOGAN]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=MODELS, ids=lambda model: model.kind)
def model(request):
    return request.param


def lively(model, size=32, num_frames=16):
    """A generator whose zero-initialised parts are not zero, so that nothing hides behind them."""
    generator = build_networks(model, (size, size), num_frames, seed=3).generator.eval()
    source = rng(5)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.05)
    return generator


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("num_frames", [1, 5, 16])
def test_frames_have_the_size_and_number_asked_for(model, size, num_frames):
    generator = build_generator(model, (size, size), num_frames)
    latents = draw(generator.latent_shapes(num_frames), 2, rng())
    clips = generator(latents, torch.arange(num_frames).float().expand(2, -1))
    assert clips.shape == (2, num_frames, 3, size, size)


@pytest.mark.parametrize("resolution", [(32, 64), (16, 16), (48, 48), (512, 512)])
def test_a_resolution_out_of_reach_is_refused_with_its_numbers(model, resolution):
    for build in (build_generator, build_discriminators):
        with pytest.raises(ConfigError, match=f"{resolution[0]}x{resolution[1]}"):
            build(model, resolution, 16)


def test_frames_that_do_not_fill_tubes_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"num_frames \(15\).*tube_frames \(4\)"):
        build_discriminators(SMALL, (32, 32), 15)
    with pytest.raises(ConfigError, match="0 frames"):
        build_generator(SMALL, (32, 32), 0)


def test_channels_that_the_grouped_convolutions_cannot_take_are_refused():
    with pytest.raises(ValidationError, match="multiple of 16"):
        R3ganVConfig(generator_channels=(24,))


def test_fresh_weights_depend_on_the_seed_alone(model):
    torch.manual_seed(1)
    first = build_networks(model, (32, 32), 16, seed=7)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = build_networks(model, (32, 32), 16, seed=7)
    other = build_networks(model, (32, 32), 16, seed=8)
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.generator.state_dict().items():
        assert torch.equal(value, second.generator.state_dict()[name])
    differs = [
        not torch.equal(value, others.state_dict()[name])
        for judge, others in zip(
            first.discriminators.values(), other.discriminators.values(), strict=True
        )
        for name, value in judge.state_dict().items()
    ]
    assert any(differs)


def test_a_video_depends_on_its_own_seed_alone(model):
    generator = lively(model)
    together = generate(generator, [4, 5, 6], 16)
    alone = generate(generator, [5], 16)
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(together[0], together[1])


def test_a_longer_video_extends_the_shorter_one(model):
    generator = lively(model)
    short, long = generate(generator, [9], 12)[0], generate(generator, [9], 50)[0]
    assert np.abs(long[:12].astype(int) - short.astype(int)).max() <= 1


def test_twice_the_frame_rate_keeps_every_frame_and_adds_one_between(model):
    generator = lively(model)
    slow, fast = generate(generator, [2], 8)[0], generate(generator, [2], 15, fps_ratio=0.5)[0]
    assert np.abs(fast[::2].astype(int) - slow.astype(int)).max() <= 1
    assert not np.array_equal(fast[1], fast[0])


def test_videos_move(model):
    clips = generate(lively(model), range(4), 16).astype(int)
    assert np.abs(np.diff(clips, axis=1)).max(axis=(0, 2, 3, 4)).min() > 0


def test_motion_alone_changes_what_moves_and_content_alone_what_is_seen():
    generator = lively(SMALL)
    shapes, times = generator.latent_shapes(16), torch.arange(16).float()[None]
    one, two = draw(shapes, 1, rng(1)), draw(shapes, 1, rng(2))
    with torch.no_grad():
        base = generator(one, times)
        other_motion = generator({**one, MOTION: two[MOTION]}, times)
        other_content = generator({**one, CONTENT: two[CONTENT]}, times)
    assert not torch.allclose(base, other_motion)
    assert not torch.allclose(base, other_content)


def test_truncation_to_zero_makes_all_content_the_same_and_leaves_motion_alone():
    generator = lively(SMALL)
    latents = draw_seeded(generator.latent_shapes(16), [0, 1])
    cut = truncate(latents, 0.0)
    assert torch.equal(cut[CONTENT][0], cut[CONTENT][1])
    assert torch.equal(cut[MOTION], latents[MOTION])
    assert torch.equal(truncate(latents, 0.5)[CONTENT], latents[CONTENT] * 0.5)
    full, half = (generate(generator, [3], 4, truncation=psi) for psi in (1.0, 0.5))
    assert not np.array_equal(full, half)


def test_generating_leaves_the_generators_mode_as_it_was(model):
    generator = build_generator(model, (32, 32), 16).train()
    generate(generator, [0], 2)
    assert generator.training


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ({"seeds": []}, "0 clips"),
        ({"num_frames": 0}, "0 frames"),
        ({"truncation": -1.0}, "-1"),
        ({"fps_ratio": 0.0}, "0.0"),
        ({"seeds": [-3]}, "-3"),
    ],
)
def test_a_request_out_of_range_is_refused_with_its_number(arguments, number):
    request = {"seeds": [0], "num_frames": 4, **arguments}
    with pytest.raises(ConfigError, match=number):
        generate(build_generator(SMALL, (32, 32), 16), **request)


def test_pixels_are_rounded_and_clamped():
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 1, 5).expand(1, 1, 3, 1, 5)
    assert to_pixels(values)[0, 0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_motion_is_continuous_across_its_codes_and_moves_between_them():
    encoder = MotionEncoder(8, 16, interval=4)
    codes = torch.randn(1, *encoder.code_shape(32), generator=rng(3))
    times = torch.linspace(0, 31, 3101)[None]
    with torch.no_grad():
        embedding = encoder(codes, times)
    steps = (embedding[:, 1:] - embedding[:, :-1]).norm(dim=-1)
    assert steps.max() < 0.2  # a jump at a code would be of the size of an embedding, about 4
    assert (embedding[:, 400:] - embedding[:, :-400]).norm(dim=-1).min() > 0.1


def test_motion_at_a_time_depends_on_the_codes_around_it_only():
    encoder = MotionEncoder(8, 16, interval=4)
    codes = torch.randn(1, *encoder.code_shape(64), generator=rng(3))
    changed = codes.clone()
    changed[:, 12:] += 1
    times = torch.arange(64).float()[None]
    with torch.no_grad():
        same = torch.isclose(encoder(codes, times), encoder(changed, times)).all(dim=-1)[0]
    assert same[:13].all()  # up to anchor 3, which sees codes up to 11
    assert not same[13:].any()


def test_motion_codes_suffice_for_every_time_up_to_the_length_asked_for():
    encoder = MotionEncoder(8, 16, interval=4)
    for num_frames in (1, 4, 7, 16):
        codes = torch.zeros(1, *encoder.code_shape(num_frames))
        encoder(codes, torch.tensor([[0.0, num_frames - 0.5, float(num_frames)]]))


def test_slerp_keeps_the_length_of_unit_latents_and_meets_its_ends():
    start, end = torch.nn.functional.normalize(torch.randn(2, 10, generator=rng()), dim=-1)
    for weight in (0.0, 0.25, 1.0):
        along = slerp(start, end, torch.tensor([weight]))
        torch.testing.assert_close(along.norm(), torch.tensor(1.0))
    torch.testing.assert_close(slerp(start, end, torch.tensor([0.0])), start)
    torch.testing.assert_close(slerp(start, end, torch.tensor([1.0])), end)
    right_angle = torch.eye(2)
    middle = slerp(right_angle[0], right_angle[1], torch.tensor([0.5]))
    torch.testing.assert_close(middle, torch.full((2,), 0.5**0.5))


def test_slerp_of_latents_in_one_direction_is_a_straight_line():
    start = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(slerp(start, 3 * start, torch.tensor([0.5])), 2 * start)


@pytest.mark.parametrize("model_config", MODELS, ids=lambda model: model.kind)
def test_a_discriminator_judges_each_clip_by_itself(model_config):
    networks = build_networks(model_config, (32, 32), 16, seed=0)
    for judge in networks.discriminators.values():
        frames = 16 if judge.view == "clip" else 1
        clips = torch.randn(3, frames, 3, 32, 32, generator=rng())
        judge.eval()
        with torch.no_grad():
            together = judge(clips).logits
            alone = torch.cat([judge(clips[index : index + 1]).logits for index in range(3)])
        assert together.shape[0] == 3
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_video_discriminator_sees_every_frame_and_their_order():
    judge = build_discriminators(SMALL, (32, 32), 16)["clip"]
    clips = torch.randn(1, 16, 3, 32, 32, generator=rng(), requires_grad=True)
    (gradient,) = torch.autograd.grad(judge(clips).logits.sum(), clips)
    assert (gradient.abs().amax(dim=(0, 2, 3, 4)) > 0).all()
    assert not torch.allclose(judge(clips).logits, judge(clips.flip(1)).logits)


def test_dropout_masks_come_from_the_generator_that_is_handed_in():
    judge = build_networks(SMALL_DCGAN, (32, 32), 1, seed=0).discriminators["frame"].train()
    clips = torch.randn(4, 1, 3, 32, 32, generator=rng())
    masked = judge(clips, rng=rng(1)).logits
    assert torch.equal(masked, judge(clips, rng=rng(1)).logits)
    assert not torch.equal(masked, judge(clips, rng=rng(2)).logits)
    assert torch.equal(judge(clips).logits, judge.eval()(clips, rng=rng(1)).logits)
