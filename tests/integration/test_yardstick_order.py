"""Yardsticks of real clips by the real weights: what a distance is worth can be read off them."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from videogen.config.settings import Settings
from videogen.data.video.synthetic import sample_clip
from videogen.evaluation.clips.yardsticks import YARDSTICKS, spoil
from videogen.evaluation.extractors.opening import open_i3d
from videogen.evaluation.extractors.weights import weights_dir
from videogen.evaluation.metrics.frechet import frechet_distance

pytestmark = pytest.mark.integration

NUM = 32
"""Below, the noise of the distance is larger than what order in time is worth."""
STRIDE = 2


def test_on_moving_shapes_floor_shuffled_frozen_blank_lie_in_this_order():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        i3d = open_i3d(weights_dir(Settings.from_environment()))
        clips = np.stack([sample_clip(seed, 9 * STRIDE, 32)[::STRIDE] for seed in range(2 * NUM)])
        reference = i3d(clips[:NUM])
        distances = [
            frechet_distance(reference, i3d(spoil(clips[NUM:], yardstick, 0)))
            for yardstick in YARDSTICKS
        ]
    finally:
        torch.set_num_threads(before)
    assert all(far > 1.2 * near for near, far in pairwise(distances))
