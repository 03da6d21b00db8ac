"""Fetches what the next samples need, before they need it.

Shards of the block that is being read, and of the next, come whole into the node's cache. A clip
whose shard is not there yet comes alone, so that the first batch does not wait for ten shards.
"""

import logging
import threading
from concurrent.futures import Future

import numpy as np

from videogen.data.loading.background import Background
from videogen.data.loading.clip_index import ClipIndex
from videogen.data.loading.order import Block, SampleOrder
from videogen.data.loading.shard_cache import ShardCache, Warn
from videogen.data.shards.tar_shard import read_clip_bytes, shard_key
from videogen.storage.base import ObjectStore

_SHARDS_AT_ONCE = 2
_CLIPS_AT_ONCE = 8
_CLIPS_BYTES = 128 << 20
_TRIES = 2
"""A shard that is lost while its block is read is fetched once more, but no cache is churned."""
_NOWHERE = Block(-1, 0)
_log = logging.getLogger(__name__)


class ClipsAhead:
    """Clips that come from the store one by one, each verified; any number of threads may ask."""

    def __init__(self, clips: ClipIndex, store: ObjectStore) -> None:
        self._clips = clips
        self._store = store
        self._threads = Background("clips ahead", _CLIPS_AT_ONCE)
        self._asked: dict[int, Future[bytes]] = {}
        self._most = max(_CLIPS_BYTES // int(clips.length.max()), _CLIPS_AT_ONCE)

    def ask(self, clip: int) -> None:
        """Begin to get a clip, unless that was begun, or as many as memory holds are coming."""
        if clip not in self._asked and len(self._asked) < self._most:
            self._asked[clip] = self._threads.submit(self.get, clip)

    def take(self, clip: int) -> bytes | None:
        """The clip that was asked for, once; None where it was not. Raises as `get` does."""
        asked = self._asked.pop(clip, None)
        return None if asked is None else asked.result()

    def forget(self, clip: int) -> None:
        """A clip that was asked for is not needed any more."""
        self._asked.pop(clip, None)

    def get(self, clip: int) -> bytes:
        """The `.frames` member of a clip.

        Raises `CorruptObjectError` where it is not what was ingested, and as the store does.
        """
        return read_clip_bytes(self._store, self._clips.document.dataset, self._clips.place(clip))

    def stop(self) -> None:
        """Forget what was asked for."""
        self._threads.stop()
        self._asked.clear()

    def join(self, timeout_s: float) -> None:
        """Wait until no request is under way."""
        self._threads.join(timeout_s)


class ShardsAhead:
    """Keeps the shards of the blocks that are read now, and next, in the cache.

    A cache that is smaller than a block would lose shards before they are read, again and again:
    none is fetched then, and clips come one by one, which is one warning.
    """

    def __init__(
        self, clips: ClipIndex, cache: ShardCache, order: SampleOrder, warn: Warn = _log.warning
    ) -> None:
        self._cache = cache
        self._order = order
        self._warn = warn
        self._sizes = clips.shard_bytes()
        dataset = clips.document.dataset
        self.keys = [shard_key(dataset, digest.tobytes().hex()) for digest in clips.shards]
        """Of each shard, in the store."""
        self._threads = Background("shards ahead", _SHARDS_AT_ONCE)
        self._lock = threading.Lock()
        self._reached = (_NOWHERE, _NOWHERE)
        self._tries: dict[int, int] = {}
        self._coming: set[int] = set()
        self._has_warned = False

    def reach(self, samples: range) -> None:
        """Fetch for these samples, and for those after them."""
        blocks = (self._order.block(samples[0]), self._order.block(samples[-1]))
        with self._lock:
            if blocks == self._reached:
                return
            self._reached = blocks
            wanted = self._wanted(*blocks)
            self._tries = dict.fromkeys(wanted, 0)
        for shard in wanted:
            self._fetch(shard)

    def missed(self, sample: int, shard: int) -> None:
        """There is no copy of a shard that a sample needs: fetch it, for those to come."""
        if self._order.block(sample) > self._reached[1]:
            self.reach(range(sample, sample + 1))
        self._fetch(shard)

    def stop(self) -> None:
        """Fetch no more, until samples are reached again."""
        self._threads.stop()
        with self._lock:
            self._reached = (_NOWHERE, _NOWHERE)
            self._coming.clear()

    def join(self, timeout_s: float) -> None:
        """Wait until no request is under way."""
        self._threads.join(timeout_s)

    def _wanted(self, first: Block, last: Block) -> list[int]:
        now = _union(self._order, first, last)
        then = _union(self._order, first, last, self._order.after(last))
        if self._bytes(then) <= self._cache.limit_bytes:
            return then
        if self._bytes(now) <= self._cache.limit_bytes:
            return now
        if self._cache.limit_bytes > 0 and not (self._has_warned or self._cache.lacks_room):
            self._has_warned = True
            self._warn(
                f"execution.cache_bytes ({self._cache.limit_bytes:,}) is less than the "
                f"{len(now)} shards between which clips are shuffled ({self._bytes(now):,}): clips "
                "are read from the store, one by one; raise it to twice that, or set it to 0"
            )
        return []

    def _bytes(self, shards: list[int]) -> int:
        return int(self._sizes[shards].sum())

    def _fetch(self, shard: int) -> None:
        with self._lock:
            if shard in self._coming or self._tries.get(shard, _TRIES) >= _TRIES:
                return
            if self._cache.has(self.keys[shard]):
                return
            self._tries[shard] += 1
            self._coming.add(shard)
        self._threads.submit(self._copy, shard, self._threads.stopping)

    def _copy(self, shard: int, stopping: threading.Event) -> None:
        """An error of the store is left to whoever reads the clip from it."""
        try:
            if shard in self._tries:
                self._cache.fetch(self.keys[shard], stopping)
        finally:
            with self._lock:
                self._coming.discard(shard)


def _union(order: SampleOrder, *blocks: Block) -> list[int]:
    """The shards of those blocks, each once, in the order of the blocks."""
    shards = np.concatenate([order.shards(block) for block in blocks])
    return list(dict.fromkeys(shards.tolist()))
