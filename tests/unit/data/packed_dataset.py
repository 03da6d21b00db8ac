"""A dataset of random clips in several shards, with its frames at hand."""

import hashlib
import threading
from itertools import islice

import numpy as np
import torch
from clip_rows import clip_row

from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.loader import Loader
from videogen.data.loading.order import SampleOrder
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.loading.windows import Windows, WindowShape
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.storage.local import LocalStore

LENGTHS = (16, 19, 40, 16, 23, 31, 17, 20, 16, 28, 21, 18)


def hex_of(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Dataset:
    """Clips of 16 px, in shards of `shard_bytes`, in a store."""

    def __init__(
        self, root, *, lengths=LENGTHS, codec="raw", held_out=(3,), store=None, shard_bytes=120_000
    ):
        rng = np.random.default_rng(0)
        self.store = store or LocalStore(root / "store")
        self.frames, rows, self.warnings = {}, [], []
        packed = root / "packed"
        packed.mkdir()
        facts = {}
        with ShardWriter(packed, max_bytes=shard_bytes) as writer:
            written = []
            for index, length in enumerate(lengths):
                clip_id = hex_of("clip", index)
                coarse = rng.integers(0, 256, (length, 2, 2, 3), dtype=np.uint8)
                frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
                self.frames[clip_id] = frames
                facts[clip_id] = (index, length)
                written.append(writer.add(clip_id, {}, encode_clip(frames, codec)))
            written.append(writer.finish())
        for shard in filter(None, written):
            self.store.upload(shard_key("d", shard.sha256), shard.path)
            for placed in shard.clips:
                index, length = facts[placed.clip_id]
                rows.append(
                    clip_row(
                        placed,
                        shard.sha256,
                        frames=length,
                        size_px=16,
                        source=f"file{index}.mp4",
                        source_sha256=hex_of("source", index),
                        codec=codec,
                        split="holdout" if index in held_out else "train",
                    )
                )
        self.snapshot = add_clips(self.store, "d", hex_of("ingest"), table_of(rows))
        self.root = root

    @property
    def shards(self):
        """Keys of the shards that have a clip to train on."""
        return {shard_key("d", row.shard) for row in self.snapshot.rows("train")}

    @property
    def copies(self):
        """Names of the shards that are in the cache."""
        return {path.name for path in (self.root / "cache").glob("*.tar") if path.is_file()}

    def cache(self, max_bytes=1 << 30):
        return ShardCache(
            self.store, self.root / "cache", max_bytes=max_bytes, warn=self.warnings.append
        )

    def windows(self, *, num_frames=8, stride=1, cache_bytes=1 << 30, **options):
        clips = open_clips(self.store, "d", self.snapshot.digest)
        shape = WindowShape(num_frames, stride)
        options = {"seed": 0, "warn": self.warnings.append, **options}
        return Windows(clips, self.cache(cache_bytes), shape, **options)

    def expected(self, sample, *, num_frames=8, stride=1, seed=0):
        """Sample i by its definition."""
        rows = self.snapshot.rows("train")
        _, shards = np.unique([row.shard for row in rows], return_inverse=True)
        order = SampleOrder(self.snapshot.digest, seed, shards)
        row = rows[order.clip(sample)]
        start, _ = order.window(sample, row.frames, num_frames, stride)
        return self.frames[row.clip_id][start : start + (num_frames - 1) * stride + 1 : stride]


class WatchedStore(LocalStore):
    """Keeps account of requests for ranges, and holds those for whole shards back if asked to."""

    def __init__(self, root):
        super().__init__(root)
        self.ranges = []
        self.gate = threading.Event()
        self.gate.set()

    def get_range(self, key, offset, length):
        if offset == 0:
            self.gate.wait(20)
        self.ranges.append((key, offset))
        return super().get_range(key, offset, length)

    @property
    def fetched(self):
        """Keys of the shards that were fetched whole; no clip begins with the first byte."""
        return [key for key, offset in self.ranges if offset == 0]


def steps(windows, share, num, **options):
    """The first batches of a loader."""
    with Loader(windows, share, torch.device("cpu"), **options) as loader:
        return list(islice(loader, num))
