"""The directory of copies: shared, bounded, and dispensable."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from packed_dataset import Dataset, steps

from videogen.data.loading.order import Share
from videogen.data.loading.shard_cache import ShardCache, _locked
from videogen.storage.local import LocalStore

SIZE = 100_000


def _objects(tmp_path, num):
    store = LocalStore(tmp_path / "store")
    keys = [f"datasets/d/shards/{index}.tar" for index in range(num)]
    for index, key in enumerate(keys):
        store.put(key, bytes([index]) * SIZE)
    return store, keys


def _fetch(cache, *keys):
    for key in keys:
        cache.fetch(key, threading.Event())


def _content(cache, key):
    with cache.opened(key) as file:
        return None if file is None else os.pread(file, SIZE + 1, 0)


def test_a_copy_has_the_objects_bytes_and_no_copy_is_none(tmp_path):
    store, keys = _objects(tmp_path, 2)
    cache = ShardCache(store, tmp_path / "cache", max_bytes=SIZE)
    _fetch(cache, keys[1])
    assert [_content(cache, key) for key in keys] == [None, b"\x01" * SIZE]
    cache.drop(keys[1])
    assert _content(cache, keys[1]) is None


def test_the_least_recently_used_go_first_and_never_more_than_the_bound_is_held(tmp_path):
    store, keys = _objects(tmp_path, 5)
    cache = ShardCache(store, tmp_path / "cache", max_bytes=3 * SIZE + 10)
    _fetch(cache, *keys[:3])
    for age, key in enumerate((keys[1], keys[2], keys[0])):
        os.utime(tmp_path / "cache" / key.rpartition("/")[2], (age, age))
    assert _content(cache, keys[1])  # used just now
    _fetch(cache, keys[3])
    assert [cache.has(key) for key in keys] == [True, True, False, True, False]
    _fetch(cache, keys[4])
    assert [cache.has(key) for key in keys] == [False, True, False, True, True]


def test_what_keeps_two_processes_from_evicting_at_once_is_not_evicted(tmp_path):
    store, keys = _objects(tmp_path, 3)
    cache = ShardCache(store, tmp_path / "cache", max_bytes=SIZE)
    _fetch(cache, keys[0])
    lock = (tmp_path / "cache" / ".evict.lock").stat().st_ino
    _fetch(cache, *keys[1:])
    assert (tmp_path / "cache" / ".evict.lock").stat().st_ino == lock


def test_what_is_larger_than_the_bound_displaces_nothing(tmp_path):
    store, keys = _objects(tmp_path, 1)
    store.put("datasets/d/shards/large.tar", bytes(4 * SIZE))
    cache = ShardCache(store, tmp_path / "cache", max_bytes=3 * SIZE)
    _fetch(cache, keys[0], "datasets/d/shards/large.tar")
    assert [path.name for path in (tmp_path / "cache").glob("*.tar")] == ["0.tar"]


def test_a_reader_keeps_its_bytes_when_the_copy_is_evicted(tmp_path):
    store, keys = _objects(tmp_path, 2)
    cache = ShardCache(store, tmp_path / "cache", max_bytes=SIZE)
    _fetch(cache, keys[0])
    with cache.opened(keys[0]) as file:
        _fetch(cache, keys[1])
        assert not cache.has(keys[0])
        assert os.pread(file, SIZE, 0) == b"\x00" * SIZE


def test_a_bound_of_zero_touches_no_disk(tmp_path):
    store, keys = _objects(tmp_path, 1)
    cache = ShardCache(store, tmp_path / "cache", max_bytes=0)
    _fetch(cache, keys[0])
    assert not (tmp_path / "cache").exists()


def test_a_fetch_that_nobody_waits_for_ends_and_leaves_nothing(tmp_path):
    store, keys = _objects(tmp_path, 1)
    cache = ShardCache(store, tmp_path / "cache", max_bytes=SIZE)
    stopping = threading.Event()
    stopping.set()
    cache.fetch(keys[0], stopping)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".evict.lock"]


_HOLDER = """
import sys, threading, time
from pathlib import Path
from videogen.data.loading.shard_cache import ShardCache
from videogen.storage.local import LocalStore

class Stuck(LocalStore):
    def get_range(self, key, offset, length):
        print("fetching", flush=True)
        time.sleep(60)

