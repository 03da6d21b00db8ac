"""Sample i of a run as frames: which clip it shows, where its bytes come from, what is decoded.

Only the split `train` is read. A clip's bytes are verified when they come from the store, and when
they are first read from a copy; later only the frames of the window are read, and decoded where
the caller wants them. A split that fits in memory is kept there decoded, so that a small dataset
never makes training wait.
"""

import logging
import os
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from videogen.data.loading.clip_index import ClipIndex
from videogen.data.loading.order import SampleOrder
from videogen.data.loading.prefetch import ClipsAhead, ShardsAhead
from videogen.data.loading.shard_cache import ShardCache, Warn
from videogen.data.shards.frame_codec import decode_frames, head_bytes, read_layout
from videogen.data.shards.tar_shard import check_clip
from videogen.errors import CorruptObjectError, DatasetError

Frames = NDArray[np.uint8]

MEMORY_BYTES = 256 << 20
_CHANNELS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WindowShape:
    """Which frames of a clip make an item: `num_frames` of them, every `stride`-th."""

    num_frames: int
    stride: int = 1

    @property
    def span(self) -> int:
        """Frames of the clip from the first to the last, both counted."""
        return (self.num_frames - 1) * self.stride + 1

    @property
    def times(self) -> Float[Tensor, " t"]:
        """Of the item's frames."""
        return torch.arange(self.num_frames, dtype=torch.float32) * self.stride


