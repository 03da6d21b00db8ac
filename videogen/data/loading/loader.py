"""The resumable loader: windows of real clips, in an order that one integer of state decides.

Only the split `train` is read. Reading, verifying and decoding happen in a thread (no process is
forked once S3 or Ray have threads), a few batches ahead. A split that fits in memory is kept there
decoded, so that a small dataset never makes training wait.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from videogen.data.loading.order import SampleOrder, Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.shards.tar_shard import check_clip, read_frames, shard_key
from videogen.data.snapshots.clip_table import ClipRow, hex_column, rows_of
from videogen.data.snapshots.snapshot import Snapshot
from videogen.errors import CorruptObjectError, DatasetError

Frames = NDArray[np.uint8]

MEMORY_BYTES = 256 << 20
_BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Batch:
    """Windows of real clips."""

    frames: Float[Tensor, "b t c h w"]
    """In [-1, 1]."""
    times: Float[Tensor, "b t"]
    """In frames of the dataset's rate, from each window's first."""


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
    """Sample i of a run, for any i from 0 on."""

    def __init__(
        self,
        snapshot: Snapshot,
        cache: ShardCache,
        shape: WindowShape,
        *,
        seed: int,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Read the training split of a snapshot.

        Raises `DatasetError` where it has no clip, or a clip that is shorter than the window.
        """
        self._dataset = snapshot.dataset
        self._cache = cache
        self._table = _usable(snapshot, shape)
        self._shape = shape
        self._frames = self._table.column("frames").to_numpy()
        _, shards = np.unique(hex_column(self._table, "shard"), return_inverse=True)
        self._order = SampleOrder(snapshot.digest, seed, shards)
        frame_bytes = snapshot.document.height * snapshot.document.width * 3
        self._fits_in_memory = int(self._frames.sum()) * frame_bytes <= memory_bytes
        self._decoded: dict[int, Frames] = {}
        self._verified = np.zeros(len(self), dtype=bool)

    def __len__(self) -> int:
        """Clips, which is samples in an epoch."""
        return len(self._frames)

    @property
    def shape(self) -> WindowShape:
        """Of every item."""
        return self._shape

    def read(self, sample: int) -> Frames:
        """The frames of sample i, uint8 (t h w c).

        Raises `CorruptObjectError` where a clip's bytes are not those that were ingested, and as
        the store does.
        """
        clip = self._order.clip(sample)
        start, stride = self._order.window(
            sample, int(self._frames[clip]), self._shape.num_frames, self._shape.stride
        )
        if not self._fits_in_memory:
            return read_frames(self._member(clip), start, stride, self._shape.num_frames)
        if clip not in self._decoded:
            self._decoded[clip] = read_frames(self._member(clip))
        return self._decoded[clip][start : start + self._shape.span : stride]

    def _member(self, clip: int) -> bytes:
        """A clip's `.frames`, verified when it is first used."""
        (row,) = rows_of(self._table.slice(clip, 1))
        try:
            data = self._read(clip, row)
        except CorruptObjectError:
            # The local copy may have been damaged: what counts is the store's.
            self._cache.drop(shard_key(self._dataset, row.shard))
            data = self._read(clip, row)
        self._verified[clip] = True
        return data

    def _read(self, clip: int, row: ClipRow) -> bytes:
        data = self._cache.read(shard_key(self._dataset, row.shard), row.offset, row.length)
        if not self._verified[clip]:
            check_clip(self._dataset, row, data)
        return data


def _usable(snapshot: Snapshot, shape: WindowShape) -> pa.Table:
    table = snapshot.table("train")
    if len(table) == 0:
        raise DatasetError(
            f"dataset {snapshot.dataset} has no clip to train on ({len(snapshot.clips)} in all, "
            "held out): add sources, or lower ingest.holdout_fraction"
        )
    short = pc.sum(pc.less(table.column("frames"), shape.span)).as_py()
    if short:
        raise DatasetError(
            f"{short} of {len(table)} clips of dataset {snapshot.dataset} are shorter than the "
            f"window of {shape.span} frames: lower train.num_frames or train.frame_stride, or "
            f"ingest with ingest.min_clip_frames of at least {shape.span}"
        )
    return table


class Loader:
    """An endless iterator over a worker's batches, read ahead by a thread; a context manager."""

    def __init__(
        self, windows: Windows, share: Share, device: torch.device, *, clips_seen: int = 0
    ) -> None:
        """Begin with the step after `clips_seen`; batches are moved to `device`."""
        self._windows = windows
        self._share = share
        self._device = device
        self._times = windows.shape.times.to(device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._ahead: deque[Future[Tensor]] = deque()
        self._next_clips_seen = clips_seen

    def __enter__(self) -> Self:
        """Begin to read."""
        for _ in range(_BATCHES_AHEAD):
            self._submit()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        """Itself."""
        return self

    def __next__(self) -> Batch:
        """The next batch. Raises what reading it raised."""
        frames = self._ahead.popleft().result()
        self._submit()
        clips = to_unit_range(frames.to(self._device, non_blocking=True))
        return Batch(clips, self._times.expand(len(clips), -1))

    def _submit(self) -> None:
        samples = self._share.samples(self._next_clips_seen)
        self._next_clips_seen += self._share.global_batch
        self._ahead.append(self._thread.submit(self._read, samples))

    def _read(self, samples: range) -> Tensor:
        frames = torch.from_numpy(np.stack([self._windows.read(sample) for sample in samples]))
        return frames.pin_memory() if self._device.type == "cuda" else frames


def to_unit_range(frames: Tensor) -> Float[Tensor, "b t c h w"]:
    """uint8 `b t h w c` as [-1, 1]."""
    return rearrange(frames, "b t h w c -> b t c h w").to(torch.float32).div_(127.5).sub_(1.0)
