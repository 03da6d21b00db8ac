"""Which clip, and which window of it, is sample i of a run: pure functions, one integer of state.

Sample i belongs to epoch i // N at position i mod N of that epoch's order, a function of (snapshot
digest, seed, epoch). Shards are shuffled, then clips within blocks that span at least
`BLOCK_SHARDS` shards: reading stays local to a few shards at a time, and neighbours in a batch
still come from many sources. Step k takes samples [kB, (k+1)B), and ranks split them.

Random numbers are raw Philox words, whose stream numpy keeps for ever (its distributions it does
not); orders are therefore the same on every machine and with every numpy.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_SHARDS = 10
_WORD_BITS = 64


class Window(NamedTuple):
    """Frames `start`, `start + stride`, … of a clip."""

    start: int
    stride: int


@dataclass(frozen=True)
class RandomKey:
    """What random numbers of one purpose depend on, beside a counter."""

    words: tuple[int, int]

    @classmethod
    def of(cls, *parts: str | int) -> "RandomKey":
        """A key that differs wherever a part does."""
        digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
        return cls((int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")))

    def draw(self, counter: int, num: int) -> NDArray[np.uint64]:
        """`num` uniform 64-bit words at a counter; counters do not overlap."""
        philox = np.random.Philox(
            key=np.array(self.words, dtype=np.uint64),
            counter=np.array([0, 0, counter, 0], dtype=np.uint64),
        )
        return philox.random_raw(num)


def _permutation(key: RandomKey, counter: int, num: int) -> NDArray[np.intp]:
    return np.argsort(key.draw(counter, num), kind="stable")


class SampleOrder:
    """The order of the clips of one snapshot under one seed."""

    def __init__(self, snapshot: str, seed: int, shards: Sequence[str]) -> None:
        """Order clips whose shards' names are `shards`, clip by clip.

        Clips must come in an order that the snapshot's digest decides. Raises `ValueError` where
        there is none.
        """
        if not shards:
            raise ValueError("an order needs at least one clip")
        self._shards_key = RandomKey.of("order of shards", snapshot, seed)
        self._clips_key = RandomKey.of("order of clips", snapshot, seed)
        self._window_key = RandomKey.of("window", snapshot, seed)
        _, shard_of_clip = np.unique(np.asarray(shards), return_inverse=True)
        self._by_shard = np.argsort(shard_of_clip, kind="stable")
        self._bounds = np.searchsorted(
            shard_of_clip[self._by_shard], np.arange(int(shard_of_clip.max()) + 2)
        )
        self._epoch = -1
        self._epoch_order: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def __len__(self) -> int:
        return len(self._by_shard)

    def epoch_order(self, epoch: int) -> NDArray[np.intp]:
        """Each clip's index once, in the order of an epoch."""
        shards = _permutation(self._shards_key, epoch, len(self._bounds) - 1)
        keys = self._clips_key.draw(epoch, len(self))
        blocks = []
        num_blocks = max(len(shards) // BLOCK_SHARDS, 1)
        for block in range(num_blocks):
            end = len(shards) if block == num_blocks - 1 else (block + 1) * BLOCK_SHARDS
            of_block = shards[block * BLOCK_SHARDS : end]
            clips = np.concatenate(
                [
                    self._by_shard[self._bounds[shard] : self._bounds[shard + 1]]
                    for shard in of_block
                ]
            )
            blocks.append(clips[np.argsort(keys[clips], kind="stable")])
        return np.concatenate(blocks)

    def clip(self, sample: int) -> int:
        """The index of the clip that sample i shows."""
        epoch, position = divmod(sample, len(self))
        if epoch != self._epoch:
            self._epoch_order, self._epoch = self.epoch_order(epoch), epoch
        return int(self._epoch_order[position])

    def window(self, sample: int, clip_frames: int, num_frames: int, stride: int) -> Window:
        """Which frames of its clip sample i shows: a start uniform over all that fit.

        Raises `ValueError` where the clip is shorter than the window.
        """
        starts = clip_frames - (num_frames - 1) * stride
        if starts < 1:
            raise ValueError(
                f"a window of {num_frames} frames at stride {stride} does not fit in {clip_frames}"
            )
        word = int(self._window_key.draw(sample, 1)[0])
        return Window((word * starts) >> _WORD_BITS, stride)


@dataclass(frozen=True)
class Share:
    """Which samples [start, end) of each global batch a worker holds; sizes differ by one at most.

    The default is the only worker of a run.
    """

    global_batch: int
    world_size: int = 1
    rank: int = 0

    @property
    def start(self) -> int:
        """Place in the global batch of the first."""
        size, larger = divmod(self.global_batch, self.world_size)
        return self.rank * size + min(self.rank, larger)

    @property
    def size(self) -> int:
        """How many."""
        size, larger = divmod(self.global_batch, self.world_size)
        return size + (self.rank < larger)

    @property
    def end(self) -> int:
        """Place after the last."""
        return self.start + self.size

    def samples(self, clips_seen: int) -> range:
        """Those of the step that begins after `clips_seen`, as sample numbers of the run."""
        return range(clips_seen + self.start, clips_seen + self.end)
