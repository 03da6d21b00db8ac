"""Every bad source that the field knows: quarantined with its reason, and the rest goes on."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage_files import (
    FASTSTART,
    FPS,
    FRAMES,
    KINDS,
    MP4,
    endless,
    endless_matroska,
    huge_gif,
    huge_jpegs,
    lying_movie_header,
    replaced,
    write_footage,
    write_sound,
)
from in_process import InProcess

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.data.shards.tar_shard import read_clip
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import DatasetError
from videogen.ingest.stage import current_dataset, ingest
from videogen.progress import silent
from videogen.storage.local import LocalStore

Spoil = Callable[[Path], object]
_BY_NAME = {kind.name: kind for kind in KINDS}
_HOSTILE = [
    *("with space.mp4", "quo'te\".mp4", "$(touch x).mp4", "`id`;|&.mp4", "new\nline.mp4", "..mp4"),
    *("%2e%2e%2f.mp4", "видео-日本-🎬.mp4", "-rf.mp4", "*.mp4", "x" * 251 + ".mp4"),
]


def config_for(store: LocalStore, *sources: Path, **changes: Any) -> RunConfig:
    section = IngestConfig(
        sources=tuple(map(str, sources)),
        resolution=(32, 32),
        max_clip_frames=24,
        **changes,
    )
    return RunConfig(name="d", storage=StorageConfig(root=store.root), ingest=section)


def run(root: Path, *sources: Path, before: Any = None, **changes: Any) -> DatasetRef:
    store = LocalStore(root)
    return ingest(config_for(store, *sources, **changes), store, InProcess(before), silent)


def kept(root: Path, answer: DatasetRef) -> dict[str, int]:
    """Frames of each source in the dataset, by name; every clip is read."""
    store, frames = LocalStore(root), dict[str, int]()
    for clip in load_snapshot(store, "d", answer.snapshot).rows():
        assert read_clip(store, "d", clip).shape == (clip.frames, 32, 32, 3)
        name = clip.source.rpartition("/")[2]
        frames[name] = frames.get(name, 0) + clip.frames
    return frames


def data_of(directory: Path, name: str) -> bytes:
    path = write_footage(directory.parent, _BY_NAME[name])
    data = path.read_bytes()
    path.unlink()
    return data


def truncated(name: str, share: float = 0.6) -> Spoil:
    def spoil(path: Path) -> None:
        data = data_of(path.parent, name)
        path.write_bytes(data[: int(len(data) * share)])

    return spoil


def flipped(path: Path) -> None:
    """One bit in every 100 bytes of what the index says is frames."""
    data = bytearray(data_of(path.parent, "start.mp4"))
    draw = random.Random(0)  # noqa: S311 - repeatable damage
    for start in range(data.index(b"mdat") + 8, len(data), 100):
        data[min(len(data) - 1, start + draw.randrange(100))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def oversized_picture(path: Path) -> None:
    """A file whose index and frames both say 16,000 x 16,000."""
    data = data_of(path.parent, "a.mov")
    size = (16_000).to_bytes(2, "big") * 2
    # Width and height stand 40 bytes into the table of sample descriptions.
    path.write_bytes(huge_jpegs(replaced(data, b"stsd", 40, size), 16_000, 16_000))


def noise(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(9000))  # noqa: S311 - any bytes do


def of_frames(number: int) -> Spoil:
    return lambda path: write_footage(path.parent, name=path.name, num_frames=number)


def without_end(path: Path) -> None:
    path.write_bytes(endless(data_of(path.parent, "start.mp4")))


def lying(path: Path) -> None:
    path.write_bytes(lying_movie_header(data_of(path.parent, "start.mp4")))


def without_end_mkv(path: Path) -> None:
    path.write_bytes(endless_matroska(data_of(path.parent, "a.mkv")))


def huge_screen(path: Path) -> None:
    path.write_bytes(huge_gif(16_000, 16_000))


def oversized_frames(path: Path) -> None:
    """A file whose frames alone say 16,000 x 16,000."""
    path.write_bytes(huge_jpegs(data_of(path.parent, "a.mov"), 16_000, 16_000))


BAD: dict[str, tuple[Spoil, str, str]] = {
    "zero-byte.mp4": (Path.touch, "zero-byte", "no content"),
    "text.mp4": (lambda path: path.write_text("no video\n" * 500), "corrupt", "not a video"),
    "text.gif": (lambda path: path.write_text("no video\n" * 500), "corrupt", "not a video"),
    "random.mkv": (noise, "corrupt", "not a video"),
    "zeros.mov": (lambda path: path.write_bytes(bytes(9000)), "corrupt", "not a video"),
    "audio-only.mp4": (write_sound, "no video stream", "1 streams, none of video"),
    "cut, index first.mp4": (truncated("start.mp4"), "truncated", "before"),
    "cut, index last.mp4": (truncated("end.mp4"), "truncated", "index"),
    "cut.mkv": (truncated("a.mkv"), "truncated", "before"),
    "cut.avi": (truncated("a.avi"), "truncated", ""),
    "cut.webm": (truncated("a.webm"), "truncated", ""),
    "cut loop.webp": (truncated("a.webp"), "truncated", ""),
    "bits.mp4": (flipped, "corrupt", "frames are damaged"),
    "one frame.mp4": (of_frames(1), "too short", "1 frames"),
    "short.mp4": (of_frames(15), "too short", "15 frames"),
    "endless.mp4": (without_end, "corrupt", "claims"),
    "lying.mp4": (lying, "corrupt", "claims"),
    "endless.mkv": (without_end_mkv, "corrupt", "claims"),
    "huge.gif": (huge_screen, "too large", "16000 x 16000 pixels"),
    "huge.mov": (oversized_picture, "too large", "16000 x 16000 pixels"),
    "huge frames.mov": (oversized_frames, "corrupt", "damaged"),
    "circle.mp4": (lambda path: path.symlink_to(path.name), "unreadable", "leads back to itself"),
    "dangling.mp4": (lambda path: path.symlink_to("nowhere"), "vanished", "not there"),
    "pipe.mp4": (os.mkfifo, "unreadable", "a named pipe"),
    "directory.mp4": (Path.mkdir, "unreadable", "a directory"),
}  # fmt: skip


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, DatasetRef]:
    """A directory with every bad file and two good ones, the store, and the answer."""
    root = tmp_path_factory.mktemp("bad")
    videos = root / "videos"
    videos.mkdir()
    for number, kind in enumerate((MP4, FASTSTART)):
        write_footage(videos, kind, name=f"good-{number}.mp4", seed=number + 1)
    for name, (spoil, _, _) in BAD.items():
        spoil(videos / name)
    frames = videos / "shot"
    frames.mkdir()
    for number in (1, 2, 4, 5):
        (frames / f"f{number}.png").write_bytes(b"never looked at")
    answer = run(root / "store", videos, max_quarantined_fraction=1.0)
    return videos, root / "store", answer


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_source_is_quarantined_with_a_reason_of_the_field(
    spoiled: tuple[Path, Path, DatasetRef], name: str
) -> None:
    _, reason, detail = BAD[name]
    found = {Path(one["source"]).name: one for one in spoiled[2].quarantined}
    assert name in found
    assert reason in found[name]["reason"]
    assert detail in found[name]["detail"]
    assert found[name]["detail"].isprintable()


def test_a_sequence_with_a_gap_is_quarantined(spoiled: tuple[Path, Path, DatasetRef]) -> None:
    videos, _, answer = spoiled
    (found,) = (one for one in answer.quarantined if one["source"] == f"{videos}/shot/f*.png")
    assert found["reason"] == "missing frames"
    assert found["detail"] == "1 of the frames 1 to 5 are not there: 3"


def test_the_rest_goes_on_whole(spoiled: tuple[Path, Path, DatasetRef]) -> None:
    _, root, answer = spoiled
    assert kept(root, answer) == {"good-0.mp4": FRAMES, "good-1.mp4": FRAMES}
    assert len(answer.quarantined) == len(BAD) + 1


def test_too_many_bad_sources_fail_the_stage_after_the_good_ones(
    spoiled: tuple[Path, Path, DatasetRef], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"of 28 .*max_quarantined_fraction \(0\.9\)"):
        run(tmp_path, spoiled[0], max_quarantined_fraction=0.9)
    store = LocalStore(tmp_path)
    answer = current_dataset(config_for(store, spoiled[0]), store)
    assert kept(tmp_path, answer) == {"good-0.mp4": FRAMES, "good-1.mp4": FRAMES}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_good_video_of_any_name_is_ingested(tmp_path: Path, name: str) -> None:
    (tmp_path / "videos").mkdir()
    os.link(write_footage(tmp_path, name="plain.mp4"), tmp_path / "videos" / name)
    answer = run(tmp_path / "store", tmp_path / "videos" / name)
    assert (answer.frames, answer.quarantined) == (FRAMES, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.mp4", "store", "videos"]


def test_a_few_damaged_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    """Raw JPEG frames: one is overwritten, and the one before it stands in."""
    path = write_footage(tmp_path, _BY_NAME["a.mov"], name="a.mov")
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xd8", data.index(b"\xff\xd8", data.index(b"\xff\xd8") + 2) + 2)
    data[start : start + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="1 of 40 frames are damaged"):
        run(tmp_path / "strict", path, max_corrupt_fraction=0.02)
    answer = run(tmp_path / "store", path, max_corrupt_fraction=0.03)
    assert kept(tmp_path / "store", answer) == {"a.mov": FRAMES}
    store = LocalStore(tmp_path / "store")
    rows = sorted(load_snapshot(store, "d", answer.snapshot).rows(), key=lambda row: row.start_s)
    clip = read_clip(store, "d", rows[0]).astype(int)
    with av.open(str(write_footage(tmp_path, _BY_NAME["a.mov"], name="b.mov"))) as container:
        whole = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    means = clip.mean(axis=(1, 2, 3))
    neighbours = [abs(means[2] - whole[1]), abs(means[2] - whole[3])]
    assert min(neighbours) < 1.0
    assert np.abs(np.delete(means - whole[: len(means)], 2)).max() < 1.5


@pytest.mark.parametrize(
    "happen",
    [Path.unlink, lambda path: path.write_bytes(b"x" * 100), lambda path: os.utime(path, (1, 1))],
)
def test_a_file_that_changes_after_it_was_listed_is_quarantined_and_taken_later(
    tmp_path: Path, happen: Spoil
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_footage(videos, name="good.mp4", seed=1)
    path = write_footage(videos, name="moving.mp4", seed=2)
    whole = path.read_bytes()
    done: list[object] = []

    def before(task: object) -> None:
        if not done:
            happen(path)
        done.append(task)

    answer = run(tmp_path / "store", videos, before=before)
    assert [(one["source"], one["reason"]) for one in answer.quarantined] == [
        (str(path), "vanished")
    ]
    assert kept(tmp_path / "store", answer) == {"good.mp4": FRAMES}
    path.write_bytes(whole)
    answer = run(tmp_path / "store", videos)
    assert kept(tmp_path / "store", answer) == {"good.mp4": FRAMES, "moving.mp4": FRAMES}
    assert answer.quarantined == ()


def test_a_title_in_another_encoding_is_no_matter(tmp_path: Path) -> None:
    path = write_footage(tmp_path, FASTSTART, name="a.mp4")
    data = path.read_bytes()
    start = data.index(b"Lavf")
    path.write_bytes(data[:start] + b"\xe4\xf6\xfc\xff" + data[start + 4 :])
    assert kept(tmp_path / "store", run(tmp_path / "store", path)) == {"a.mp4": FRAMES}


def test_an_image_sequence_becomes_clips_at_its_rate(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    folder.mkdir()
    movie = write_footage(tmp_path, _BY_NAME["raw.avi"], name="raw.avi")
    with av.open(str(movie)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(folder / f"f_{number:04}.png")
    answer = run(tmp_path / "store", tmp_path / "shot", sequence_fps=float(FPS))
    assert kept(tmp_path / "store", answer) == {"f_*.png": FRAMES}
