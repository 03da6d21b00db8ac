"""Motion: spectra over time of the differences between frames, and how those of two sets differ."""

from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from videogen.errors import EvaluationError

_LUMA: Final = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""
_MIN_FRAMES: Final = 2
_ROUNDING_POWER: Final = 1 / 6
"""Mean square of a difference of two frames that rounding to 8 bits alone makes, in levels^2."""

Spectra = Float[np.ndarray, "n f"]


def motion_spectra(clips: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, "n f"]:
    """Power over time of the frame-to-frame differences of luma, averaged over a clip's pixels.

    The t - 1 differences of each pixel are transformed over time; f = (t - 1) // 2 + 1 frequencies
    from 0 on (`motion_frequencies`), one-sided: a row's sum is the mean square of the differences,
    in squared 8-bit levels (0 to 255^2). A row depends on its clip alone.

    Raises:
        EvaluationError: clips of one frame.
    """
    if clips.shape[1] < _MIN_FRAMES:
        raise EvaluationError(
            f"clips have {clips.shape[1]} frame: motion needs at least {_MIN_FRAMES}"
        )
    return np.stack([_spectrum(clip) for clip in clips]).astype(np.float32)


def motion_frequencies(num_frames: int) -> tuple[float, ...]:
    """Of the columns of `motion_spectra` of clips of `num_frames` frames, in cycles per frame."""
    return tuple(np.fft.rfftfreq(num_frames - 1).tolist())


def motion_energy(real: Spectra, fake: Spectra) -> float | None:
    """Mean square frame difference of the fakes over the reals'; None where the reals stand still.

    1 is as much motion as the reals have; flicker and noise count as motion.
    """
    of_reals = real.sum(axis=1, dtype=np.float64).mean()
    return float(fake.sum(axis=1, dtype=np.float64).mean() / of_reals) if of_reals > 0 else None


def motion_distance_db(real: Spectra, fake: Spectra) -> float:
    """Root mean square over frequencies of the ratio of the mean spectra, in decibel; 0 is alike.

    Both spectra get the power of rounding to 8 bits, 1/6 level^2 over all frequencies, so that
    clips that stand still have a finite distance.
    """
    floor = _ROUNDING_POWER / real.shape[1]
    ratio = (mean_spectrum(fake) + floor) / (mean_spectrum(real) + floor)
    return float(np.sqrt(np.square(10 * np.log10(ratio)).mean()))


def mean_spectrum(spectra: Spectra) -> Float[np.ndarray, " f"]:
    """Mean over clips, in squared levels."""
    mean: Float[np.ndarray, " f"] = spectra.mean(axis=0, dtype=np.float64)
    return mean


def _spectrum(clip: UInt8[np.ndarray, "t h w c"]) -> Float[np.ndarray, " f"]:
    num = len(clip) - 1
    power = np.zeros(num // 2 + 1)
    for row in range(clip.shape[1]):  # a row of pixels at a time: memory stays small
        differences = np.diff(clip[:, row] @ _LUMA, axis=0)
        power += np.square(np.abs(np.fft.rfft(differences, axis=0))).sum(axis=1)
    power[1 : (num + 1) // 2] *= 2  # their mirror images
    power /= num**2 * clip.shape[1] * clip.shape[2]
    return power
