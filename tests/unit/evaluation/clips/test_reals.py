import hashlib

import pytest

from videogen.config.evaluate import EvaluateConfig
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.errors import EvaluationError
from videogen.evaluation.clips.reals import choose_reals as choose_from_table
from videogen.evaluation.clips.reals import choose_training, in_order


def row(index, frames=40):
    digest = hashlib.sha256(str(index).encode()).hexdigest()
    return ClipRow(
        clip_id=digest, source=f"{index}.mp4", source_sha256=digest, start_s=0, end_s=5,
        shard=digest, offset=0, length=1, sha256=digest, frames=frames, fps=8, height=32, width=32,
        codec="raw", colour="bt601", split="train",
    )  # fmt: skip


ROWS = [row(index) for index in range(50)]


def config(**changes):
    return EvaluateConfig(num_clips=20, num_frames=16, **changes)


def choose_reals(rows, config):
    return choose_from_table(in_order(table_of(rows), config.seed), config)


def test_the_two_sets_are_disjoint_and_of_the_size_asked_for():
    reals = choose_reals(ROWS, config())
    ids = [clip.row.clip_id for clip in (*reals.a, *reals.b)]
    assert len(reals.a) == len(reals.b) == 20
    assert len(set(ids)) == 40
    assert reals.disjoint
    assert reals.notes == ()


def test_windows_lie_within_their_clips_and_differ():
    reals = choose_reals(ROWS, config(frame_stride=2))
    starts = {clip.start for clip in (*reals.a, *reals.b)}
    assert min(starts) >= 0
    assert max(starts) + 15 * 2 < 40
    assert len(starts) > 4


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_rows():
    assert choose_reals(ROWS, config()) == choose_reals(ROWS[::-1], config())
    assert choose_reals(ROWS, config()).a != choose_reals(ROWS, config(seed=1)).a


def test_windows_of_clips_stay_when_the_dataset_grows():
    before = {clip.row.clip_id: clip for clip in choose_reals(ROWS[:45], config()).a}
    after = {clip.row.clip_id: clip for clip in choose_reals(ROWS, config()).a}
    shared = before.keys() & after.keys()
    assert len(shared) >= 15
    assert all(before[name] == after[name] for name in shared)


def test_without_twice_the_clips_the_sets_overlap_as_little_as_they_can_and_notes_say_so():
    reals = choose_reals(ROWS[:30], config())
    a, b = ({clip.row.clip_id for clip in side} for side in (reals.a, reals.b))
    assert len(a & b) == 10
    assert not reals.disjoint
    assert any("no floor" in note and "there are 30" in note for note in reals.notes)


def test_with_fewer_clips_than_asked_for_every_set_has_what_there_is():
    reals = choose_reals(ROWS[:7], config())
    assert len(reals.a) == len(reals.b) == 7
    assert any("20 clips were asked for" in note and "has 7" in note for note in reals.notes)


def test_clips_shorter_than_the_window_are_left_out_and_counted():
    rows = [*ROWS, row(99, frames=15), row(98, frames=16)]
    reals = choose_reals(rows, EvaluateConfig(num_clips=25, num_frames=16))
    assert any("1 of 52 clips are shorter" in note for note in reals.notes)


def test_a_split_without_enough_clips_is_refused():
    with pytest.raises(EvaluationError, match="split holdout has 1 clips"):
        choose_reals(ROWS[:1], config(split="holdout"))


def test_training_clips_begin_with_the_sets_and_have_their_windows():
    reals = choose_reals(ROWS, config())
    ordered = in_order(table_of(ROWS), 0)
    training, notes = choose_training(ordered, config(training_clips=45))
    assert training[:40] == (*reals.a, *reals.b)
    assert len(training) == 45
    assert notes == (
        "near-copies were looked for among 45 windows, one of a clip, of 50 training clips",
    )
    everything, notes = choose_training(ordered, config(training_clips=4096))
    assert len(everything) == 50
    assert notes == ()
    assert choose_training(ordered, config(training_clips=0)) == ((), ())
