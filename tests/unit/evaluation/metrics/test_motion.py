import numpy as np
import pytest
from numpy.testing import assert_allclose

from videogen.errors import EvaluationError
from videogen.evaluation.metrics.motion import (
    motion_distance_db,
    motion_energy,
    motion_frequencies,
    motion_spectra,
)

FRAMES = 17  # 16 differences


def grey(values):
    """Clips of 4 x 6 pixels of one brightness, from n x t levels."""
    levels = np.asarray(values, np.uint8)[:, :, None, None, None]
    return np.broadcast_to(levels, (*levels.shape[:2], 4, 6, 3))


@pytest.mark.parametrize("frames", [2, 16, 17])
def test_a_spectrum_sums_to_the_mean_square_of_the_differences_of_luma(frames):
    clips = np.random.default_rng(0).integers(0, 256, (3, frames, 4, 6, 3), dtype=np.uint8)
    luma = clips @ np.array([0.299, 0.587, 0.114])
    expected = np.square(np.diff(luma, axis=1)).mean(axis=(1, 2, 3))
    found = motion_spectra(clips)
    assert found.dtype == np.float32
    assert found.shape == (3, len(motion_frequencies(frames)))
    assert_allclose(found.sum(axis=1), expected, rtol=1e-5)


def test_the_power_of_a_flicker_lies_at_its_frequency():
    for period, frequency in ((2, 0.5), (4, 0.25)):
        high = (np.arange(FRAMES) % period) < period / 2
        (spectrum,) = motion_spectra(grey([np.where(high, 200, 100)]))
        frequencies = np.array(motion_frequencies(FRAMES))
        assert spectrum[frequencies == frequency] > 0.99 * spectrum.sum()


def test_a_steady_brightening_is_power_at_frequency_zero():
    (spectrum,) = motion_spectra(grey([np.arange(FRAMES) * 3]))
    assert spectrum[0] == pytest.approx(9)
    assert_allclose(spectrum[1:], 0, atol=1e-6)


def test_clips_that_stand_still_have_no_power():
    assert (motion_spectra(grey([[40] * FRAMES, [255] * FRAMES])) == 0).all()


def test_a_clips_spectrum_does_not_depend_on_the_clips_beside_it():
    clips = np.random.default_rng(1).integers(0, 256, (5, FRAMES, 8, 8, 3), dtype=np.uint8)
    together = motion_spectra(clips)
    apart = np.concatenate([motion_spectra(clips[i : i + 1]) for i in range(5)])
    assert together.tobytes() == apart.tobytes()


def test_energy_is_the_ratio_of_mean_squares_and_has_none_where_reals_stand_still():
    slow, fast = (motion_spectra(grey([np.arange(FRAMES) * step] * 3)) for step in (2, 6))
    assert motion_energy(slow, fast) == pytest.approx(9)
    assert motion_energy(motion_spectra(grey([[7] * FRAMES])), fast) is None


def test_distance_is_zero_for_equal_spectra_and_ten_decibels_for_tenfold_power():
    rng = np.random.default_rng(2)
    real = 1e4 * (1 + rng.random((20, 8)))
    assert motion_distance_db(real, real) == 0
    assert motion_distance_db(real, 10 * real) == pytest.approx(10, rel=1e-3)
    assert motion_distance_db(real, real / 10) == pytest.approx(10, rel=1e-3)
    assert np.isfinite(motion_distance_db(real, np.zeros_like(real)))


def test_clips_of_one_frame_are_refused():
    with pytest.raises(EvaluationError, match="at least 2"):
        motion_spectra(np.zeros((1, 1, 4, 4, 3), np.uint8))
