"""Which shards are fetched when, and that a small cache is not churned."""

import numpy as np
import pytest
from packed_dataset import Dataset, WatchedStore, steps

from videogen.data.loading.order import BLOCK_SHARDS, Share

NUM_SHARDS = 34


@pytest.fixture
def dataset(tmp_path):
    """A shard a clip: 34, in blocks of 10, 10 and 14."""
    lengths = (64, 80, 72, 96) * 8 + (64, 64)
    made = Dataset(
        tmp_path,
        lengths=lengths,
        held_out=(),
        store=WatchedStore(tmp_path / "store"),
        shard_bytes=1,
    )
    assert len(made.shards) == NUM_SHARDS
    made.store.ranges.clear()
    return made


def _of(windows, *blocks):
    return {
        windows._shards.keys[shard] for block in blocks for shard in windows._order.shards(block)
    }


def test_the_shards_of_this_block_and_the_next_are_fetched_and_no_others(dataset):
    windows = dataset.windows(memory_bytes=0)
    block = windows._order.block(0)
    windows.ask(range(4))
    windows.join(20)
    wanted = _of(windows, block, windows._order.after(block))
    assert set(dataset.store.fetched) == wanted
    assert len(dataset.store.fetched) == 2 * BLOCK_SHARDS
    windows.ask(range(10, 12))  # of the next block
    windows.join(20)
    assert len(dataset.store.fetched) == NUM_SHARDS
    for sample in range(40):
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
    assert len(dataset.store.fetched) == NUM_SHARDS


def test_shards_are_there_before_the_samples_that_need_them(dataset):
    windows = dataset.windows(memory_bytes=0)
    windows.ask(range(4))
    windows.join(20)
    windows.stop()  # what came alone was for the first samples
    alone = len(dataset.store.ranges)
    for sample in range(20):
        windows.read(sample)
    windows.join(20)
    clips = dataset.store.ranges[alone:]
    assert all(offset == 0 for _, offset in clips)  # shards of the last block, and no clip


def test_a_block_that_fits_alone_is_not_displaced_by_the_next(dataset):
    windows = dataset.windows(memory_bytes=0)
    sizes = windows._clips.shard_bytes()
    bound = int(np.sort(sizes)[-14:].sum()) + 14 * 12_000  # with what tar adds at the end
    windows = dataset.windows(memory_bytes=0, cache_bytes=bound)
    block = windows._order.block(0)
    windows.ask(range(4))
    windows.join(20)
    assert set(dataset.store.fetched) == _of(windows, block)
    for sample in range(3 * NUM_SHARDS):
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
        windows.join(20)
    assert not dataset.warnings


def test_a_cache_smaller_than_a_block_means_clips_alone_and_one_warning(dataset):
    windows = dataset.windows(memory_bytes=0, cache_bytes=400_000)
    for step, batch in enumerate(steps(windows, Share(4), 30)):
        assert batch.frames[0, 0, 0, 0, 0].item() == pytest.approx(
            dataset.expected(4 * step)[0, 0, 0, 0] / 127.5 - 1, abs=1e-6
        )
    (warning,) = dataset.warnings
    assert "execution.cache_bytes (400,000)" in warning
    assert "10 shards" in warning
    assert not dataset.store.fetched
    assert not dataset.copies


def test_copies_that_others_displace_are_fetched_once_more_and_then_no_more(dataset):
    windows = dataset.windows(memory_bytes=0)
    windows.ask(range(1))
    windows.join(20)
    cache = dataset.cache()
    key = windows._key(windows._order.clip(0))
    for _ in range(5):
        cache.drop(key)
        assert np.array_equal(windows.read(0), dataset.expected(0))
        windows.join(20)
    assert dataset.store.fetched.count(key) == 2


def test_clips_that_are_asked_for_come_once_and_are_not_kept(dataset):
    windows = dataset.windows(memory_bytes=0, cache_bytes=0)
    windows.ask(range(8))
    windows.ask(range(8))
    windows.join(20)
    assert len(dataset.store.ranges) == 8
    for sample in range(8):
        assert np.array_equal(windows.read(sample), dataset.expected(sample))
    assert len(dataset.store.ranges) == 8
    assert not windows._members._asked


def test_a_split_in_memory_asks_for_nothing_once_it_is_decoded(dataset):
    windows = dataset.windows(cache_bytes=0)
    steps(windows, Share(7), 30)
    assert len(windows._decoded) == NUM_SHARDS
    assert not windows._members._asked
    before = len(dataset.store.ranges)
    steps(windows, Share(7), 10)
    assert len(dataset.store.ranges) == before
