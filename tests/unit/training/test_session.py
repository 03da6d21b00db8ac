"""What the session makes of checkpoints: which are kept, which one a run goes on from."""

from dataclasses import replace

import pytest
import torch
from tiny_training import CONFIG, IDENTITY, Listener, TinyStep, run, session_of

from videogen.errors import ConfigError, LeaseHeldError
from videogen.runs.pointer import Committed, committed_checkpoints, take_pointer
from videogen.storage.local import LocalStore


def test_a_run_that_was_stopped_goes_on_with_state_noise_and_data_as_if_it_had_not_been(tmp_path):
    *_, undisturbed, _ = run(tmp_path / "whole")
    assert run(tmp_path / "halves", stop_after=3)[:2] == (0, 42)
    before, after, resumed, _ = run(tmp_path / "halves")
    assert (before, after) == (42, 84)
    assert torch.equal(resumed.weight, undisturbed.weight)
    assert torch.equal(resumed.ema, undisturbed.ema)
    assert resumed.updates == undisturbed.updates == 12


def test_only_the_newest_checkpoints_are_kept_and_the_last_is_the_end(tmp_path):
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    kept = committed_checkpoints(store, "tiny")
    assert [one.clips_seen for one in kept] == [63, 84]
    found = {info.key.rsplit("/", 1)[0] for info in store.list("runs/tiny/checkpoints/")}
    assert found == {one.prefix for one in kept} | {f"{one.prefix}/generator" for one in kept}


@pytest.mark.parametrize(
    "name",
    ["state.safetensors", "rng.safetensors", "state.json", "generator/generator.safetensors"],
)
@pytest.mark.parametrize("damage", ["flip", "truncate", "gone"])
def test_a_checkpoint_with_any_file_damaged_is_passed_over_with_one_warning(tmp_path, name, damage):
    run(tmp_path)
    newest = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")[-1]
    path = tmp_path / "store" / newest.prefix / name
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "truncate":
            path.write_bytes(data[:-1])
        case "gone":
            path.unlink()
    _goes_on_from_the_one_before(tmp_path, path.name)


@pytest.mark.parametrize("damage", ["other", "gone"])
def test_a_checkpoint_without_its_own_manifest_is_passed_over_with_one_warning(tmp_path, damage):
    run(tmp_path)
    newest = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")[-1]
    path = tmp_path / "store" / newest.prefix / "MANIFEST.json"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 0'))
    _goes_on_from_the_one_before(tmp_path, path.name)


def _goes_on_from_the_one_before(root, damaged):
    newest = committed_checkpoints(LocalStore(root / "store"), "tiny")[-1]
    before, after, _, events = run(root)
    assert (before, after) == (63, 84)
    (message,) = [event.message for event in events if event.message]
    assert message.startswith("the checkpoint at 84 clips is passed over: ")
    assert newest.prefix in message
    assert damaged in message


def test_where_none_verifies_training_starts_anew_and_says_so(tmp_path):
    run(tmp_path)
    for one in committed_checkpoints(LocalStore(tmp_path / "store"), "tiny"):
        (tmp_path / "store" / one.prefix / "MANIFEST.json").unlink()
    before, after, _, events = run(tmp_path)
    assert (before, after) == (0, 84)
    messages = [event.message for event in events if event.message]
    assert all("MANIFEST.json" in message for message in messages[:-1])
    assert "starts anew" in messages[-1]
    assert run(tmp_path)[0] == 84


def test_a_crash_before_the_manifest_leaves_nothing_that_counts(tmp_path):
    class CrashError(Exception):
        pass

    class FailingStore(LocalStore):
        def put(self, key, data):
            if key.endswith("MANIFEST.json"):
                raise CrashError
            return super().put(key, data)

    store = FailingStore(tmp_path / "store")
    session = session_of(tmp_path, store=store)
    session.hooks.checkpoint(21)
    with pytest.raises(CrashError):
        session.close()
    assert list(store.list("runs/tiny/checkpoints/"))
    assert committed_checkpoints(store, "tiny") == ()
    assert run(tmp_path)[0] == 0


def test_checkpoints_of_an_earlier_run_are_gone_on_from_but_ignored_ones_are_not(tmp_path):
    run(tmp_path, stop_after=3)
    earlier = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")
    other = replace(IDENTITY, run_id="other", earlier=tuple(reversed(earlier)))
    assert run(tmp_path, other)[:2] == (42, 84)
    forced = replace(IDENTITY, ignored=frozenset(one.prefix for one in earlier))
    assert run(tmp_path, forced)[0] == 0


