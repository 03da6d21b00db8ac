import pytest
import torch
import torch.nn.functional as F
from torch import nn

from videogen.config.models import MocoganConfig
from videogen.models.build import build_networks
from videogen.models.generator import CATEGORY, CONTENT, MOTION
from videogen.models.latents import draw
from videogen.models.layout import to_channels_last
from videogen.models.mocogan import MocoganGenerator
from videogen.models.mocogan_discriminators import (
    MocoganClipDiscriminator,
    MocoganFrameDiscriminator,
)

SMALL = MocoganConfig(generator_channels=8, discriminator_channels=8)
QUIET = SMALL.model_copy(update={"noise": 0.0})


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(num=3, frames=16, size=64, seed=0):
    return torch.randn(num, frames, 3, size, size, generator=rng(seed)) / 2


def shapes(network):
    return [tuple(one.weight.shape) for one in network.convs]


def test_at_64_px_the_networks_are_the_paper_s():
    networks = build_networks(MocoganConfig(), (64, 64), 16, seed=0)
    assert tuple(networks.generator.start.weight.shape) == (512 * 4 * 4, 50 + 6 + 10)
    assert shapes(networks.generator) == [
        (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4),
    ]  # fmt: skip
    frame, clip = networks.discriminators["frame"], networks.discriminators["clip"]
    assert shapes(frame) == [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (1, 256, 4, 4)]
    assert shapes(clip) == [
        (64, 3, 4, 4, 4), (128, 64, 4, 4, 4), (256, 128, 4, 4, 4), (512, 256, 4, 4, 4),
    ]  # fmt: skip
    assert tuple(clip.head.weight.shape) == (1 + 6, 512, 4, 4, 4)
    biases = [name for name, _ in clip.named_parameters() if name.endswith("bias")]
    assert all(name.startswith("norms") for name in biases)


def test_a_frame_is_decoded_by_transposed_convolutions_batch_norm_and_relu():
    torch.manual_seed(0)
    generator = MocoganGenerator(SMALL, 64)
    widths = [64, 32, 16, 8, 3]
    first = nn.ConvTranspose2d(66, widths[0], 4, 1, 0, bias=False)
    weight = generator.start.weight.detach().reshape(4, 4, widths[0], 66)
    first.weight.data = weight.permute(3, 2, 0, 1)
    layers = [first]
    for norm, conv, before, width in zip(
        generator.norms, generator.convs, widths[:-1], widths[1:], strict=True
    ):
        reference = nn.ConvTranspose2d(before, width, 4, 2, 1, bias=False)
        reference.weight.data = conv.weight.detach().clone()
        layers += [norm, nn.ReLU(), reference]
    latents = draw(generator.latent_shapes(5), 3, rng())
    times = torch.tensor([[0.0, 1.0, 2.5, 4.0]]).expand(3, -1)
    to_channels_last(generator)
    made = generator(latents, times)
    codes = generator._codes(latents, times).flatten(0, 1)
    expected = nn.Sequential(*layers, nn.Tanh())(codes[:, :, None, None])
    torch.testing.assert_close(made.flatten(0, 1), expected, atol=1e-5, rtol=1e-4)


def test_a_frame_s_codes_are_content_category_and_the_gru_s_state():
    generator = MocoganGenerator(SMALL, 32)
    latents = draw(generator.latent_shapes(4), 2, rng())
    times = torch.arange(4).float().expand(2, -1)
    codes = generator._codes(latents, times)
    state = latents[MOTION][:, 0]
    for frame in range(4):
        state = generator.recurrent(latents[MOTION][:, 1 + frame], state)
        content, category, motion = codes[:, frame].split([50, 6, 10], dim=1)
        assert torch.equal(content, latents[CONTENT])
        assert torch.equal(category.argmax(1), latents[CATEGORY].argmax(1))
        assert torch.equal(category.sum(1), torch.ones(2))
        torch.testing.assert_close(motion, state)


def test_between_two_frames_motion_lies_on_the_line_between_theirs():
    generator = MocoganGenerator(SMALL, 32)
    latents = draw(generator.latent_shapes(8), 2, rng())
    at = generator._codes(latents, torch.tensor([[2.0, 2.25, 3.0, 8.0]]).expand(2, -1))
    torch.testing.assert_close(at[:, 1], 0.75 * at[:, 0] + 0.25 * at[:, 2])
    assert not torch.allclose(at[:, 0, -10:], at[:, 2, -10:])


