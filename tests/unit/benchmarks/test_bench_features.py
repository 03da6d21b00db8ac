"""The parts of `bench features` that need neither weights nor Ray."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from videogen.benchmarks.features_runs import shapes
from videogen.benchmarks.i3d_plain import plain_i3d, plain_logits
from videogen.data.video.synthetic import sample_clip
from videogen.evaluation.extractors.i3d import I3D, fold, ready


def _random_weights() -> dict[str, NDArray[np.generic]]:
    """Of I3D, such that what comes in still counts at the end."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[np.generic]] = {}
    for name, conv in I3D().units():
        out, into, *cube = (*conv.weight.shape, 1)[:5]
        size = (*cube, into, out)
        deviation = np.sqrt(2 / np.prod(size[:4]))
        weights[f"params/{name}/Conv_0/kernel"] = rng.normal(0, deviation, size).astype("f4")
        weights[f"params/{name}/BatchNorm_0/bias"] = rng.normal(0, 0.1, out).astype("f4")
        for key, low, high in (("mean", -0.1, 0.1), ("var", 0.5, 1.5)):
            values = rng.uniform(low, high, (1, 1, 1, 1, out)).astype("f4")
            weights[f"batch_stats/{name}/BatchNorm_0/{key}"] = values
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    weights[f"{head}/kernel"] = rng.normal(0, 0.1, (1, 1, 1, 1024, 400)).astype("f4")
    weights[f"{head}/bias"] = rng.normal(0, 0.1, 400).astype("f4")
    return weights


@pytest.mark.parametrize("num_frames", [9, 12])
def test_the_extractor_gives_the_logits_of_the_plain_port(num_frames: int) -> None:
    weights, network = _random_weights(), I3D()
    fold(network, weights)
    clips = shapes(2, num_frames)
    plain = plain_logits(plain_i3d(weights), clips, batch_size=1)
    ours = ready(network, "fp32", "cpu")(clips)
    assert np.abs(plain[0] - plain[1]).max() > 1e-2
    np.testing.assert_allclose(ours, plain, atol=1e-4 * np.abs(plain).max())


def test_the_plain_port_is_plain() -> None:
    network = plain_i3d(_random_weights())
    kinds = [type(layer) for layer in network.modules()]
    assert kinds.count(torch.nn.BatchNorm3d) == 57
    assert kinds.count(torch.nn.Conv3d) == 58
    assert not network.training


def test_clips_go_on_where_those_before_ended() -> None:
    np.testing.assert_array_equal(shapes(3, 4)[2:], shapes(1, 4, first=2))
    np.testing.assert_array_equal(shapes(1, 4, first=5)[0], sample_clip(5, 4, 64))
