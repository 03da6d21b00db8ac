import numpy as np
import pytest

from videogen.data.loading.order import BLOCK_SHARDS, RandomKey, SampleOrder, Share

SHARDS = [f"shard{i // 7:03d}" for i in range(7 * 34 + 3)]


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
    order = SampleOrder("digest", 0, ["a"] * 4 + ["b"] * 4)
    assert [order.clip(i) for i in range(16)] == [0, 3, 2, 4, 1, 7, 6, 5, 2, 5, 4, 6, 1, 7, 3, 0]
    assert [order.window(i, 64, 16, 1).start for i in range(6)] == [26, 39, 25, 48, 12, 29]


def test_sample_i_is_position_i_mod_n_of_epoch_i_div_n_in_any_order_of_asking():
    order = SampleOrder("digest", 0, SHARDS)
    n = len(order)
    samples = [2 * n + 3, 0, n - 1, n, 2 * n + 4, 7]
    expected = [order.epoch_order(i // n)[i % n] for i in samples]
    assert [order.clip(i) for i in samples] == expected


def test_clips_are_shuffled_within_blocks_of_at_least_ten_shards():
    order = SampleOrder("digest", 0, SHARDS)
    shard_of = np.array([int(name[5:]) for name in SHARDS])[order.epoch_order(0)]
    num_shards = len(set(SHARDS))
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
    order = SampleOrder("digest", 0, ["a"] * 50 + ["b"] * 50)
    assert 10 < sum(i < 50 for i in order.epoch_order(0)[:50]) < 40


def test_one_clip_repeats():
    order = SampleOrder("digest", 0, ["only"])
    assert [order.clip(i) for i in range(5)] == [0] * 5


def test_no_clip_is_an_error():
    with pytest.raises(ValueError, match="at least one clip"):
        SampleOrder("digest", 0, [])


def test_window_starts_are_uniform_over_all_that_fit():
    order = SampleOrder("digest", 0, ["only"])
    starts = [order.window(i, 20, 5, 3).start for i in range(8000)]  # span 13: 8 starts
    counts = np.bincount(starts, minlength=8)
    assert len(counts) == 8
    assert np.abs(counts - 1000).max() < 5 * 1000**0.5


def test_a_window_as_long_as_the_clip_starts_at_zero_and_a_longer_one_is_refused():
    order = SampleOrder("digest", 0, ["only"])
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
