"""The stage against a real directory store, with workers that run in this process."""

import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from ingest_place import Here, config_for, objects, run

from videogen.data.shards.tar_shard import read_clip, shard_key
from videogen.data.snapshots.snapshot import head, load_snapshot
from videogen.data.video.synthetic import sample_clip, write_samples
from videogen.data.video.writer import write_video
from videogen.errors import CorruptObjectError, DatasetError, SourceError
from videogen.ingest.stage import current_dataset, ingest, plan, target_of
from videogen.ingest.worker.tasks import ConvertTask, Fresh, HashTask
from videogen.progress import ProgressEvent, silent
from videogen.storage.local import LocalStore


def test_videos_become_clips_that_can_be_read_back(store: LocalStore, videos: Path) -> None:
    events: list[ProgressEvent] = []
    answer = ingest(config_for(store, videos), store, Here(), events.append)
    assert (answer.sources, answer.clips, answer.frames) == (8, 16, 8 * 40)
    assert (answer.height, answer.width, answer.fps, answer.new_sources) == (32, 32, 8.0, 8)
    assert (events[-1].done, events[-1].total, events[-1].unit) == (8, 8, "videos")
    assert events[-1].values["frames/s"] > 0
    snapshot = load_snapshot(store, "d", answer.snapshot)
    for clip in snapshot.rows():
        seed = int(clip.source.rpartition("-")[2].removesuffix(".mp4"))
        first = round(clip.start_s * 8)
        expected = sample_clip(seed, 40, 48)[first : first + clip.frames].astype(int)
        small = read_clip(store, "d", clip).astype(int)
        assert small.shape == (clip.frames, 32, 32, 3)
        assert np.abs(small.mean(axis=(1, 2)) - expected.mean(axis=(1, 2))).max() < 3
    by_source = {(clip.source_sha256, clip.split) for clip in snapshot.rows()}
    assert len(by_source) == 8, "all clips of a source are in one split"
    assert current_dataset(config_for(store, videos), store).snapshot == answer.snapshot


def test_the_second_time_nothing_is_written_and_no_worker_is_used(
    store: LocalStore, videos: Path
) -> None:
    (videos / "bad.mp4").write_bytes(b"no video")
    first = run(store, videos)
    before = objects(store)
    workers = Here()
    again = run(store, videos, workers=workers)
    assert again.snapshot == first.snapshot
    assert again.quarantined == first.quarantined
    assert (again.new_sources, again.skipped) == (0, 9)
    assert workers.calls == 0
    assert objects(store) == before


def test_the_snapshot_depends_neither_on_scheduling_nor_on_where_the_videos_lie(
    tmp_path: Path, videos: Path
) -> None:
    moved = shutil.copytree(videos, tmp_path / "elsewhere")
    for number, path in enumerate(sorted(moved.iterdir(), reverse=True)):
        path.rename(moved / f"{number}.mp4")
    stores = [LocalStore(tmp_path / name) for name in "abc"]
    answers = [
        run(stores[0], videos),
        run(stores[1], videos, workers=Here(backwards=True)),
        run(stores[2], moved),
    ]
    assert len({answer.snapshot for answer in answers}) == 1
    shards = [{info.key for info in one.list("datasets/d/shards/")} for one in stores]
    assert shards[0] == shards[1] == shards[2]


def test_new_videos_are_added_and_old_ones_stay_in_their_split(
    store: LocalStore, videos: Path
) -> None:
    first = run(store, videos)
    splits = {clip.clip_id: clip.split for clip in load_snapshot(store, "d", first.snapshot).rows()}
    before = objects(store)
    write_samples(videos, 2, 100, silent, size=48, num_frames=40)
    second = run(store, videos)
    assert (second.sources, second.new_sources, second.clips) == (10, 2, 20)
    rows = load_snapshot(store, "d", second.snapshot).rows()
    assert splits.items() <= {clip.clip_id: clip.split for clip in rows}.items()
    after = objects(store)
    changed = {key for key in before if before[key] != after.get(key)}
    assert {key.split("/")[2] for key in changed} == {"HEAD", "ledgers"}


def test_the_same_content_counts_once(store: LocalStore, videos: Path) -> None:
    shutil.copy(videos / "sample-00000.mp4", videos / "copy.mp4")
    first = run(store, videos)
    assert (first.sources, first.clips, first.new_sources) == (8, 16, 9)
    shutil.copy(videos / "sample-00001.mp4", videos / "another.mp4")
    second = run(store, videos)
    assert (second.snapshot, second.new_sources) == (first.snapshot, 1)
    before = objects(store)
    assert run(store, videos).new_sources == 0
    assert objects(store) == before


