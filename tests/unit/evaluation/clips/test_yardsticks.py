import numpy as np

from videogen.evaluation.clips.yardsticks import spoil

CLIPS = np.random.default_rng(0).integers(0, 256, (4, 16, 8, 8, 3)).astype(np.uint8)


def test_shuffled_has_the_same_frames_in_another_order_for_each_clip():
    shuffled = spoil(CLIPS, "shuffled", 0)
    orders = []
    for before, after in zip(CLIPS, shuffled, strict=True):
        order = [next(i for i in range(16) if (before[i] == frame).all()) for frame in after]
        assert sorted(order) == list(range(16))
        assert order != sorted(order)
        orders.append(tuple(order))
    assert len(set(orders)) == 4


def test_shuffling_a_clip_does_not_depend_on_the_batch_that_it_is_in():
    whole = spoil(CLIPS, "shuffled", 3)
    parts = [spoil(CLIPS[:3], "shuffled", 3), spoil(CLIPS[3:], "shuffled", 3, first=3)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert (whole != spoil(CLIPS, "shuffled", 4)).any()


def test_frozen_repeats_the_first_frame():
    frozen = spoil(CLIPS, "frozen", 0)
    assert frozen.shape == CLIPS.shape
    assert (frozen == CLIPS[:, :1]).all()


def test_blank_is_each_clips_own_mean_colour():
    clips = np.zeros((2, 9, 2, 2, 3), np.uint8)
    clips[0, :, 0] = (100, 50, 0)
    clips[1] = (7, 8, 9)
    blank = spoil(clips, "blank", 0)
    assert (blank[0] == (50, 25, 0)).all()
    assert (blank[1] == (7, 8, 9)).all()
    assert blank.dtype == np.uint8


def test_the_floor_is_the_clips_themselves():
    np.testing.assert_array_equal(spoil(CLIPS, "floor", 0), CLIPS)
