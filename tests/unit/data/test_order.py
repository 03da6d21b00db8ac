"""The order by its closed forms; what it was once, it is for ever."""

import hashlib

import numpy as np
import pytest

from videogen.data.loading.order import BLOCK_SHARDS, RandomKey, SampleOrder, Share

SHARDS = np.arange(7 * 34 + 3) // 7
ONE = np.zeros(1, dtype=int)


def test_an_epoch_shows_each_clip_once_and_epochs_differ():
    order = SampleOrder("digest", 0, SHARDS)
    first, second = order.epoch_order(0), order.epoch_order(1)
    assert sorted(first) == sorted(second) == list(range(len(SHARDS)))
    assert list(first) != list(second)


def test_the_order_depends_on_snapshot_and_seed_alone():
    order = SampleOrder("digest", 3, SHARDS)
    assert list(order.epoch_order(5)) == list(SampleOrder("digest", 3, SHARDS).epoch_order(5))
    assert list(order.epoch_order(5)) != list(SampleOrder("digest", 4, SHARDS).epoch_order(5))
    assert list(order.epoch_order(5)) != list(SampleOrder("other", 3, SHARDS).epoch_order(5))


def test_the_order_is_the_same_for_ever():
    order = SampleOrder("digest", 0, np.arange(8) // 4)
    assert [order.clip(i) for i in range(16)] == [0, 3, 2, 4, 1, 7, 6, 5, 2, 5, 4, 6, 1, 7, 3, 0]
    assert [order.window(i, 64, 16, 1).start for i in range(6)] == [26, 39, 25, 48, 12, 29]


def test_the_order_of_a_snapshot_is_the_one_of_the_names_of_its_shards():
    # As it was when shards were named: 500 clips in 37 shards, sha256 over three epochs.
    names = [hashlib.sha256(bytes([i])).hexdigest() for i in range(37)]
    clips = np.random.default_rng(5).integers(0, 37, 500)
    numbers = np.argsort(np.argsort(names))[clips]
    order = SampleOrder("0123abcd", 7, numbers)
    epochs = np.concatenate([order.epoch_order(epoch) for epoch in range(3)]).astype("<i8")
    digest = hashlib.sha256(epochs.tobytes()).hexdigest()
    assert digest == "34bd014e0e75938539916f7ba7a0b797fef48717b28b579f73960fbbe9b2633e"
    assert [order.window(i, 64, 16, 2).start for i in (0, 1, 10**9)] == [21, 3, 26]


def test_a_number_that_no_clip_has_is_refused():
    with pytest.raises(ValueError, match="no clip is in shard 1"):
        SampleOrder("digest", 0, np.array([0, 2]))


def test_blocks_follow_each_other_and_hold_the_shards_of_their_samples():
    order = SampleOrder("digest", 0, SHARDS)
    block, seen = order.block(0), []
    for sample in range(2 * len(order)):
        if order.block(sample) != block:
            assert order.block(sample) == order.after(block)
            block = order.block(sample)
            seen.append(block)
        assert SHARDS[order.clip(sample)] in order.shards(block)
    assert [tuple(one) for one in seen] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    sizes = [len(order.shards(one)) for one in seen]
    assert sizes == [10, 15, 10, 10, 15]


@pytest.mark.parametrize("seed", range(5))
def test_every_epoch_of_any_dataset_is_a_permutation(seed):
    rng = np.random.default_rng(seed)
    num_shards = int(rng.integers(1, 60))
    shards = np.concatenate([np.arange(num_shards), rng.integers(0, num_shards, 300)])
    order = SampleOrder("digest", seed, shards)
    for epoch in range(4):
        assert np.array_equal(np.sort(order.epoch_order(epoch)), np.arange(len(shards)))


def test_sample_i_does_not_depend_on_who_reads_it():
    for clips_seen in (0, 7, 700):
        whole = list(Share(7).samples(clips_seen))
        for world in (2, 3, 7):
            ranks = [Share(7, world, rank).samples(clips_seen) for rank in range(world)]
            assert [sample for samples in ranks for sample in samples] == whole


def test_sample_i_is_position_i_mod_n_of_epoch_i_div_n_in_any_order_of_asking():
    order = SampleOrder("digest", 0, SHARDS)
    n = len(order)
    samples = [2 * n + 3, 0, n - 1, n, 2 * n + 4, 7]
    expected = [order.epoch_order(i // n)[i % n] for i in samples]
    assert [order.clip(i) for i in samples] == expected


def test_clips_are_shuffled_within_blocks_of_at_least_ten_shards():
    order = SampleOrder("digest", 0, SHARDS)
    shard_of = SHARDS[order.epoch_order(0)]
    num_shards = len(np.unique(SHARDS))
    sizes = np.bincount(shard_of)
    start, spans = 0, []
    while start < len(shard_of):
        block: set[int] = set()
        end = start
        while end < len(shard_of) and (
            len(block) < BLOCK_SHARDS or sum(sizes[s] for s in block) > end - start
        ):
            block.add(int(shard_of[end]))
            end += 1
        spans.append(len(block))
        start = end
    assert sum(spans) == num_shards  # no shard is in two blocks
    assert all(span >= BLOCK_SHARDS for span in spans)
    first_block = shard_of[: sum(sizes[s] for s in set(shard_of[:70]))]
    assert len(set(first_block[:20])) > 5  # mixed, not shard by shard


def test_fewer_than_ten_shards_are_one_block():
    order = SampleOrder("digest", 0, np.arange(100) // 50)
    assert 10 < sum(i < 50 for i in order.epoch_order(0)[:50]) < 40


def test_one_clip_repeats():
    order = SampleOrder("digest", 0, ONE)
    assert [order.clip(i) for i in range(5)] == [0] * 5


def test_no_clip_is_an_error():
    with pytest.raises(ValueError, match="at least one clip"):
        SampleOrder("digest", 0, np.empty(0, dtype=int))


def test_window_starts_are_uniform_over_all_that_fit():
    order = SampleOrder("digest", 0, ONE)
    starts = [order.window(i, 20, 5, 3).start for i in range(8000)]  # span 13: 8 starts
    counts = np.bincount(starts, minlength=8)
    assert len(counts) == 8
    assert np.abs(counts - 1000).max() < 5 * 1000**0.5


def test_a_start_is_the_high_part_of_the_samples_word_times_the_number_of_starts():
    order = SampleOrder("digest", 3, ONE)
    key = RandomKey.of("window", "digest", 3)
    for sample in (0, 5, 2, 10**12, 5):
        word = int(key.draw(sample, 1)[0])
        assert order.window(sample, 64, 16, 2).start == word * 34 >> 64


def test_a_window_as_long_as_the_clip_starts_at_zero_and_a_longer_one_is_refused():
    order = SampleOrder("digest", 0, ONE)
    assert order.window(9, 16, 16, 1) == (0, 1)
    with pytest.raises(ValueError, match="does not fit in 15"):
        order.window(9, 15, 16, 1)


@pytest.mark.parametrize(("batch", "world"), [(8, 1), (8, 2), (7, 3), (10, 4), (3, 3)])
def test_shares_partition_the_step_and_differ_by_at_most_one(batch, world):
    shares = [Share(batch, world, rank) for rank in range(world)]
    bounds = [(share.start, share.end) for share in shares]
    assert [i for start, end in bounds for i in range(start, end)] == list(range(batch))
    sizes = [end - start for start, end in bounds]
    assert max(sizes) - min(sizes) <= 1


def test_keys_of_different_parts_differ():
    assert RandomKey.of("a", "bc") != RandomKey.of("ab", "c")
    key = RandomKey.of("a", 1)
    assert not set(key.draw(0, 9)) & set(key.draw(1, 9))
