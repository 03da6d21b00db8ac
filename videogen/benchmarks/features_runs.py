"""What `videogen bench features` runs in its measuring processes; each answers how many clips.

Networks and clips are made by a process's first turn, which does not count.
"""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from videogen.benchmarks.i3d_plain import PlainI3d, plain_i3d, plain_logits
from videogen.data.video.synthetic import sample_clip
from videogen.evaluation.extractors.extractor import Precision
from videogen.evaluation.extractors.opening import open_i3d
from videogen.evaluation.extractors.weights import I3D_KINETICS, fetch, read_weights

SIZE = 64
_PAIR = 2
"""Clips at once, also of the plain port, which is fastest so."""


def eager(directory: Path, num: int, num_frames: int) -> int:
    """Logits by the plain port."""
    plain_logits(_plain(directory), shapes(num, num_frames), _PAIR)
    return num


def extractor(directory: Path, precision: Precision, num: int, num_frames: int) -> int:
    """Logits by the extractor that evaluations use."""
    open_i3d(directory, precision)(shapes(num, num_frames))
    return num


def streamed(directory: Path, num: int, num_frames: int) -> int:
    """Logits of clips that are made two at a time, as tasks do batch by batch."""
    for first in range(0, num, _PAIR):
        open_i3d(directory)(shapes(_PAIR, num_frames, first))
    return num


def logit_difference(directory: Path, num_frames: int) -> float:
    """The largest, of some clips, between the plain port and the extractor in fp32."""
    clips = np.concatenate([shapes(_PAIR, num_frames), _noise(_PAIR, num_frames)])
    plain = plain_logits(_plain(directory), clips, _PAIR)
    return float(np.abs(open_i3d(directory)(clips) - plain).max())


def shapes(num: int, num_frames: int, first: int = 0) -> UInt8[np.ndarray, "n t h w c"]:
    """Clips of moving shapes."""
    return np.stack([sample_clip(first + i, num_frames, SIZE) for i in range(num)])


def _noise(num: int, num_frames: int) -> UInt8[np.ndarray, "n t h w c"]:
    shape = (num, num_frames, SIZE, SIZE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@cache
def _plain(directory: Path) -> PlainI3d:
    return plain_i3d(read_weights(fetch(I3D_KINETICS, directory)))
