import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from videogen.errors import EvaluationError
from videogen.evaluation.extractors.i3d import (
    I3D,
    _Conv,
    _Pointwise,
    _Pool,
    fold,
    ready,
    same_padding,
)
from videogen.evaluation.extractors.preprocessing import preprocess


def random_frames(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def reference_same(x, kernel, stride, value):
    """Channels-first copy with TensorFlow's padding."""
    pads = []
    for axis in (4, 3, 2):
        size, k, s = x.shape[axis], kernel[axis - 2], stride[axis - 2]
        total = max((int(np.ceil(size / s)) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (224, 7, 2, (2, 3)),
        (9, 7, 2, (3, 3)),
        (112, 3, 2, (0, 1)),
        (3, 2, 2, (0, 1)),
        (4, 2, 2, (0, 0)),
    ],
)
def test_padding_puts_the_odd_cell_at_the_far_end(size, kernel, stride, pads):
    assert same_padding(size, kernel, stride) == pads


@pytest.mark.parametrize("frames", [3, 4, 5, 8])
@pytest.mark.parametrize(
    ("time", "space"), [((1, 1), (3, 2)), ((3, 1), (3, 1)), ((3, 2), (3, 2)), ((2, 2), (2, 2))]
)
def test_pooling_is_max_pooling_with_same_padding(frames, time, space):
    x = random_frames(2, frames, 14, 14, 3)
    kernel, stride = (time[0], space[0], space[0]), (time[1], space[1], space[1])
    channels_first = rearrange(x, "b t h w c -> b c t h w")
    padded = reference_same(channels_first, kernel, stride, float("-inf"))
    expected = F.max_pool3d(padded, kernel, stride)
    torch.testing.assert_close(_Pool(time, space)(x), rearrange(expected, "b c t h w -> b t h w c"))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (7, 2)])
@pytest.mark.parametrize("frames", [5, 6])
def test_convolution_has_same_padding_and_a_relu(kernel, stride, frames):
    unit = _Conv(3, 4, kernel, stride)
    x = random_frames(2, frames, 12, 12, 3)
    padded = reference_same(
        rearrange(x, "b t h w c -> b c t h w"), (kernel,) * 3, (stride,) * 3, 0.0
    )
    expected = F.relu(F.conv3d(padded, unit.conv.weight, unit.conv.bias, stride))
    torch.testing.assert_close(unit(x), rearrange(expected, "b c t h w -> b t h w c"))


def test_pointwise_convolution_mixes_channels_only():
    unit = _Pointwise(5, 3)
    x = random_frames(2, 3, 7, 7, 5)
    mixed = x @ unit.conv.weight.flatten(1).T + unit.conv.bias
    torch.testing.assert_close(unit(x), mixed.relu())


def test_folded_batch_norm_is_batch_norm_after_the_convolution():
    torch.manual_seed(0)
    network = I3D()
    rng = np.random.default_rng(0)
    weights = {}
    for name, conv in network.units():
        out, into, *cube = conv.weight.shape if conv.weight.ndim == 5 else (*conv.weight.shape, 1)
        shape = (1, 1, 1, 1, out)
        weights[f"params/{name}/Conv_0/kernel"] = rng.normal(size=(*cube, into, out))
        weights[f"params/{name}/BatchNorm_0/bias"] = rng.normal(size=out)
        weights[f"batch_stats/{name}/BatchNorm_0/mean"] = rng.normal(size=shape)
        weights[f"batch_stats/{name}/BatchNorm_0/var"] = rng.uniform(0.1, 2, size=shape)
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    weights[f"{head}/kernel"] = rng.normal(size=(1, 1, 1, 1024, 400))
    weights[f"{head}/bias"] = rng.normal(size=400)
    fold(network, weights)
    assert len(list(network.units())) == 57  # of the published network
    unit, name = network.trunk.Conv3d_2b_1x1, "Conv3d_2b_1x1"
    x = random_frames(1, 2, 7, 7, 64).double().numpy()
    plain = x @ weights[f"params/{name}/Conv_0/kernel"][0, 0, 0]
    mean = weights[f"batch_stats/{name}/BatchNorm_0/mean"]
    deviation = np.sqrt(weights[f"batch_stats/{name}/BatchNorm_0/var"] + 1e-3)
    expected = (plain - mean) / deviation + weights[f"params/{name}/BatchNorm_0/bias"]
    found = unit(torch.from_numpy(x).float()).detach().numpy()
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=1e-4)


def test_preprocessing_scales_to_one_and_resizes_between_pixel_centres():
    clips = torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8)
    clips[:, :, :, 1] = 255
    row = preprocess(clips)[0, 0, 100, :, 0]
    assert row.shape == (224,)
    centres = (torch.arange(224) + 0.5) / 112 - 0.5  # in pixels of the small frame
    torch.testing.assert_close(row, centres.clamp(0, 1) * 2 - 1)


def test_preprocessing_larger_frames_takes_neighbours_without_antialiasing():
    stripes = torch.zeros(1, 1, 448, 448, 3, dtype=torch.uint8)
    stripes[:, :, :, ::4] = 255  # every output pixel lies between two columns
    row = preprocess(stripes)[0, 0, 0, :, 0]
    torch.testing.assert_close(row[:4], torch.tensor([0.0, -1.0, 0.0, -1.0]), atol=1e-6, rtol=0)


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def extractor(request):
    """With random weights."""
    torch.manual_seed(0)
    network = I3D()
    for parameter in network.trunk.parameters():
        parameter.data.mul_(2)  # so that what comes in still counts at the end
    return ready(network, request.param, "cpu")


def test_a_clips_logits_are_the_same_bits_whatever_its_batch(extractor):
    clips = np.random.default_rng(0).integers(0, 256, (5, 9, 8, 8, 3), dtype=np.uint8)
    together = extractor(clips)
    assert np.ptp(together, axis=0).max() > 1e-3, "clips are told apart"
    np.testing.assert_array_equal(extractor(clips[::-1])[::-1], together)
    for start in range(5):
        np.testing.assert_array_equal(extractor(clips[start : start + 3]), together[start:][:3])


def test_bf16_is_near_fp32_and_not_the_same():
    clips = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 8, 3), dtype=np.uint8)
    torch.manual_seed(0)
    network = I3D()
    exact = ready(copy.deepcopy(network), "fp32", "cpu")(clips)
    near = ready(network, "bf16", "cpu")(clips)
    assert 0 < np.abs(near - exact).max() < 0.02 * np.abs(exact).max()


def test_fewer_than_nine_frames_are_refused_with_the_number():
    with pytest.raises(EvaluationError, match="8 frames; I3D needs at least 9"):
        ready(I3D(), "fp32", "cpu")(np.zeros((2, 8, 32, 32, 3), np.uint8))
