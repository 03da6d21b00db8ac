"""The loader against the very frames that were packed."""

import hashlib
from itertools import islice

import numpy as np
import pytest
import torch

from videogen.data.loading.clip_index import open_clips
from videogen.data.loading.loader import Loader, Windows, WindowShape, to_unit_range
from videogen.data.loading.order import SampleOrder, Share
from videogen.data.loading.shard_cache import ShardCache
from videogen.data.shards.frame_codec import encode_clip
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.errors import CorruptObjectError, DatasetError
from videogen.storage.local import LocalStore

LENGTHS = (16, 19, 40, 16, 23, 31, 17, 20, 16, 28, 21, 18)


def _hex(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Dataset:
    """A dataset of random clips in several shards, with its frames at hand."""

    def __init__(self, root, *, lengths=LENGTHS, codec="raw", held_out=(3,)):
        rng = np.random.default_rng(0)
        self.store = LocalStore(root / "store")
        self.frames, self.downloads, rows = {}, [], []
        packed = root / "packed"
        packed.mkdir()
        facts = {}
        with ShardWriter(packed, max_bytes=120_000) as writer:
            written = []
            for index, length in enumerate(lengths):
                clip_id = _hex("clip", index)
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
                    ClipRow(
                        clip_id=placed.clip_id,
                        source=f"file{index}.mp4",
                        source_sha256=_hex("source", index),
                        start_s=0.0,
                        end_s=length / 8,
                        shard=shard.sha256,
                        offset=placed.offset,
                        length=placed.length,
                        sha256=placed.sha256,
                        frames=length,
                        fps=8.0,
                        height=16,
                        width=16,
                        codec=codec,
                        colour="bt709",
                        split="holdout" if index in held_out else "train",
                    )
                )
        self.snapshot = add_clips(self.store, "d", _hex("ingest"), table_of(rows))
        self.root = root

    def windows(self, *, num_frames=8, stride=1, seed=0, cache_bytes=1 << 30, **options):
        cache = ShardCache(self.store, self.root / "cache", max_bytes=cache_bytes)
        clips = open_clips(self.store, "d", self.snapshot.digest)
        return Windows(clips, cache, WindowShape(num_frames, stride), seed=seed, **options)

    def expected(self, sample, *, num_frames=8, stride=1, seed=0):
        """Sample i by its definition."""
        rows = self.snapshot.rows("train")
        _, shards = np.unique([row.shard for row in rows], return_inverse=True)
        order = SampleOrder(self.snapshot.digest, seed, shards)
        row = rows[order.clip(sample)]
        start, _ = order.window(sample, row.frames, num_frames, stride)
        return self.frames[row.clip_id][start : start + (num_frames - 1) * stride + 1 : stride]


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
@pytest.mark.parametrize("stride", [1, 2])
def test_sample_i_shows_the_source_frames_that_the_order_names(tmp_path, memory_bytes, stride):
    dataset = Dataset(tmp_path)
    windows = dataset.windows(stride=stride, memory_bytes=memory_bytes)
    assert len(windows) == len(LENGTHS) - 1
    for sample in range(3 * len(windows)):
        assert np.array_equal(windows.read(sample), dataset.expected(sample, stride=stride))


def test_jpeg_clips_are_read_within_their_loss(tmp_path):
    dataset = Dataset(tmp_path, codec="jpeg")
    windows = dataset.windows(memory_bytes=0)
    for sample in range(len(windows)):
        error = windows.read(sample).astype(int) - dataset.expected(sample)
        assert np.abs(error).mean() < 3


def test_ranks_share_a_step_and_any_number_of_them_sees_the_same_clips(tmp_path):
    dataset = Dataset(tmp_path)
    windows = dataset.windows()
    alone = _steps(windows, Share(5), 6)
    shared = [_steps(windows, Share(5, 2, rank), 6) for rank in range(2)]
    assert [len(batch.frames) for batch in shared[0]] == [3] * 6
    for whole, first, second in zip(alone, *shared, strict=True):
        assert torch.equal(whole.frames, torch.cat([first.frames, second.frames]))