def test_a_source_that_is_gone_keeps_its_clips(store: LocalStore, videos: Path) -> None:
    first = run(store, videos)
    (videos / "sample-00000.mp4").unlink()
    assert run(store, videos).snapshot == first.snapshot


def test_a_changed_config_is_another_lineage_and_the_old_one_is_found_again(
    store: LocalStore, videos: Path
) -> None:
    first = run(store, videos)
    other = run(store, videos, fps=4.0)
    assert other.snapshot != first.snapshot
    rows = load_snapshot(store, "d", other.snapshot).rows()
    assert {clip.fps for clip in rows} == {4.0}
    workers = Here()
    assert run(store, videos, workers=workers).snapshot == first.snapshot
    assert workers.calls == 0
    now = head(store, "d")
    assert now is not None
    assert now.snapshot == first.snapshot


def test_force_decodes_again_and_starts_anew(store: LocalStore, videos: Path) -> None:
    first = run(store, videos)
    before = objects(store)
    config = config_for(store, videos)
    again = ingest(config, store, Here(), silent, force=True)
    assert (again.snapshot, again.new_sources) == (first.snapshot, 8)
    assert {key: etag for key, (etag, _) in objects(store).items()} == {
        key: etag for key, (etag, _) in before.items()
    }
    (videos / "sample-00000.mp4").unlink()
    assert ingest(config, store, Here(), silent, force=True).sources == 7


def test_force_mends_a_damaged_shard(store: LocalStore, videos: Path) -> None:
    first = run(store, videos)
    clip, *_ = load_snapshot(store, "d", first.snapshot).rows()
    shard = Path(store.root) / shard_key("d", clip.shard)
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(CorruptObjectError, match="--force"):
        read_clip(store, "d", clip)
    ingest(config_for(store, videos), store, Here(), silent, force=True)
    assert len(read_clip(store, "d", clip)) == clip.frames


@pytest.mark.parametrize("which", ["HEAD", "snapshots", "parts"])
def test_without_head_the_next_ingest_makes_it_and_what_is_damaged_anew_from_the_records(
    store: LocalStore, videos: Path, which: str
) -> None:
    first = run(store, videos)
    (damaged,) = (info.key for info in store.list(f"datasets/d/{which}"))
    store.put(damaged, b"{")
    with pytest.raises(CorruptObjectError, match="delete datasets/d/HEAD and ingest again"):
        run(store, videos)
    store.delete("datasets/d/HEAD")
    workers = Here()
    assert run(store, videos, workers=workers).snapshot == first.snapshot
    assert workers.calls == 0
    assert load_snapshot(store, "d", first.snapshot).document.clips == 16


def test_a_task_is_named_by_its_sources(videos: Path, store: LocalStore) -> None:
    planned = plan(config_for(store, videos), store)
    task = HashTask(target_of(config_for(store, videos), store, planned), planned.new)
    assert repr(task) == f"{videos / 'sample-00000.mp4'} and 7 more"
    group = ConvertTask(task.target, tuple(Fresh(one) for one in planned.new[:1]))
    assert repr(group) == str(videos / "sample-00000.mp4")


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_an_interrupted_ingest_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, samples: Path, stop_after: int
) -> None:
    whole, broken = LocalStore(tmp_path / "whole"), LocalStore(tmp_path / "broken")
    expected = run(whole, samples)
    with pytest.raises(KeyboardInterrupt):
        run(broken, samples, workers=Here(stop_after=stop_after))
    assert head(broken, "d") is None, "nothing half-done is visible"
    assert len(plan(config_for(broken, samples), broken).pending) == stop_after
    workers = Here()
    again = run(broken, samples, workers=workers)
    assert again.snapshot == expected.snapshot
    assert again.new_sources == len(workers.converted) == 8 - stop_after


