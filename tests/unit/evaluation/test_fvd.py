"""With the real weights, fetched on first use (47 MB)."""

import numpy as np
import pytest
import torch

from videogen.config.settings import Settings
from videogen.evaluation.extractors.i3d import load_network, logits
from videogen.evaluation.extractors.weights import fetch_i3d
from videogen.evaluation.pairwise import fvd

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def settings():
    return Settings.from_environment()


def test_black_against_white_videos_have_the_published_distance(settings):
    black = np.zeros((2, 30, 64, 64, 3), np.uint8)  # all 8 published ones are alike
    white = np.full_like(black, 255)
    found = fvd(black, white, settings)
    assert found.value == pytest.approx(151.39, abs=0.01)
    assert found.metric == "fvd2_30f"
    assert found.floor is None
    assert any("no floor" in note for note in found.notes)


def test_the_floor_is_the_distance_within_a_set_of_twice_the_size(settings):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (4, 9, 32, 32, 3)).astype(np.uint8)
    found = fvd(a, a[:2], settings)
    assert found.floor is not None
    assert found.floor > 0
    document = found.document()
    assert list(document) == ["metric", "value", "num_a", "num_b", "floor", "protocol"]
    assert (document["num_a"], document["num_b"]) == (4, 2)
    assert fvd(a, a, settings).value == pytest.approx(0, abs=1e-3)


def test_a_clips_logits_do_not_depend_on_its_batch_or_on_the_weights_being_loaded_again(settings):
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, 9, 48, 32, 3)).astype(np.uint8)
    network = load_network(fetch_i3d(settings))
    together = logits(network, clips, batch_size=3)
    assert together.shape == (3, 400)
    alone = np.concatenate([logits(network, clips[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-4)
