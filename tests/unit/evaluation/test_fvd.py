"""With the real weights, fetched on first use (47 MB)."""

import numpy as np
import pytest
import torch

from videogen.config.settings import Settings
from videogen.evaluation.pairwise import PairProtocol, fvd

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
    assert list(document) == ["metric", "value", "num_a", "num_b", "floor", "interval", "protocol"]
    assert (document["num_a"], document["num_b"]) == (4, 2)
    assert fvd(a[:2], a[:2], settings).value == pytest.approx(0, abs=1e-3)


def test_a_protocol_chooses_clips_and_frames_by_its_seed_and_is_what_the_name_says(settings):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (6, 18, 32, 32, 3)).astype(np.uint8)
    b = rng.integers(0, 256, (5, 18, 32, 32, 3)).astype(np.uint8)
    events = []
    asked = PairProtocol(num_clips=3, num_frames=9, stride=2, seed=4)
    found = fvd(a, b, settings, asked, events.append)
    assert (found.metric, found.num_a, found.num_b) == ("fvd3_18f_subsample2f", 3, 3)
    order_a = np.random.default_rng(4).permutation(6)
    order_b = np.random.default_rng(4).permutation(5)
    kept = PairProtocol(num_frames=9)
    again = fvd(a[order_a[:3], :17:2], b[order_b[:3], :17:2], settings, kept)
    assert found.value == pytest.approx(again.value, rel=1e-6)
    floor = fvd(a[order_a[:3], :17:2], a[order_a[3:6], :17:2], settings, kept)
    assert found.floor == pytest.approx(floor.value, rel=1e-6)
    last = [event for event in events if event.stage == "fvd"][-1]
    assert (last.done, last.total, last.unit) == (9, 9, "clips")
    assert last.values["clips/s"] > 0


def test_what_makes_a_distance_doubtful_is_said_with_its_numbers(settings):
    clips = np.random.default_rng(0).integers(0, 256, (3, 9, 32, 32, 3)).astype(np.uint8)
    found = fvd(clips, clips[:2], settings, PairProtocol(num_clips=64))
    assert (found.num_a, found.num_b, found.metric) == (3, 2, "fvd2_9f")
    notes = "\n".join(found.notes)
    assert "no floor: A has 3 clips; two disjoint sets of 2, as of B, need 4" in notes
    assert "64 clips a side were asked for, A has 3: all were used" in notes
    assert "2 clips a side are no more than its 400 features" in notes
    assert "compare it with the floor and" in notes
    n = fvd(clips, clips[:2], settings, PairProtocol(covariance="n"))
    assert n.protocol["covariance"] == "n"
    assert n.value < found.value