def spoil(videos: Path) -> dict[str, str]:
    """Add a file of each bad kind; reasons by name."""
    write_video(videos / "short.mp4", sample_clip(50, 15), 8.0)
    write_video(videos / "one frame.mp4", sample_clip(51, 1), 8.0)
    write_video(videos / "cut;.mp4", sample_clip(52, 64), 8.0)
    data = (videos / "cut;.mp4").read_bytes()
    (videos / "cut;.mp4").write_bytes(data[: len(data) * 2 // 3])
    (videos / "zero.mp4").touch()
    (videos / "new\nline.mp4").write_bytes(b"\x00" * 5000)
    (videos / "dangling.mp4").symlink_to("nowhere")
    (videos / "loop.mp4").symlink_to("loop.mp4")
    with av.open(str(videos / "звук.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {
        "short.mp4": "too short",
        "one frame.mp4": "too short",
        "cut;.mp4": "truncated",
        "zero.mp4": "zero-byte",
        "new\\nline.mp4": "corrupt",
        "dangling.mp4": "vanished",
        "loop.mp4": "unreadable",
        "звук.mp4": "no video stream",
    }


def test_what_cannot_be_used_is_quarantined_with_its_reason_and_the_rest_goes_on(
    tmp_path: Path, store: LocalStore, videos: Path
) -> None:
    clean = run(LocalStore(tmp_path / "clean"), videos)
    reasons = spoil(videos)
    answer = run(store, videos)
    found = {one["source"].rpartition("/")[2]: one["reason"] for one in answer.quarantined}
    assert found == reasons
    assert all(one["detail"] and one["source"].isprintable() for one in answer.quarantined)
    assert (answer.sources, answer.clips) == (8, 16)
    ids = {clip.clip_id for clip in load_snapshot(store, "d", answer.snapshot).rows()}
    clean_store = LocalStore(tmp_path / "clean")
    assert ids == {c.clip_id for c in load_snapshot(clean_store, "d", clean.snapshot).rows()}
    before, workers = objects(store), Here()
    assert run(store, videos, workers=workers).quarantined == answer.quarantined
    assert (workers.calls, objects(store)) == (0, before)


def test_a_source_that_was_mended_is_taken(store: LocalStore, videos: Path) -> None:
    (videos / "later.mp4").symlink_to(videos.parent / "later.mp4")
    (videos / "cut.mp4").write_bytes(b"x" * 5000)
    assert len(run(store, videos).quarantined) == 2
    write_video(videos.parent / "later.mp4", sample_clip(60, 40), 8.0)
    write_video(videos / "cut.mp4", sample_clip(61, 40), 8.0)
    answer = run(store, videos)
    assert (answer.quarantined, answer.sources, answer.new_sources) == ((), 10, 2)


def test_too_much_in_quarantine_fails_the_stage_after_the_good_ones(
    store: LocalStore, videos: Path
) -> None:
    spoil(videos)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"8 of 16 .*2 too short.*max_quarantined_fraction"):
            run(store, videos, max_quarantined_fraction=0.4)
    assert current_dataset(config_for(store, videos), store).clips == 16


def test_no_clip_at_all_is_an_error_that_names_a_source(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"x" * 100)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"has no clip: 1 of 1 .*bad\.mp4: corrupt"):
            run(store, tmp_path / "bad.mp4", max_quarantined_fraction=1.0)
    assert head(store, "d") is None
    with pytest.raises(DatasetError, match="run `videogen ingest`"):
        current_dataset(config_for(store, tmp_path / "bad.mp4"), store)


def test_a_missing_source_is_named_and_nothing_is_written(
    store: LocalStore, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        run(store, tmp_path / "nowhere")
    assert list(store.list("")) == []


def test_shards_keep_below_the_size_asked_for(store: LocalStore, videos: Path) -> None:
    answer = run(store, videos, shard_size_bytes=1 << 17)
    sizes = [info.size_bytes for info in store.list("datasets/d/shards/")]
    assert len(sizes) == 16
    assert max(sizes) <= 1 << 17
    for clip in load_snapshot(store, "d", answer.snapshot).rows():
        read_clip(store, "d", clip)


def test_a_plan_says_what_is_new_and_changes_nothing(store: LocalStore, videos: Path) -> None:
    config = config_for(store, videos)
    before = plan(config, store)
    assert (len(before.new), before.is_done, before.snapshot) == (8, False, None)
    assert before.new_bytes == sum(path.stat().st_size for path in videos.glob("*.mp4"))
    assert list(store.list("")) == []
    run(store, videos)
    assert plan(config, store).is_done


def test_workers_need_no_torch() -> None:
    program = (
        "import sys, videogen.ingest.stage, videogen.ingest.worker.convert\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'prefect'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
