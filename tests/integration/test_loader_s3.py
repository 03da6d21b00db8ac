"""The loader from a real S3 server: cold, warm, shared by processes, and without an answer."""

import hashlib
import io
import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest
import torch
from clip_rows import clip_row

from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.loader import Loader, to_unit_range
from videogen.data.loading.order import Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.loading.windows import Windows, WindowShape
from videogen.data.shards.frame_codec import encode_clip, read_frames
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.errors import CorruptObjectError, StorageError
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
NUM_CLIPS = 48
SHAPE = WindowShape(16)


def _sha256(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@pytest.fixture
def snapshot(s3_store, tmp_path):
    """48 clips of 64 to 128 frames of 64 px as JPEG, in more than ten shards."""
    rng = np.random.default_rng(0)
    shards, facts = [], {}
    with ShardWriter(tmp_path, max_bytes=300_000) as writer:
        for index in range(NUM_CLIPS):
            num = int(rng.integers(64, 129))
            coarse = rng.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8)
            facts[_sha256(index)] = num
            frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
            shards.append(writer.add(_sha256(index), {}, encode_clip(frames, "jpeg")))
        shards.append(writer.finish())
    rows = []
    for shard in filter(None, shards):
        s3_store.upload(shard_key("d", shard.sha256), shard.path)
        rows += [
            clip_row(one, shard.sha256, frames=facts[one.clip_id], size_px=64, codec="jpeg")
            for one in shard.clips
        ]
    return add_clips(s3_store, "d", _sha256("ingest"), table_of(rows))


def _windows(store, snapshot, directory, *, max_bytes=1 << 30, warn=pytest.fail):
    cache = ShardCache(store, directory, max_bytes=max_bytes, warn=warn)
    clips = open_clips(store, "d", snapshot.digest)
    return Windows(clips, cache, SHAPE, seed=0, memory_bytes=0, warn=warn)


def _epoch(windows, threads=2):
    with Loader(windows, Share(8), CPU, threads=threads) as loader:
        batches = list(islice(loader, NUM_CLIPS // 8))
    return torch.cat([batch.frames for batch in batches])


@pytest.fixture
def expected(s3_store, snapshot):
    """The first epoch by its definition, from the store's bytes."""
    windows = _windows(s3_store, snapshot, None, max_bytes=0)
    frames = []
    for sample in range(NUM_CLIPS):
        clip = windows._order.clip(sample)
        place = windows._clips.place(clip)
        data = s3_store.get_range(shard_key("d", place.shard), place.offset, place.length)
        num = int(windows._clips.frames[clip])
        frames.append(read_frames(data, windows._order.window(sample, num, 16, 1).start, 1, 16))
    return to_unit_range(torch.from_numpy(np.stack(frames)))


def test_cold_warm_and_without_a_cache_the_epoch_is_the_same(
    s3_store, snapshot, expected, tmp_path
):
    assert torch.equal(
        _epoch(_windows(s3_store, snapshot, tmp_path / "none", max_bytes=0)), expected
    )
    assert not (tmp_path / "none").exists()
    windows = _windows(s3_store, snapshot, tmp_path / "cache")
    assert torch.equal(_epoch(windows), expected)
    windows.ask(range(8))
    windows.join(60)
    names = {f"{shard.tobytes().hex()}.tar" for shard in windows._clips.shards}
    assert len(names) > 10
    assert {path.name for path in (tmp_path / "cache").glob("*.tar")} == names
    for name in names:
        with (tmp_path / "cache" / name).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == name.removesuffix(".tar")
    for shard in windows._clips.shards:
        s3_store.delete(shard_key("d", shard.tobytes().hex()))
    assert torch.equal(_epoch(_windows(s3_store, snapshot, tmp_path / "cache")), expected)


_READER = """
import io, sys
from pathlib import Path
import torch
from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.loader import Loader
from videogen.data.loading.order import Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.loading.windows import Windows, WindowShape
from videogen.storage.s3 import S3Store

root, endpoint, digest, directory, rank = sys.argv[1:]
store = S3Store(root, endpoint_url=endpoint)
cache = ShardCache(store, Path(directory), max_bytes=1 << 30)
windows = Windows(open_clips(store, "d", digest), cache, WindowShape(16), seed=0, memory_bytes=0)
total = 0.0
with Loader(windows, Share(8, 2, int(rank)), torch.device("cpu")) as loader:
    for _ in range(12):
        total += next(loader).frames.double().sum().item()
print(repr(total))
"""


def test_processes_of_a_node_share_one_cache(s3_store, s3_storage, snapshot, tmp_path):
    command = [sys.executable, "-c", _READER, s3_storage.root, s3_storage.endpoint_url]
    command += [snapshot.digest, str(tmp_path / "cache")]
    readers = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    totals = [float(reader.communicate(timeout=120)[0]) for reader in readers]
    windows = _windows(s3_store, snapshot, tmp_path / "cache")
    with Loader(windows, Share(8), CPU) as loader:
        alone = sum(next(loader).frames.double().sum().item() for _ in range(12))
    assert sum(totals) == pytest.approx(alone, rel=1e-9)
    assert not list((tmp_path / "cache").glob(".fetching-*"))


def test_a_clip_that_is_damaged_in_the_bucket_is_named(s3_store, snapshot, tmp_path):
    row = snapshot.rows()[0]
    key = shard_key("d", row.shard)
    data = io.BytesIO(s3_store.get(key).data)
    data.seek(row.offset + row.length // 2)
    data.write(b"damage")
    s3_store.put(key, data.getvalue())
    with pytest.raises(CorruptObjectError, match=rf"{row.clip_id}.*{row.shard}.*restore"):
        _epoch(_windows(s3_store, snapshot, tmp_path / "cache"))


def test_a_shard_that_is_missing_in_the_bucket_is_named(s3_store, snapshot, tmp_path):
    key = shard_key("d", snapshot.rows()[0].shard)
    s3_store.delete(key)
    with pytest.raises(StorageError, match=key):
        _epoch(_windows(s3_store, snapshot, tmp_path / "cache"))


def test_leaving_while_the_server_does_not_answer_leaves_no_thread(
    s3_store, s3_service, snapshot, tmp_path
):
    clips = open_clips(s3_store, "d", snapshot.digest)
    gone = S3Store(
        s3_store.root, endpoint_url="http://127.0.0.1:9", credentials=s3_service.credentials
    )
    cache = ShardCache(gone, tmp_path / "cache", max_bytes=1 << 30)
    windows = Windows(clips, cache, SHAPE, seed=0, memory_bytes=0)
    began = time.monotonic()
    with (
        pytest.raises(StorageError, match="cannot reach S3"),
        Loader(windows, Share(4), CPU) as one,
    ):
        next(one)
    assert time.monotonic() - began < 40
    windows.join(0)
    assert not windows._members._threads._threads
    assert not windows._shards._threads._threads
