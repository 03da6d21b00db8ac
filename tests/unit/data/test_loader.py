"""Batches: whose, in which order, in what range, and what becomes of the threads."""

import threading
import time
from itertools import islice

import numpy as np
import pytest
import torch
from packed_dataset import Dataset, WatchedStore, steps

from videogen.data.loading.loader import Loader, to_unit_range
from videogen.data.loading.order import Share
from videogen.errors import StorageError
from videogen.storage.local import LocalStore

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_batches_are_the_samples_of_the_steps_in_order(tmp_path, threads, memory_bytes):
    dataset = Dataset(tmp_path)
    windows = dataset.windows(memory_bytes=memory_bytes)
    for step, batch in enumerate(steps(windows, Share(5), 8, threads=threads)):
        samples = [dataset.expected(5 * step + i) for i in range(5)]
        assert torch.equal(batch.frames, to_unit_range(torch.from_numpy(np.stack(samples))))


def test_ranks_share_a_step_and_any_number_of_them_sees_the_same_clips(tmp_path):
    windows = Dataset(tmp_path).windows()
    alone = steps(windows, Share(5), 6)
    shared = [steps(windows, Share(5, 2, rank), 6) for rank in range(2)]
    assert [len(batch.frames) for batch in shared[0]] == [3] * 6
    for whole, first, second in zip(alone, *shared, strict=True):
        assert torch.equal(whole.frames, torch.cat([first.frames, second.frames]))


def test_a_resumed_loader_goes_on_where_the_other_stopped(tmp_path):
    windows = Dataset(tmp_path).windows()
    whole = steps(windows, Share(4), 7)
    resumed = steps(windows, Share(4), 4, clips_seen=3 * 4)
    for one, other in zip(whole[3:], resumed, strict=True):
        assert torch.equal(one.frames, other.frames)


def test_frames_are_in_the_unit_range_channels_first_with_times_in_frames(tmp_path):
    dataset = Dataset(tmp_path)
    (batch,) = steps(dataset.windows(stride=2), Share(3), 1)
    assert batch.frames.shape == (3, 8, 3, 16, 16)
    expected = dataset.expected(0, stride=2).transpose(0, 3, 1, 2) / 127.5 - 1
    assert torch.allclose(batch.frames[0], torch.from_numpy(expected).float(), atol=1e-6)
    assert batch.times.tolist() == [[0, 2, 4, 6, 8, 10, 12, 14]] * 3
    ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2, 1)
    assert to_unit_range(ends).flatten().tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("lengths", "batch", "warned"),
    [((16, 20), 7, "3.5 times"), ((16,), 8, "8.0 times"), ((16, 20), 2, "")],
)
def test_fewer_clips_than_a_batch_repeat_epoch_by_epoch_with_one_warning(
    tmp_path, lengths, batch, warned
):
    dataset = Dataset(tmp_path, lengths=lengths, held_out=())
    first, second = steps(dataset.windows(), Share(batch), 2)
    samples = np.stack([dataset.expected(i) for i in range(2 * batch)])
    expected = to_unit_range(torch.from_numpy(samples))
    assert torch.equal(torch.cat([first.frames, second.frames]), expected)
    assert len(dataset.warnings) == bool(warned)
    assert all(warned in warning for warning in dataset.warnings)


class FailingStore(LocalStore):
    """Loses one clip."""

    def __init__(self, root):
        super().__init__(root)
        self.lost = None

    def get_range(self, key, offset, length):
        if (key, offset) == self.lost:
            raise StorageError(f"cannot reach {key}")
        return super().get_range(key, offset, length)


def test_an_error_is_raised_at_the_batch_that_needs_the_clip_and_not_before(tmp_path):
    dataset = Dataset(tmp_path, store=FailingStore(tmp_path / "store"))
    windows = dataset.windows(cache_bytes=0)
    shown = [windows._order.clip(sample) for sample in range(11)]
    place = windows._clips.place(shown[7])  # the second clip of step 3
    dataset.store.lost = (f"datasets/d/shards/{place.shard}.tar", place.offset)
    with Loader(windows, Share(2), CPU) as loader:
        assert len(list(islice(loader, 3))) == 3
        with pytest.raises(StorageError, match="cannot reach"):
            next(loader)


@pytest.mark.parametrize("num", [0, 1, 3])
def test_no_thread_is_left_behind(tmp_path, num):
    dataset = Dataset(tmp_path)
    before = set(threading.enumerate())
    steps(dataset.windows(memory_bytes=0), Share(4), num, threads=3)
    assert set(threading.enumerate()) <= before


class SlowStore(LocalStore):
    """Takes its time for a clip, as a client does that asks a dead server again and again."""

    def get_range(self, key, offset, length):
        time.sleep(0.3)
        return super().get_range(key, offset, length)


def test_leaving_waits_for_requests_under_way_but_begins_none(tmp_path):
    dataset = Dataset(tmp_path, lengths=(16,) * 60, held_out=(), store=SlowStore(tmp_path / "s"))
    windows = dataset.windows(memory_bytes=0)
    before = set(threading.enumerate())
    began = time.monotonic()
    with Loader(windows, Share(20), CPU, threads=2):
        time.sleep(0.1)
        assert len(set(threading.enumerate()) - before) > 8
    assert set(threading.enumerate()) <= before
    assert time.monotonic() - began < 3  # 60 clips and 3 shards of 10 s would be on their way


def test_the_first_batch_does_not_wait_for_a_shard(tmp_path):
    dataset = Dataset(tmp_path, store=WatchedStore(tmp_path / "store"))
    windows = dataset.windows(memory_bytes=0)
    dataset.store.gate.clear()
    try:
        with Loader(windows, Share(4), CPU) as loader:
            batch = next(loader)
            assert not dataset.copies
            dataset.store.gate.set()
        expected = np.stack([dataset.expected(i) for i in range(4)])
        assert torch.equal(batch.frames, to_unit_range(torch.from_numpy(expected)))
    finally:
        dataset.store.gate.set()


def test_batches_ahead_are_bounded_in_bytes(tmp_path):
    windows = Dataset(tmp_path).windows(num_frames=16)
    with Loader(windows, Share(2), CPU) as small:
        assert len(small._ahead) == 8
    with Loader(windows, Share(4_000), CPU) as large:  # of 197 MB each
        assert len(large._ahead) == 2


def test_the_loader_says_with_how_many_threads_it_reads(tmp_path):
    loader = Loader(Dataset(tmp_path).windows(), Share(2), CPU, threads=3)
    assert loader.describe() == "11 clips of d, kept decoded in memory, 3 threads ahead of the step"


def test_memory_of_a_batch_is_used_again_only_once_no_view_of_it_is_left(tmp_path):
    windows = Dataset(tmp_path).windows()
    with Loader(windows, Share(2), CPU) as loader:
        kept = [next(loader).frames[1, 2:4] for _ in range(20)]  # views of views
        copies = [view.clone() for view in kept]
        for _ in range(40):
            next(loader)
        assert all(torch.equal(view, copy) for view, copy in zip(kept, copies, strict=True))
        num = len(loader._buffers._arrays)
        assert 20 < num < 40
        del kept
        for _ in range(40):
            next(loader)
        assert len(loader._buffers._arrays) == num