class Windows:
    """Sample i of a run, for any i from 0 on; any number of threads may read."""

    def __init__(
        self,
        clips: ClipIndex,
        cache: ShardCache,
        shape: WindowShape,
        *,
        seed: int,
        memory_bytes: int = MEMORY_BYTES,
        warn: Warn = _log.warning,
    ) -> None:
        """Read clips of a training split; as long as all fit in `memory_bytes`, they stay there.

        Raises `DatasetError` where there is no clip, or one that is shorter than the window.
        """
        _check(clips, shape)
        document = clips.document
        self.warn = warn
        """Takes what people should know, such as a cache that cannot be kept."""
        self._clips = clips
        self._cache = cache
        self._shape = shape
        self._order = SampleOrder(document.digest, seed, clips.shard)
        self._shards = ShardsAhead(clips, cache, self._order, warn)
        self._members = ClipsAhead(clips, cache.store)
        self._frame_shape = (document.height, document.width, _CHANNELS)
        all_bytes = int(clips.frames.sum()) * document.height * document.width * _CHANNELS
        self._fits_in_memory = all_bytes <= memory_bytes
        self._decoded: dict[int, Frames] = {}
        self._is_verified = np.zeros(len(clips), dtype=bool)

    def __len__(self) -> int:
        """Clips, which is samples in an epoch."""
        return len(self._clips)

    @property
    def shape(self) -> WindowShape:
        """Of every item."""
        return self._shape

    @property
    def item_shape(self) -> tuple[int, int, int, int]:
        """Of an item's array, (t h w c)."""
        return (self._shape.num_frames, *self._frame_shape)

    def describe(self) -> str:
        """What is read, and how, on one line."""
        clips = f"{len(self):,} clips of {self._clips.document.dataset}"
        if self._fits_in_memory:
            return f"{clips}, kept decoded in memory"
        if self._cache.limit_bytes == 0:
            return f"{clips}, read from the store one by one"
        shards, size = len(self._clips.shards), int(self._clips.shard_bytes().sum()) / 1e9
        return (
            f"{clips} in {shards:,} shards of {size:,.1f} GB, of which up to "
            f"{self._cache.limit_bytes / 1e9:,.1f} GB are kept in {self._cache.directory}"
        )

    def ask(self, samples: range) -> None:
        """Begin to fetch what those samples need."""
        if not samples or len(self._decoded) == len(self):
            return
        self._shards.reach(samples)
        clips = dict.fromkeys(self._order.clip(sample) for sample in samples)
        present = {key for key in set(map(self._key, clips)) if self._cache.has(key)}
        for clip in clips:
            if clip not in self._decoded and self._key(clip) not in present:
                self._members.ask(clip)

    def read(self, sample: int, into: Frames | None = None) -> Frames:
        """The frames of sample i, uint8 (t h w c), in `into` where that is given.

        Raises `CorruptObjectError` where a clip's bytes are not those that were ingested, and as
        the store does.
        """
        into = np.empty(self.item_shape, dtype=np.uint8) if into is None else into
        clip = self._order.clip(sample)
        window = self._order.window(
            sample, int(self._clips.frames[clip]), self._shape.num_frames, self._shape.stride
        )
        if self._fits_in_memory:
            frames = self._whole(sample, clip)
            into[:] = frames[window.start : window.start + self._shape.span : window.stride]
        else:
            self._read(sample, clip, window.start, into)
        return into

    def stop(self) -> None:
        """Fetch ahead no more, until it is asked for again."""
        self._shards.stop()
        self._members.stop()

    def join(self, timeout_s: float) -> None:
        """Wait until no request is under way, but no longer than about that."""
        self._members.join(timeout_s)
        self._shards.join(timeout_s)

    def _key(self, clip: int) -> str:
        return self._shards.keys[int(self._clips.shard[clip])]

    def _whole(self, sample: int, clip: int) -> Frames:
        if clip in self._decoded:
            self._members.forget(clip)  # it may have been asked for while it was decoded
        else:
            frames = np.empty((int(self._clips.frames[clip]), *self._frame_shape), dtype=np.uint8)
            self._read(sample, clip, 0, frames, stride=1)
            self._decoded[clip] = frames
        return self._decoded[clip]

    def _read(
        self, sample: int, clip: int, start: int, into: Frames, stride: int | None = None
    ) -> None:
        """Decode as many frames of a clip as `into` has, from wherever its bytes are."""
        wanted = range(start, self._clips.frames[clip], stride or self._shape.stride)[: len(into)]
        member = self._members.take(clip)
        if member is None:
            if self._read_copy(clip, wanted, into):
                return
            self._shards.missed(sample, int(self._clips.shard[clip]))
            member = self._members.get(clip)
        layout = read_layout(member)
        first, end = layout.span(wanted)
        decode_frames(layout, memoryview(member)[first:end], wanted, into)

    def _read_copy(self, clip: int, wanted: range, into: Frames) -> bool:
        """Decode from the copy on this machine; False where there is none that is good."""
        key = self._key(clip)
        with self._cache.opened(key) as file:
            if file is None:
                return False
            try:
                self._decode_copy(file, clip, wanted, into)
            except (CorruptObjectError, OSError):
                # What counts is the store's: that is read next, and the copy is made again.
                self._cache.drop(key)
                return False
        return True

    def _decode_copy(self, file: int, clip: int, wanted: range, into: Frames) -> None:
        offset, length = int(self._clips.offset[clip]), int(self._clips.length[clip])
        if not self._is_verified[clip]:
            member = os.pread(file, length, offset)
            check_clip(self._clips.document.dataset, self._clips.place(clip), member)
            self._is_verified[clip] = True
        head = os.pread(file, head_bytes(int(self._clips.frames[clip])), offset)
        layout = read_layout(head, length)
        first, end = layout.span(wanted)
        decode_frames(layout, os.pread(file, end - first, offset + first), wanted, into)


def _check(clips: ClipIndex, shape: WindowShape) -> None:
    dataset = clips.document.dataset
    if len(clips) == 0:
        raise DatasetError(
            f"dataset {dataset} has no clip to train on ({clips.document.clips} in all, "
            "held out): add sources, or lower ingest.holdout_fraction"
        )
    short = int((clips.frames < shape.span).sum())
    if short:
        raise DatasetError(
            f"{short} of {len(clips)} clips of dataset {dataset} are shorter than the "
            f"window of {shape.span} frames: lower train.num_frames or train.frame_stride, or "
            f"ingest with ingest.min_clip_frames of at least {shape.span}"
        )