def test_categories_are_equally_likely_and_only_there_if_asked_for():
    generator = MocoganGenerator(SMALL, 32)
    drawn = draw(generator.latent_shapes(1), 6_000, rng())
    counts = torch.bincount(generator.categories(drawn), minlength=6)
    assert counts.sub(1_000).abs().max() < 120  # 4 standard deviations
    without = MocoganGenerator(SMALL.model_copy(update={"num_categories": 0}), 32)
    latents = draw(without.latent_shapes(2), 2, rng())
    assert CATEGORY not in latents
    assert without.categories(latents) is None
    assert without(latents, torch.arange(2).float().expand(2, -1)).shape == (2, 2, 3, 32, 32)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_clip_judge_is_plain_3d_convolutions_with_batch_norm_from_the_second(channels_last):
    torch.manual_seed(0)
    judge = MocoganClipDiscriminator(QUIET, 64, 16)
    x = clips().transpose(1, 2).contiguous()
    for index, weight in enumerate(conv.weight.detach().contiguous() for conv in judge.convs):
        x = F.conv3d(x, weight, stride=(1, 2, 2), padding=(0, 1, 1))
        if index:
            mean = x.mean(dim=(0, 2, 3, 4), keepdim=True)
            x = (x - mean) / (x.var(dim=(0, 2, 3, 4), keepdim=True, correction=0) + 1e-5).sqrt()
        x = torch.where(x > 0, x, 0.2 * x)
    expected = torch.einsum("bcthw,kcthw->bk", x, judge.head.weight)
    if channels_last:
        to_channels_last(judge)
    judged = judge(clips())
    torch.testing.assert_close(judged.logits, expected[:, 0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(judged.categories, expected[:, 1:], atol=1e-4, rtol=1e-3)


def test_the_frame_judge_answers_for_overlapping_patches():
    judge = MocoganFrameDiscriminator(QUIET, 64).eval()
    frame = clips(num=1, frames=1).requires_grad_()
    logits = judge(frame).logits
    assert logits.shape == (1, 4, 4)
    (gradient,) = torch.autograd.grad(logits[0, 0, 0], frame)
    reach = 1 + 3 * (1 + 2 + 4 + 8) - (1 + 2 + 4 + 8)  # four kernels of 4, less their padding
    assert (gradient.abs().amax(dim=(0, 1, 2)) > 0)[:reach, :reach].all()
    assert not gradient[..., reach:, :].any()
    assert not gradient[..., reach:].any()
    assert judge(frame).categories is None


@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("frames", [1, 2, 5, 16])
def test_every_size_and_length_has_one_logit_a_clip_and_4x4_a_frame(size, frames):
    networks = build_networks(SMALL, (size, size), frames, seed=0)
    judged = {
        name: judge.eval()(clips(2, frames if judge.view == "clip" else 1, size))
        for name, judge in networks.discriminators.items()
    }
    assert judged["frame"].logits.shape == (2, 4, 4)
    assert judged["clip"].logits.shape == (2,)
    assert judged["clip"].categories.shape == (2, 6)


def test_a_longer_clip_is_seen_to_its_last_frame():
    judge = MocoganClipDiscriminator(QUIET, 32, 40).eval()
    shown = clips(1, 40, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(judge(shown).logits.sum(), shown)
    assert (gradient.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


def test_noise_is_normal_comes_from_the_generator_and_is_only_for_training():
    for build, frames in ((MocoganFrameDiscriminator, 1), (MocoganClipDiscriminator, 16)):
        judge = build(SMALL, 64, *([frames] if frames > 1 else [])).train()
        quiet = build(QUIET, 64, *([frames] if frames > 1 else [])).train()
        quiet.load_state_dict(judge.state_dict())
        shown = clips(frames=frames)
        noise = torch.randn(shown.shape, generator=rng(4))
        by_hand = quiet(shown + 0.1 * noise).logits
        torch.testing.assert_close(judge(shown, rng(4)).logits, by_hand)
        assert torch.equal(judge(shown).logits, quiet(shown, rng(4)).logits)
        assert torch.equal(judge.eval()(shown, rng(4)).logits, judge(shown).logits)


def test_gradients_reach_every_parameter():
    networks = build_networks(SMALL, (32, 32), 16, seed=0)
    latents = draw(networks.generator.latent_shapes(16), 4, rng())
    fake = networks.generator(latents, torch.arange(16).float().expand(4, -1))
    frame, clip = networks.discriminators["frame"], networks.discriminators["clip"]
    judged = clip(fake, rng(1))
    category = networks.generator.categories(latents)
    loss = F.cross_entropy(judged.categories, category) + judged.logits.sum()
    (loss + frame(fake[:, 3:4], rng(2)).logits.square().sum()).backward()
    for network in (networks.generator, frame, clip):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_penalties_can_be_taken_of_both_judges():
    networks = build_networks(SMALL, (32, 32), 16, seed=0)
    for judge in networks.discriminators.values():
        shown = clips(2, 16 if judge.view == "clip" else 1, 32).requires_grad_()
        logits = judge(shown).logits
        (gradient,) = torch.autograd.grad(logits.sum(), shown, create_graph=True)
        gradient.square().sum().backward()
        assert judge.convs[0].weight.grad.abs().sum() > 0
