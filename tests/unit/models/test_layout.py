import pytest
import torch
from torch import nn

from videogen.config.models import DcganConfig, MocoganConfig, R3ganVConfig
from videogen.models.build import build_networks
from videogen.models.latents import draw
from videogen.models.layout import follow, to_channels_last, to_contiguous

MODELS = [
    DcganConfig(base_channels=16),
    MocoganConfig(generator_channels=16, discriminator_channels=16),
    R3ganVConfig(generator_channels=(32, 16), discriminator_channels=(32, 16)),
]
BY_KIND = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)


def pictures(num=3, frames=16, size=32):
    return torch.randn(num, frames, 3, size, size, generator=torch.Generator().manual_seed(1))


def layouts_of_what_convolutions_see(network, *arguments):
    """Of each convolution with kernels, whether its input and its output have channels last."""
    seen = []

    def look(module, inputs, output):
        form = torch.channels_last if output.dim() == 4 else torch.channels_last_3d
        seen.extend(
            (x.is_contiguous(memory_format=form), x.is_contiguous())
            for x in (inputs[0], output)
            if min(x.shape[1:]) > 1  # else both layouts are the same
        )

    kinds = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d
    for module in network.modules():
        if isinstance(module, kinds) and max(module.kernel_size) > 1:
            module.register_forward_hook(look)
    with torch.no_grad():
        network(*arguments)
    assert seen
    return seen


@BY_KIND
@pytest.mark.parametrize("channels_last", [False, True])
def test_everything_between_convolutions_lies_as_the_weights_do(model, channels_last):
    networks = build_networks(model, (32, 32), 16, seed=0)
    expected = {(channels_last, not channels_last)}
    generator = networks.generator.eval()
    latents = draw(generator.latent_shapes(16), 2, torch.Generator().manual_seed(0))
    for network in (generator, *networks.discriminators.values()):
        if channels_last:
            to_channels_last(network)
    times = torch.arange(16).float().expand(2, -1)
    assert set(layouts_of_what_convolutions_see(generator, latents, times)) == expected
    for judge in networks.discriminators.values():
        clips = pictures(frames=16 if judge.view == "clip" else 1)
        assert set(layouts_of_what_convolutions_see(judge, clips)) == expected


@BY_KIND
def test_the_layout_changes_no_answer_and_no_weight(model):
    plain = build_networks(model, (32, 32), 16, seed=0)
    other = build_networks(model, (32, 32), 16, seed=0)
    for name, judge in plain.discriminators.items():
        twin = other.discriminators[name]
        to_channels_last(twin)
        for key, value in judge.state_dict().items():
            assert torch.equal(value, twin.state_dict()[key])
        clips = pictures(frames=16 if judge.view == "clip" else 1)
        torch.testing.assert_close(judge(clips).logits, twin(clips).logits, atol=1e-5, rtol=1e-4)


def test_following_converts_pictures_and_clips_both_ways():
    for conv, shape in ((nn.Conv2d(4, 4, 3), (2, 4, 5, 6)), (nn.Conv3d(4, 4, 3), (2, 4, 3, 5, 6))):
        form = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        x = torch.randn(shape)
        assert follow(x, conv).is_contiguous()
        to_channels_last(conv)
        turned = follow(x, conv)
        assert turned.is_contiguous(memory_format=form)
        assert not turned.is_contiguous()
        assert torch.equal(turned, x)
        assert follow(turned, nn.Conv2d(4, 4, 3)).is_contiguous()


def test_a_layer_without_a_weight_cannot_be_followed():
    with pytest.raises(TypeError, match="ReLU"):
        follow(torch.zeros(1, 1, 2, 2), nn.ReLU())


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1)], ids=["one channel", "one pixel"]
)
def test_strides_are_those_of_the_layout_also_where_an_axis_has_length_1(layer):
    """Else gradients do not fit the buckets of workers."""
    before = layer.weight.stride()
    to_channels_last(layer)
    canonical = torch.empty_like(layer.weight, memory_format=torch.channels_last)
    assert layer.weight.stride() == canonical.stride() != before
    to_contiguous(layer)
    assert layer.weight.stride() == before