def test_the_end_of_an_earlier_run_is_taken_over_as_a_checkpoint_of_this_one(tmp_path):
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    earlier = tuple(reversed(committed_checkpoints(store, "tiny")))
    other = replace(IDENTITY, run_id="other", earlier=earlier)
    assert run(tmp_path, other)[:2] == (84, 84)
    (taken,) = committed_checkpoints(store, "other")
    assert taken.clips_seen == 84


def test_another_config_is_refused_and_the_key_named(tmp_path):
    run(tmp_path)
    document = {"train": {"learning_rate": {"start": 0.2}, "seed": 0}, "snapshot": "abc"}
    with pytest.raises(ConfigError, match=r"train\.learning_rate\.start is 0\.2.*with 0\.1"):
        run(tmp_path, replace(IDENTITY, document=document))


def test_what_is_committed_after_a_fall_back_takes_the_place_of_what_came_later(tmp_path):
    run(tmp_path)
    for one in committed_checkpoints(LocalStore(tmp_path / "store"), "tiny"):
        (tmp_path / "store" / one.prefix / "MANIFEST.json").unlink()
    assert run(tmp_path, stop_after=5)[:2] == (0, 28)  # after three warnings
    assert run(tmp_path)[:2] == (28, 84)


def test_samples_and_progress_are_told_with_clips_seen(tmp_path):
    *_, events = run(tmp_path)
    assert [event.done for event in events] == [14, 28, 42, 56, 70, 84]
    assert events[0].total == 84
    assert events[0].unit == "clips"
    timings = {"clips_per_s", "data_wait_fraction", "checkpoint_stall_fraction"}
    assert set(events[0].values) == {"loss", "score"} | timings
    keys = {info.key for info in LocalStore(tmp_path / "store").list("runs/tiny/samples/")}
    names = ("sheet.png", "preview.gif", "preview.mp4")
    assert keys == {
        f"runs/tiny/samples/{clips:012d}/{name}" for clips in (42, 84) for name in names
    }


def test_a_worker_of_an_owner_that_lost_its_lease_commits_nothing(tmp_path):
    session = session_of(tmp_path)
    take_pointer(session.store, IDENTITY.run_id, "theirs")
    session.hooks.checkpoint(21)
    with pytest.raises(LeaseHeldError, match="another owner"):
        session.close()
    assert committed_checkpoints(session.store, IDENTITY.run_id) == ()


def test_committed_names_are_never_used_twice(tmp_path):
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    first = committed_checkpoints(store, "tiny")[-1]
    run(tmp_path, replace(IDENTITY, ignored=frozenset([first.prefix])))
    again = [one for one in committed_checkpoints(store, "tiny") if one.clips_seen == 84]
    assert all(isinstance(one, Committed) for one in again)
    assert again[-1].prefix != first.prefix


def test_the_checkpoint_with_the_lowest_score_is_kept_beside_the_newest(tmp_path):
    """Scores are distances from 30 clips; what is reported at 42 clips is the lowest."""
    run(tmp_path, replace(IDENTITY, best_metric="score"))
    kept = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")
    assert [one.clips_seen for one in kept] == [42, 63, 84]
    assert kept[0].score == min(one.score for one in kept) == 3.5


def test_a_run_that_was_told_to_start_anew_keeps_nothing_of_what_it_was_not_even_the_best(tmp_path):
    scored = replace(IDENTITY, best_metric="score")
    run(tmp_path, scored)
    store = LocalStore(tmp_path / "store")
    before = {one.prefix for one in committed_checkpoints(store, "tiny")}
    later = CONFIG.model_copy(update={"checkpoint_interval_clips": 84})
    run(tmp_path, replace(scored, ignored=frozenset(before)), config=later)
    (kept,) = committed_checkpoints(store, "tiny")
    assert kept.prefix not in before


def test_a_best_metric_that_is_never_reported_is_one_error_that_names_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match=r"best_metric is 'fvd'.*clips_per_s.*loss.*score"):
        run(tmp_path, replace(IDENTITY, best_metric="fvd"))


def test_a_run_that_its_hours_ended_goes_on_to_the_very_end_of_one_without_a_limit(tmp_path):
    *_, undisturbed, _ = run(tmp_path / "whole")
    short = CONFIG.model_copy(update={"max_hours": 1e-9})
    stops = [run(tmp_path / "parts", config=short)[1] for _ in range(3)]
    before, after, resumed, _ = run(tmp_path / "parts")
    assert (stops, before, after) == ([14, 28, 42], 42, 84)
    assert torch.equal(resumed.weight, undisturbed.weight)


def test_a_line_for_people_is_told_once(tmp_path):
    listener = Listener()
    session = session_of(tmp_path, step=TinyStep(), channel=listener)
    session.say("what was decided")
    assert [event.message for event in listener.events] == ["what was decided"]
