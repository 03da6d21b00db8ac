"""Pairs of close hashes, found in bands, are those found by comparing all with all."""

import time
from itertools import combinations

import numpy as np
import pytest

from videogen.ingest.clips.perceptual_hash import NO_HASH, THUMBNAIL_SIZE, clip_hash, close_pairs


def clustered(num: int, seed: int) -> np.ndarray:
    """Hashes of which many differ in a few bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 1 << 63, size=num // 4, dtype=np.uint64).repeat(4)
    for at in range(num):
        for bit in rng.integers(0, 64, size=int(rng.integers(0, 6))):
            hashes[at] ^= np.uint64(1 << int(bit))
    return rng.permutation(hashes)


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 7, 8, 64])
def test_close_pairs_are_those_of_comparing_all_with_all(bits: int) -> None:
    hashes = clustered(160, bits)
    hashes[[3, 80]] = NO_HASH
    expected = {
        (i, j)
        for i, j in combinations(range(len(hashes)), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= bits and hashes[i] and hashes[j]
    }
    first, second = close_pairs(hashes, bits)
    assert len(first) == len(expected) > 0
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected


def test_a_hundred_thousand_hashes_are_searched_in_seconds() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(1, 1 << 63, size=200_000, dtype=np.uint64)
    hashes[:500] = hashes[-500:] ^ np.uint64(1 << 40)
    started = time.process_time()
    first, second = close_pairs(hashes, 2)
    assert (second - first == 199_500).sum() == len(first) == 500
    assert time.process_time() - started < 10


def test_a_plain_clip_has_no_hash_and_a_moving_edge_has_one() -> None:
    plain = np.full((16, THUMBNAIL_SIZE, THUMBNAIL_SIZE), 90, np.float32)
    assert clip_hash(plain) == NO_HASH
    moving = plain.copy()
    for at, frame in enumerate(moving):
        frame[:, : at + 1] = 200
    assert clip_hash(moving) not in (NO_HASH, clip_hash(moving[::-1]))


@pytest.mark.parametrize("num", [1, 2, 5, 128])
def test_clips_of_any_length_are_hashed(num: int) -> None:
    draw = np.random.default_rng(num).uniform(0, 255, (num, THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    assert 0 < clip_hash(draw.astype(np.float32)) < 1 << 64
