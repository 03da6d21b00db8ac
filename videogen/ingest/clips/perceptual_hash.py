"""What a clip looks like in 64 bits, and which clips look alike by them.

The hash is of the kind in Coskun, Sankur, Memon, "Spatio-temporal transform based video hashing"
(IEEE Transactions on Multimedia 8(6), 2006): signs of low frequencies of a 3-D DCT. Re-encoding and
resizing hardly change those; another picture, or another motion in the same place, does.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Thumbnails = NDArray[np.float32]
Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

THUMBNAIL_SIZE = 16
"""Height and width of the pictures that are hashed."""
BITS = 64
NO_HASH = 0
"""Of a clip without any structure, or of a row from before there were hashes: like no other."""

_WEIGHTS = np.array([5, 4, 1], dtype=np.float32)
"""In tenths: products and sums of whole numbers are the same on any processor."""
_STILL_BITS = 32
_MOVING_BITS = 16
_FREQUENCIES = 8
_DEAD_ZONE = 0.05
"""In levels, above the noise that re-encoding leaves in a coefficient: what is still stays 0."""
_CHUNK = 1 << 22
_MAX_BANDS = 8


def thumbnail(colours: NDArray[np.uint8]) -> Thumbnails:
    """What is hashed of a picture of (16 16 3) RGB: (16 16), 0 to 255.

    Not luma, in which strong colours may be alike: a green shape on grey would not be there.
    """
    tenths = colours.astype(np.float32) @ _WEIGHTS
    levels: Thumbnails = tenths / np.float32(10)
    return levels


def clip_hash(thumbnails: Thumbnails) -> int:
    """The hash of a clip from its frames' `thumbnail`s, (t, 16, 16).

    32 bits tell what is seen on average, 2 x 16 how that changes over the clip. A bit says whether
    a coefficient of the DCT exceeds 0.
    """
    num = len(thumbnails)
    in_time = _cosines(num)[:3] @ thumbnails.reshape(num, -1) / num
    across = _cosines(THUMBNAIL_SIZE)[:_FREQUENCIES] / THUMBNAIL_SIZE
    spectrum = across @ in_time.reshape(3, THUMBNAIL_SIZE, THUMBNAIL_SIZE) @ across.T
    rows, columns = _zigzag()
    still, moving = slice(1, 1 + _STILL_BITS), slice(0, _MOVING_BITS)
    values = np.concatenate(
        (
            spectrum[0, rows[still], columns[still]],
            spectrum[1, rows[moving], columns[moving]],
            spectrum[2, rows[moving], columns[moving]],
        )
    )
    return int(np.packbits(values > _DEAD_ZONE, bitorder="little").view("<u8")[0])


def close_pairs(hashes: Hashes, bits: int) -> tuple[Indices, Indices]:
    """Indices i < j of all pairs of hashes that differ in at most `bits` bits; none of `NO_HASH`.

    Hashes that differ in at most k bits agree in one of k + 1 bands (pigeonhole), so only those
    that share a band are compared. A band holds every (k + 1)th bit: still clips agree in whole
    runs of bits, and would fill a band of neighbours.
    """
    seen = np.flatnonzero(hashes != NO_HASH)
    kept = hashes[seen]
    found = [np.empty((2, 0), dtype=np.int64)]
    for mask in _bands(bits):
        found.extend(_pairs_of(kept, mask, bits))
    pairs = np.unique(np.sort(np.concatenate(found, axis=1), axis=0), axis=1)
    return seen[pairs[0]], seen[pairs[1]]


def _bands(bits: int) -> list[int]:
    """Masks of which two close hashes agree in one; none set: compare all with all."""
    if bits >= _MAX_BANDS:
        return [0]
    return [sum(1 << bit for bit in range(band, BITS, bits + 1)) for band in range(bits + 1)]


def _pairs_of(hashes: Hashes, mask: int, bits: int) -> Iterator[Indices]:
    """Pairs (2, n) that are close among those that agree under `mask`."""
    keys = hashes & np.uint64(mask)
    order = np.argsort(keys, kind="stable")
    keys, ordered = keys[order], hashes[order]
    ends = np.searchsorted(keys, keys, side="right")
    followers = ends - np.arange(len(keys)) - 1
    before = np.concatenate(([0], np.cumsum(followers)))
    start = 0
    while start < len(keys):
        stop = int(np.searchsorted(before, before[start] + _CHUNK, side="right")) - 1
        stop = min(max(stop, start + 1), len(keys))
        counts = followers[start:stop]
        first = np.repeat(np.arange(start, stop), counts)
        second = first + 1 + np.arange(len(first)) - np.repeat(before[start:stop], counts)
        second += before[start]
        close = np.bitwise_count(ordered[first] ^ ordered[second]) <= bits
        yield np.stack((order[first[close]], order[second[close]]))
        start = stop


def _cosines(num: int) -> NDArray[np.float64]:
    """Rows k of the DCT-II, cos(pi k (i + 1/2) / num), for k below 8 and i below `num`."""
    places = (np.arange(num) + 0.5) / num
    cosines: NDArray[np.float64] = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * places)
    return cosines


def _zigzag() -> tuple[Indices, Indices]:
    """Rows and columns of the coefficients, low frequencies first."""
    rows, columns = np.divmod(np.arange(_FREQUENCIES**2), _FREQUENCIES)
    order = np.lexsort((rows, np.maximum(rows, columns), rows + columns))
    return rows[order], columns[order]
