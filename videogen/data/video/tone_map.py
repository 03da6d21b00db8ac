"""HDR frames (PQ or HLG) become SDR frames as a screen of reference white would show them.

Light is taken back to the reference display (ITU-R BT.2100), compressed from 1000 to 203 cd/m²
(the peak that HDR is graded to, and its reference white by ITU-R BT.2408) with the curve of ITU-R
BT.2390 (EETF) on the largest of R, G and B, so that hues stay, brought to BT.709 primaries and
encoded for a BT.1886 display. Mastering metadata is not read.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PEAK_NITS = 1000.0
WHITE_NITS = 203.0
_GAMMA = 2.4
"""Of a BT.1886 display."""

# SMPTE ST 2084
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_NITS = 10_000.0
# ITU-R BT.2100, HLG
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_HLG_SYSTEM_GAMMA = 1.2
_HLG_KNEE = 0.5

# Linear light to BT.709 primaries, by AVColorPrimaries; both are derived from the chromaticities
# of BT.2020, SMPTE EG 432-1 (P3, D65) and BT.709. Identity for BT.709 itself.
_TO_BT709: dict[int, tuple[tuple[float, float, float], ...]] = {
    1: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    9: (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    ),
    12: (
        (1.224940, -0.224940, 0.0),
        (-0.042057, 1.042057, 0.0),
        (-0.019638, -0.078636, 1.098274),
    ),
}
_BT2020 = 9
_BT2020_LUMA = (0.2627, 0.6780, 0.0593)
_ENCODED_STEPS = 4096


def tone_map(frame: NDArray[np.uint16], transfer: str, primaries: int) -> NDArray[np.uint8]:
    """SDR of an HDR frame, both (h w c) RGB over their full range; `transfer` is `pq` or `hlg`.

    `primaries` is an AVColorPrimaries; what is neither BT.709 nor P3 counts as BT.2020.
    """
    nits = _display_light(frame, transfer)
    peak = nits.max(axis=-1, keepdims=True)
    shown = nits * (_compressed(peak) / np.maximum(peak, 1e-6) / WHITE_NITS)
    matrix = np.asarray(_TO_BT709.get(primaries, _TO_BT709[_BT2020]), dtype=np.float32)
    linear = np.clip(shown @ matrix.T, 0, 1)
    levels: NDArray[np.uint8] = np.rint(255 * linear ** (1 / _GAMMA)).astype(np.uint8)
    return levels


def pq_code(nits: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Display light in cd/m² to a PQ signal in [0, 1] (SMPTE ST 2084, inverse EOTF)."""
    power = (np.clip(nits, 0, _PQ_NITS) / _PQ_NITS) ** _M1
    code: NDArray[np.float64] = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return code


def pq_nits(code: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """A PQ signal in [0, 1] to display light in cd/m² (SMPTE ST 2084, EOTF)."""
    power = np.asarray(code, dtype=np.float64) ** (1 / _M2)
    nits: NDArray[np.float64] = _PQ_NITS * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (
        1 / _M1
    )
    return nits


def hlg_scene(code: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """An HLG signal in [0, 1] to scene light in [0, 1] (ITU-R BT.2100, inverse OETF)."""
    signal = np.asarray(code, dtype=np.float64)
    scene: NDArray[np.float64] = np.where(
        signal <= _HLG_KNEE,
        signal**2 / 3,
        (np.exp((signal - _C) / _A) + _B) / 12,
    )
    return scene


def compressed(nits: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Light of a 1000 cd/m² display on one of 203 cd/m² (ITU-R BT.2390, EETF, black at 0)."""
    top = pq_code(PEAK_NITS)
    limit = pq_code(WHITE_NITS) / top
    knee = 1.5 * limit - 0.5
    code = np.minimum(pq_code(nits) / top, 1)
    along = np.clip((code - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * along**3 - 3 * along**2 + 1) * knee
        + (along**3 - 2 * along**2 + along) * (1 - knee)
        + (-2 * along**3 + 3 * along**2) * limit
    )
    return pq_nits(np.where(code < knee, code, spline) * top)


def _display_light(frame: NDArray[np.uint16], transfer: str) -> Floats:
    """Light in cd/m² on the reference display, (h w c)."""
    light: Floats = _light_table(transfer)[frame]
    if transfer == "pq":
        return light
    luminance: Floats = light @ np.asarray(_BT2020_LUMA, dtype=np.float32)
    gain = PEAK_NITS * np.maximum(luminance, 1e-9) ** (_HLG_SYSTEM_GAMMA - 1)
    return (light * gain[..., None]).astype(np.float32)


@cache
def _light_table(transfer: str) -> Floats:
    """Light by 16-bit signal: of the display for PQ, of the scene for HLG."""
    codes = np.arange(1 << 16) / ((1 << 16) - 1)
    return (pq_nits(codes) if transfer == "pq" else hlg_scene(codes)).astype(np.float32)


def _compressed(nits: Floats) -> Floats:
    """`compressed` by interpolation between steps that are even in PQ."""
    codes, light = _compression_table()
    shown: Floats = np.interp(pq_code(nits), codes, light).astype(np.float32)
    return shown


@cache
def _compression_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    codes = np.linspace(0, 1, _ENCODED_STEPS)
    return codes, compressed(pq_nits(codes))
