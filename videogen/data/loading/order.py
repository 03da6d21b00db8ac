"""Which clip, and which window of it, is sample i of a run: pure functions, one integer of state.

Sample i belongs to epoch i // N at position i mod N of that epoch's order, a function of (snapshot
digest, seed, epoch). Shards are shuffled, then clips within blocks that span at least
`BLOCK_SHARDS` shards: reading stays local to a few shards at a time, and neighbours in a batch
still come from many sources. Step k takes samples [kB, (k+1)B), and ranks split them.

Random numbers are raw Philox words, whose stream numpy keeps for ever (its distributions it does
not); orders are therefore the same on every machine and with every numpy.
"""

import hashlib
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_SHARDS = 10
_WORD_BITS = 64
_EPOCHS_AT_HAND = 3
"""Readers run ahead of each other over the end of an epoch, by one; the third is for luck."""


class Window(NamedTuple):
    """Frames `start`, `start + stride`, … of a clip."""

    start: int
    stride: int


class Block(NamedTuple):
    """The shards between which clips of an epoch are shuffled, counted from 0."""

    epoch: int
    number: int


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


class _Words:
    """`key.draw(counter, 1)` at any counter in a fifth of the time: every sample asks for one."""

    def __init__(self, key: RandomKey) -> None:
        self._philox = np.random.Philox(key=np.array(key.words, dtype=np.uint64))
        self._state: Any = self._philox.state
        self._lock = threading.Lock()

    def at(self, counter: int) -> int:
        """The word."""
        with self._lock:
            self._state["state"]["counter"][2] = counter
            self._philox.state = self._state
            return int(self._philox.random_raw())


def _permutation(key: RandomKey, counter: int, num: int) -> NDArray[np.intp]:
    return np.argsort(key.draw(counter, num), kind="stable")


@dataclass(frozen=True)
class _Epoch:
    clips: NDArray[np.uint32]
    """By position."""
    block_ends: NDArray[np.intp]
    """Position after the last clip of each block."""


class SampleOrder:
    """The order of the clips of one snapshot under one seed; any number of threads may ask."""

    def __init__(self, snapshot: str, seed: int, shards: NDArray[np.integer]) -> None:
        """Order clips whose shards are numbered `shards`, clip by clip.

        Clips must come in an order that the snapshot's digest decides, and so must the numbers:
        that of a shard is its place among the sorted digests of all shards that have a clip.
        Raises `ValueError` where there is no clip, or a number between is left out.
        """
        if len(shards) == 0:
            raise ValueError("an order needs at least one clip")
        clips_per_shard = np.bincount(shards)
        if not clips_per_shard.all():
            raise ValueError(f"no clip is in shard {int(np.argmin(clips_per_shard))}")
        self._shards_key = RandomKey.of("order of shards", snapshot, seed)
        self._clips_key = RandomKey.of("order of clips", snapshot, seed)
        self._window_words = _Words(RandomKey.of("window", snapshot, seed))
        self._by_shard = np.argsort(shards, kind="stable").astype(np.uint32)
        self._bounds = np.concatenate([[0], np.cumsum(clips_per_shard)])
        self._epochs: dict[int, _Epoch] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_shard)

    def epoch_order(self, epoch: int) -> NDArray[np.uint32]:
        """Each clip's index once, in the order of an epoch."""
        return self._epoch(epoch).clips

    def clip(self, sample: int) -> int:
        """The index of the clip that sample i shows."""
        epoch, position = divmod(sample, len(self))
        return int(self._epoch(epoch).clips[position])

    def window(self, sample: int, clip_frames: int, num_frames: int, stride: int) -> Window:
        """Which frames of its clip sample i shows: a start uniform over all that fit.

        Raises `ValueError` where the clip is shorter than the window.
        """
        starts = clip_frames - (num_frames - 1) * stride
        if starts < 1:
            raise ValueError(
                f"a window of {num_frames} frames at stride {stride} does not fit in {clip_frames}"
            )
        return Window((self._window_words.at(sample) * starts) >> _WORD_BITS, stride)

    def block(self, sample: int) -> Block:
        """Where sample i lies."""
        epoch, position = divmod(sample, len(self))
        ends = self._epoch(epoch).block_ends
        return Block(epoch, int(np.searchsorted(ends, position, side="right")))

    def after(self, block: Block) -> Block:
        """The block that is read next."""
        is_last = block.number == self._num_blocks - 1
        return Block(block.epoch + 1, 0) if is_last else Block(block.epoch, block.number + 1)

    def shards(self, block: Block) -> NDArray[np.intp]:
        """The numbers of a block's shards."""
        shards = _permutation(self._shards_key, block.epoch, len(self._bounds) - 1)
        start = block.number * BLOCK_SHARDS
        is_last = block.number == self._num_blocks - 1
        return shards[start:] if is_last else shards[start : start + BLOCK_SHARDS]

    @property
    def _num_blocks(self) -> int:
        """The last takes what is left over, so that each has at least `BLOCK_SHARDS` shards."""
        return max((len(self._bounds) - 1) // BLOCK_SHARDS, 1)

    def _epoch(self, number: int) -> _Epoch:
        with self._lock:
            if number not in self._epochs:
                if len(self._epochs) == _EPOCHS_AT_HAND:
                    del self._epochs[min(self._epochs)]
                self._epochs[number] = self._draw(number)
            return self._epochs[number]

    def _draw(self, epoch: int) -> _Epoch:
        keys = self._clips_key.draw(epoch, len(self))
        shards = _permutation(self._shards_key, epoch, len(self._bounds) - 1)
        blocks = []
        for of_block in np.split(shards, np.arange(1, self._num_blocks) * BLOCK_SHARDS):
            clips = np.concatenate(
                [
                    self._by_shard[self._bounds[shard] : self._bounds[shard + 1]]
                    for shard in of_block
                ]
            )
            blocks.append(clips[np.argsort(keys[clips], kind="stable")])
        return _Epoch(np.concatenate(blocks), np.cumsum([len(clips) for clips in blocks]))


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