def test_a_resumed_loader_goes_on_where_the_other_stopped(tmp_path):
    windows = Dataset(tmp_path).windows()
    whole = _steps(windows, Share(4), 7)
    resumed = _steps(windows, Share(4), 4, clips_seen=3 * 4)
    for one, other in zip(whole[3:], resumed, strict=True):
        assert torch.equal(one.frames, other.frames)


def test_frames_are_in_the_unit_range_channels_first_with_times_in_frames(tmp_path):
    dataset = Dataset(tmp_path)
    (batch,) = _steps(dataset.windows(stride=2), Share(3), 1)
    assert batch.frames.shape == (3, 8, 3, 16, 16)
    expected = dataset.expected(0, stride=2).transpose(0, 3, 1, 2) / 127.5 - 1
    assert torch.allclose(batch.frames[0], torch.from_numpy(expected).float(), atol=1e-6)
    assert batch.times.tolist() == [[0, 2, 4, 6, 8, 10, 12, 14]] * 3
    assert to_unit_range(torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2, 1)).tolist()[
        0
    ][0][0][0] == [-1, 1]


def test_fewer_clips_than_a_batch_repeat_epoch_by_epoch(tmp_path):
    dataset = Dataset(tmp_path, lengths=(16, 20), held_out=())
    (batch,) = _steps(dataset.windows(), Share(7), 1)
    expected = to_unit_range(torch.from_numpy(np.stack([dataset.expected(i) for i in range(7)])))
    assert torch.equal(batch.frames, expected)


def test_a_dataset_without_a_clip_to_train_on_is_one_error(tmp_path):
    dataset = Dataset(tmp_path, lengths=(16, 16), held_out=(0, 1))
    with pytest.raises(DatasetError, match=r"no clip to train on.*holdout_fraction"):
        dataset.windows()


def test_clips_shorter_than_the_window_are_one_error_with_their_number(tmp_path):
    dataset = Dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"3 of 11 clips .* window of 18 frames"):
        dataset.windows(num_frames=18)


def test_a_clip_whose_bytes_changed_in_the_store_is_named(tmp_path):
    dataset = Dataset(tmp_path, lengths=(16,), held_out=())
    (row,) = dataset.snapshot.rows()
    path = tmp_path / "store" / shard_key("d", row.shard)
    data = bytearray(path.read_bytes())
    data[row.offset + row.length - 1] ^= 1
    path.write_bytes(data)
    with (
        pytest.raises(CorruptObjectError, match=row.clip_id),
        Loader(dataset.windows(), Share(2), torch.device("cpu")) as loader,
    ):
        next(loader)


@pytest.mark.parametrize("left", [0.0, 0.5, 1.0])
def test_a_damaged_or_short_local_copy_is_fetched_again(tmp_path, left):
    dataset = Dataset(tmp_path, lengths=(16,), held_out=())
    windows = dataset.windows()
    first = windows.read(0)
    windows.join(10)
    (copy,) = [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".tar"]
    copy.write_bytes(bytes(int(left * copy.stat().st_size)))
    assert np.array_equal(dataset.windows().read(0), first)


def test_the_cache_stays_within_its_bound_and_reads_on(tmp_path):
    dataset = Dataset(tmp_path)
    bound = 260_000
    windows = dataset.windows(memory_bytes=0, cache_bytes=bound)
    for sample in range(30):
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
    windows.join(10)
    kept = [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".tar"]
    assert 0 < sum(path.stat().st_size for path in kept) <= bound
    assert not list((tmp_path / "cache").glob(".staged-*"))


def _steps(windows, share, num, clips_seen=0):
    with Loader(windows, share, torch.device("cpu"), clips_seen=clips_seen) as loader:
        return list(islice(loader, num))
