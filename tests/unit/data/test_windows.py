"""Sample i against the very frames that were packed, from wherever its bytes come."""

import os
import threading

import numpy as np
import pytest
from packed_dataset import LENGTHS, Dataset, WatchedStore

from videogen.data.shards.tar_shard import shard_key
from videogen.errors import CorruptObjectError, DatasetError


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
@pytest.mark.parametrize("stride", [1, 2])
def test_sample_i_shows_the_source_frames_that_the_order_names(tmp_path, memory_bytes, stride):
    dataset = Dataset(tmp_path)
    windows = dataset.windows(stride=stride, memory_bytes=memory_bytes)
    assert len(windows) == len(LENGTHS) - 1
    for sample in range(3 * len(windows)):
        assert np.array_equal(windows.read(sample), dataset.expected(sample, stride=stride))


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_window_is_the_same_alone_from_a_copy_and_from_memory(tmp_path, codec, cache_bytes):
    dataset = Dataset(tmp_path, codec=codec)
    kept = dataset.windows(cache_bytes=0)
    windows = dataset.windows(memory_bytes=0, cache_bytes=cache_bytes)
    for sample in range(3 * len(windows)):
        frames = windows.read(sample)
        windows.join(10)  # with a cache, the next read is of a copy
        assert np.array_equal(frames, kept.read(sample))
        assert np.abs(frames.astype(int) - dataset.expected(sample)).mean() < 3
    assert bool(dataset.copies) == bool(cache_bytes)


def test_a_copy_gives_the_frames_of_the_window_alone_once_its_clip_is_verified(tmp_path):
    dataset = Dataset(tmp_path, lengths=(40,), held_out=(), codec="jpeg")
    windows = dataset.windows(memory_bytes=0)
    windows.read(0)
    windows.join(10)
    dataset.store.delete(next(iter(dataset.shards)))  # from here on the copy must do
    expected = {sample: windows.read(sample) for sample in range(50)}
    (copy,) = (tmp_path / "cache").glob("*.tar")
    (row,) = dataset.snapshot.rows()
    with copy.open("r+b") as file:
        file.seek(row.offset + row.length - 20)  # within the last frame
        file.write(b"x" * 20)
    (frames,) = dataset.frames.values()
    others = [s for s in expected if not np.array_equal(dataset.expected(s)[-1], frames[-1])]
    assert len(others) > 30
    for sample in others:
        assert np.array_equal(windows.read(sample), expected[sample])


def test_a_dataset_without_a_clip_to_train_on_is_one_error(tmp_path):
    dataset = Dataset(tmp_path, lengths=(16, 16), held_out=(0, 1))
    with pytest.raises(DatasetError, match=r"no clip to train on.*holdout_fraction"):
        dataset.windows()


def test_clips_shorter_than_the_window_are_one_error_with_their_number(tmp_path):
    dataset = Dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"3 of 11 clips .* window of 18 frames"):
        dataset.windows(num_frames=18)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_clip_whose_bytes_changed_in_the_store_is_named(tmp_path, cache_bytes):
    dataset = Dataset(tmp_path, lengths=(16,), held_out=())
    (row,) = dataset.snapshot.rows()
    key = shard_key("d", row.shard)
    data = bytearray(dataset.store.get(key).data)
    data[row.offset + row.length - 1] ^= 1
    dataset.store.put(key, bytes(data))
    windows = dataset.windows(cache_bytes=cache_bytes)
    for _ in range(2):  # alone, and from a copy that is as bad
        with pytest.raises(CorruptObjectError, match=rf"{row.clip_id}.*{row.shard}.*restore"):
            windows.read(0)
        windows.join(10)


@pytest.mark.parametrize("left", [0.0, 0.5, 1.0])
def test_a_damaged_or_short_copy_is_dropped_and_fetched_again(tmp_path, left):
    dataset = Dataset(tmp_path, lengths=(16,), held_out=())
    windows = dataset.windows(memory_bytes=0)
    first = windows.read(0)
    windows.join(10)
    (copy,) = (tmp_path / "cache").glob("*.tar")
    good = copy.read_bytes()
    copy.write_bytes(bytes(int(left * len(good))))
    again = dataset.windows(memory_bytes=0)
    assert np.array_equal(again.read(0), first)
    again.join(10)
    assert copy.read_bytes() == good


@pytest.mark.parametrize("num_bytes", [0, 10_000])
def test_a_copy_that_is_cut_short_while_it_is_read_is_fetched_again(tmp_path, num_bytes):
    dataset = Dataset(tmp_path, lengths=(16,), held_out=())
    windows = dataset.windows(memory_bytes=0)
    for _ in range(2):  # from the store, and from the copy, whose clip is verified then
        windows.read(0)
        windows.join(10)
    (copy,) = (tmp_path / "cache").glob("*.tar")
    whole = copy.stat().st_size
    os.truncate(copy, num_bytes)
    assert np.array_equal(windows.read(0), dataset.expected(0))
    windows.join(10)
    assert copy.stat().st_size == whole


def test_readers_of_one_node_fetch_each_shard_once(tmp_path):
    dataset = Dataset(tmp_path, store=WatchedStore(tmp_path / "store"))
    readers = [dataset.windows(memory_bytes=0) for _ in range(4)]
    dataset.store.ranges.clear()
    threads = [
        threading.Thread(target=lambda w=windows: [w.read(i) for i in range(22)])
        for windows in readers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for windows in readers:
        windows.join(10)
    assert len(dataset.shards) > 1
    assert sorted(dataset.store.fetched) == sorted(dataset.shards)


def test_windows_say_what_they_read_and_how(tmp_path):
    dataset = Dataset(tmp_path)
    assert dataset.windows().describe() == "11 clips of d, kept decoded in memory"
    alone = dataset.windows(memory_bytes=0, cache_bytes=0)
    assert alone.describe() == "11 clips of d, read from the store one by one"
    cached = dataset.windows(memory_bytes=0, cache_bytes=3 * 10**9).describe()
    assert "3.0 GB are kept in" in cached
    assert str(tmp_path / "cache") in cached