cache = ShardCache(Stuck(Path(sys.argv[1])), Path(sys.argv[2]), max_bytes=10**6)
cache.fetch(sys.argv[3], threading.Event())
"""


def test_one_process_fetches_and_what_a_killed_one_left_is_swept_up(tmp_path):
    store, keys = _objects(tmp_path, 1)
    places = [str(tmp_path / "store"), str(tmp_path / "cache")]
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, *places, keys[0]], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"fetching\n"
        cache = ShardCache(store, tmp_path / "cache", max_bytes=10**6)
        (left,) = (tmp_path / "cache").glob(".fetching-*")
        assert next(left.iterdir()).stat().st_size == SIZE  # counted while it grows
        _fetch(cache, keys[0])
        assert not cache.has(keys[0])  # neither fetched twice, nor half of it shown
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert left.exists()
    ShardCache(store, tmp_path / "cache", max_bytes=10**6)
    assert not left.exists()
    _fetch(cache, keys[0])
    assert _content(cache, keys[0]) == b"\x00" * SIZE


def test_a_lock_on_a_directory_that_is_gone_is_no_claim(tmp_path):
    """Between opening and locking, the process that fetched the shard may have ended."""
    claim = tmp_path / "claim"
    claim.mkdir()
    descriptor = os.open(claim, os.O_RDONLY)
    claim.rmdir()
    assert not _locked(descriptor)
    os.close(descriptor)


def test_a_directory_that_cannot_be_made_is_one_warning_and_training_goes_on(tmp_path):
    dataset = Dataset(tmp_path)
    (tmp_path / "cache").touch()
    windows = dataset.windows(memory_bytes=0)
    for batch, sample in zip(steps(windows, Share(1), 30), range(30), strict=True):
        expected = dataset.expected(sample)[0, 0, 0, 0] / 127.5 - 1
        assert batch.frames[0, 0, 0, 0, 0].item() == pytest.approx(expected, abs=1e-6)
    (warning,) = dataset.warnings
    assert str(tmp_path / "cache") in warning
    assert "XDG_CACHE_HOME" in warning


def test_a_directory_deleted_in_use_is_one_warning_and_is_made_again(tmp_path):
    dataset = Dataset(tmp_path)
    windows = dataset.windows(memory_bytes=0)
    for sample in range(60):
        if sample % 20 == 10:
            _remove(tmp_path / "cache")
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
        windows.join(10)
    (warning,) = dataset.warnings
    assert f"{tmp_path / 'cache'} was deleted while in use" in warning
    assert dataset.copies == {key.rpartition("/")[2] for key in dataset.shards}


def _remove(directory):
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 150 kB, and how to make it read-only."""
    place = tmp_path / "cache"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=150k", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(options, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield lambda: subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_one_warning_and_the_cache_recycles_what_it_holds(tmp_path, small_disk):
    dataset = Dataset(tmp_path)
    assert len(dataset.shards) > 2
    cache = dataset.cache()
    _fetch(cache, *sorted(dataset.shards))
    (warning,) = dataset.warnings
    assert f"{tmp_path / 'cache'} cannot hold more" in warning
    assert "make room" in warning
    held = len(dataset.copies)
    assert 0 < held < len(dataset.shards)
    before = dataset.copies
    missing = next(key for key in dataset.shards if not cache.has(key))
    time.sleep(0.01)
    _fetch(cache, missing)
    assert cache.has(missing)  # in the place of the least recently used
    assert dataset.copies != before
    assert len(dataset.warnings) == 1


def test_training_goes_on_over_a_full_disk(tmp_path, small_disk):
    dataset = Dataset(tmp_path)
    windows = dataset.windows(memory_bytes=0)
    for sample in range(60):
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
        windows.join(10)
    (warning,) = dataset.warnings  # and none that blames execution.cache_bytes
    assert "cannot hold more" in warning


def test_a_read_only_directory_is_one_warning_and_its_copies_are_read_on(tmp_path, small_disk):
    dataset = Dataset(tmp_path)
    _fetch(dataset.cache(), min(dataset.shards))
    small_disk()
    windows = dataset.windows(memory_bytes=0)
    for sample in range(30):
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
        windows.join(10)
    (warning,) = dataset.warnings
    assert f"{tmp_path / 'cache'} (Read-only file system)" in warning
    assert dataset.copies == {min(dataset.shards).rpartition("/")[2]}
