"""What `videogen bench loader` runs in its measuring processes; each answers how many windows.

What a process needs for every turn (clips in memory, the open dataset) is loaded by its first turn,
which does not count.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from videogen.config.sections import StorageConfig
from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.loader import Loader, to_unit_range
from videogen.data.loading.order import Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.loading.windows import Windows, WindowShape
from videogen.data.shards.frame_codec import read_frames, read_layout
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import VideogenError
from videogen.storage.connect import open_store

Frames = NDArray[np.uint8]

_SHAPE = WindowShape(num_frames=16)
_BATCH = 16
_CPU = torch.device("cpu")
_CACHE_BYTES = 1 << 40
_SHUFFLED_SAMPLES = 100


@dataclass(frozen=True)
class Source:
    """A dataset in a store, and copies of its shards."""

    root: str
    endpoint_url: str | None
    dataset: str
    snapshot: str
    tars: Path
    cache: Path
    """Directory of shards of the loader that is warm."""


def require_webdataset() -> None:
    """Raises `VideogenError` where the library that is compared with is missing."""
    if find_spec("webdataset") is None:
        raise VideogenError(
            "the library webdataset is not installed, and this bench compares with it: "
            "pip install webdataset"
        )


def decode_from_memory(source: Source, num: int) -> int:
    """Decode windows to uint8 frames, and do nothing with them."""
    for _ in islice(_decoded(source), num):
        pass
    return num


def batches_from_memory(source: Source, num: int) -> int:
    """Decode windows, and make batches of floats of them."""
    return _consume(_decoded(source), num)


def webdataset_batches(source: Source, num: int) -> int:
    """The same from tars on disk by `webdataset`: shards shuffled, and samples in a buffer."""
    import webdataset  # noqa: PLC0415 - the one process that uses it

    rng = np.random.default_rng(0)

    def decode(sample: dict[str, bytes]) -> Frames:
        data = sample["frames"]
        start = int(rng.integers(read_layout(data).num_frames - _SHAPE.span + 1))
        return read_frames(data, start, _SHAPE.stride, _SHAPE.num_frames)

    tars = sorted(str(path) for path in source.tars.iterdir())
    samples = (
        webdataset.WebDataset(tars, shardshuffle=len(tars), seed=0)
        .shuffle(_SHUFFLED_SAMPLES)
        .map(decode)
        .repeat()
    )
    return _consume(iter(samples), num)


def warm_batches(source: Source, num: int) -> int:
    """Batches of our loader, from shards that are in its cache from the second turn on."""
    return _load(_warm_windows(source), num)


def cold_batches(source: Source, num: int) -> int:
    """Batches of our loader with an empty cache, up to a whole batch less than `num` windows."""
    directory = Path(tempfile.mkdtemp(prefix="cold-", dir=source.cache.parent))
    try:
        return _load(_windows(source, directory), num)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def open_snapshot(source: Source, digest: str) -> int:
    """What training knows of the clips of a snapshot; how many they are."""
    store = open_store(StorageConfig(root=source.root, endpoint_url=source.endpoint_url))
    return len(open_clips(store, source.dataset, digest))


def _load(windows: Windows, num: int) -> int:
    steps = max(num // _BATCH, 1)
    with Loader(windows, Share(_BATCH), _CPU) as batches:
        for _ in range(steps):
            next(batches)
    return steps * _BATCH


@cache
def _warm_windows(source: Source) -> Windows:
    return _windows(source, source.cache)


def _windows(source: Source, directory: Path) -> Windows:
    """Windows that are decoded each time, however small the dataset is."""
    store = open_store(StorageConfig(root=source.root, endpoint_url=source.endpoint_url))
    clips = open_clips(store, source.dataset, source.snapshot)
    cached = ShardCache(store, directory, max_bytes=_CACHE_BYTES)
    return Windows(clips, cached, _SHAPE, seed=0, memory_bytes=0)


def _decoded(source: Source) -> Iterator[Frames]:
    """Windows, uint8 (t h w c), at random places of random clips, without end."""
    clips = _clips_in_memory(source)
    size = simplejpeg.decode_jpeg_header(clips[0][0])[:2]
    rng = np.random.default_rng(0)
    while True:
        for index in rng.permutation(len(clips)):
            frames = clips[index]
            start = int(rng.integers(len(frames) - _SHAPE.span + 1))
            window = np.empty((_SHAPE.num_frames, *size, 3), dtype=np.uint8)
            for place, jpeg in enumerate(frames[start : start + _SHAPE.span]):
                simplejpeg.decode_jpeg(jpeg, colorspace="RGB", buffer=window[place])
            yield window


@cache
def _clips_in_memory(source: Source) -> list[list[bytes]]:
    """The JPEGs of every clip."""
    store = open_store(StorageConfig(root=source.root, endpoint_url=source.endpoint_url))
    snapshot = load_snapshot(store, source.dataset, source.snapshot)
    clips = []
    for row in snapshot.rows("train"):
        tar = source.tars / f"{row.shard}.tar"
        with tar.open("rb") as file:
            file.seek(row.offset)
            data = file.read(row.length)
        layout = read_layout(data)
        ends = [layout.first_byte + offset for offset in layout.offsets]
        clips.append([data[begin:end] for begin, end in pairwise(ends)])
    return clips


def _consume(windows: Iterator[Frames], num: int) -> int:
    """Make batches as the training step takes them of windows."""
    steps = max(num // _BATCH, 1)
    for _ in range(steps):
        _batch(list(islice(windows, _BATCH)))
    return steps * _BATCH


def _batch(windows: list[Frames]) -> Tensor:
    return to_unit_range(torch.from_numpy(np.stack(windows)))
