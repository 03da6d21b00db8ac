"""Real clips spoiled in known ways: what a distance is worth is seen beside theirs."""

from typing import Final, Literal

import numpy as np
from jaxtyping import UInt8

from videogen.data.loading.order import RandomKey

Yardstick = Literal["floor", "shuffled", "frozen", "blank"]
YARDSTICKS: Final[tuple[Yardstick, ...]] = ("floor", "shuffled", "frozen", "blank")

Clips = UInt8[np.ndarray, "n t h w c"]


def spoil(clips: Clips, yardstick: Yardstick, seed: int, first: int = 0) -> Clips:
    """The clips as a yardstick has them; those of clip i depend on seed, i + `first` and it alone.

    `floor` leaves them as they are, `shuffled` permutes the frames of each, `frozen` repeats its
    first frame, `blank` is its mean colour.
    """
    match yardstick:
        case "floor":
            return clips
        case "shuffled":
            orders = [_order(seed, first + index, clips.shape[1]) for index in range(len(clips))]
            return np.stack([clip[order] for clip, order in zip(clips, orders, strict=True)])
        case "frozen":
            return np.repeat(clips[:, :1], clips.shape[1], axis=1)
        case "blank":
            colours = clips.mean(axis=(1, 2, 3), keepdims=True).round().astype(np.uint8)
            return np.broadcast_to(colours, clips.shape).copy()


def _order(seed: int, index: int, num_frames: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    words = RandomKey.of("evaluation", "shuffled", seed).draw(index, num_frames)
    return np.argsort(words, kind="stable")
