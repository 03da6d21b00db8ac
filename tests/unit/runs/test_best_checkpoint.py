"""The run's pointer and its best checkpoint: lower is better, and it outlives the newest."""

import json
import math

import pytest

from videogen.errors import LeaseHeldError
from videogen.runs.pointer import (
    Committed,
    RunPointer,
    best_checkpoint,
    committed_checkpoints,
    take_pointer,
)
from videogen.storage.local import LocalStore

NAN = math.nan


def _commit(store, scores, *, metric="fvd", keep=2, first=1):
    """Commit checkpoints at 1, 2, … clips; clips seen of those that fell out."""
    take_pointer(store, "r", "t")
    pointer = RunPointer(store, "r", "t")
    return [
        one.clips_seen
        for clips, score in enumerate(scores, first)
        for one in pointer.commit(
            Committed(f"p{clips}", clips, "s", score), keep=keep, metric=metric
        )
    ]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def _listed(store):
    return [one.clips_seen for one in committed_checkpoints(store, "r")]


@pytest.mark.parametrize(
    ("scores", "best", "listed"),
    [
        ([3, 1, 2, 4, 5], 2, [2, 4, 5]),
        ([3, 2, 1], 3, [2, 3]),
        ([1, 1, 1, 1], 1, [1, 3, 4]),
        ([NAN, 7, NAN, NAN, NAN], 2, [2, 4, 5]),
        ([-math.inf, 7, 8, 9], 2, [2, 3, 4]),
        ([NAN, NAN, NAN], None, [2, 3]),
        ([None, None, 5], 3, [2, 3]),
    ],
)
def test_the_lowest_finite_score_is_best_and_kept_beside_the_newest(store, scores, best, listed):
    dropped = _commit(store, scores)
    assert _listed(store) == listed
    assert sorted(dropped + listed) == list(range(1, len(scores) + 1))
    found = best_checkpoint(store, "r")
    assert (found and found.checkpoint.clips_seen) == best
    document = json.loads(store.get("runs/r/pointer").data)
    assert document["best"] == (f"p{best}" if best else None)


def test_the_best_is_known_to_whoever_takes_the_run_over(store):
    _commit(store, [2.0, 5.0, 5.0])
    assert sorted(_commit(store, [3.0, 1.0, 9.0, 9.0], first=4)) == [1, 2, 3, 4]
    assert _listed(store) == [5, 6, 7]
    found = best_checkpoint(store, "r")
    assert (found.checkpoint.score, found.metric) == (1.0, "fvd")


def test_scores_of_another_metric_are_not_compared(store):
    _commit(store, [1.0, 50.0, 50.0])
    _commit(store, [30.0, 40.0], metric="kid", first=4)
    assert _listed(store) == [4, 5]
    assert best_checkpoint(store, "r").metric == "kid"
    _commit(store, [1.0], metric=None, first=6)
    assert best_checkpoint(store, "r") is None


def test_a_best_that_the_run_went_on_from_before_is_forgotten(store):
    _commit(store, [9.0, 8.0, 1.0])
    _commit(store, [7.0], first=2)
    assert _listed(store) == [2]
    assert best_checkpoint(store, "r").checkpoint == Committed("p2", 2, "s", 7.0)


def test_documents_of_before_there_was_a_best_are_read(store):
    old = {"prefix": "p1", "clips_seen": 1, "manifest_sha256": "s"}
    document = {"format_version": 1, "token": "t", "checkpoints": [old]}
    store.put("runs/r/pointer", json.dumps(document).encode())
    assert committed_checkpoints(store, "r") == (Committed("p1", 1, "s"),)
    assert best_checkpoint(store, "r") is None
    assert _commit(store, [4.0, 5.0], first=2) == [1]
    assert best_checkpoint(store, "r").checkpoint.clips_seen == 2


def test_a_score_that_is_found_out_later_decides_and_what_waits_for_one_is_held(store):
    take_pointer(store, "r", "t")
    pointer = RunPointer(store, "r", "t")
    for clips in range(1, 5):
        held = frozenset({"p1", "p2"})
        pointer.commit(Committed(f"p{clips}", clips, "s"), keep=1, metric="fvd", held=held)
    assert _listed(store) == [1, 2, 4]
    assert [one.clips_seen for one in pointer.settle("p1", 9.0, keep=1, held={"p2"})] == []
    assert best_checkpoint(store, "r").checkpoint.clips_seen == 1
    assert [one.clips_seen for one in pointer.settle("p2", 8.0, keep=1)] == [1]
    assert _listed(store) == [2, 4]
    best = best_checkpoint(store, "r")
    assert (best.checkpoint.clips_seen, best.checkpoint.score, best.metric) == (2, 8.0, "fvd")


@pytest.mark.parametrize("score", [NAN, None])
def test_one_that_was_held_in_vain_falls_out(store, score):
    take_pointer(store, "r", "t")
    pointer = RunPointer(store, "r", "t")
    for clips in (1, 2):
        held = frozenset({"p1"})
        pointer.commit(Committed(f"p{clips}", clips, "s"), keep=1, metric="fvd", held=held)
    assert [one.clips_seen for one in pointer.settle("p1", score, keep=1)] == [1]
    assert pointer.settle("gone", 1.0, keep=1) == ()
    assert _listed(store) == [2]
    assert best_checkpoint(store, "r") is None


def test_an_owner_that_lost_the_run_gives_no_score(store):
    _commit(store, [None, None])
    pointer = RunPointer(store, "r", "t")
    take_pointer(store, "r", "theirs")
    with pytest.raises(LeaseHeldError):
        pointer.settle("p1", 1.0, keep=2)
    assert best_checkpoint(store, "r") is None
