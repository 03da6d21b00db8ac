import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from videogen.config.settings import Settings
from videogen.data.video.writer import write_video
from videogen.errors import EvaluationError
from videogen.evaluation.clips.clip_files import Window, open_clips
from videogen.evaluation.pairwise import fvd

CLIPS = np.random.default_rng(0).integers(0, 256, (3, 12, 16, 16, 3)).astype(np.uint8)


@pytest.fixture
def settings(tmp_path):
    """Of a machine without weights: whatever is refused is refused before they are looked for."""
    return Settings(tmp_path / "state", tmp_path / "nowhere", None, None, None)


def videos(directory, num=3, frames=20, size=16):
    for index in range(num):
        shade = np.full((frames, size, size, 3), 20 + 60 * index, np.uint8)
        shade[:, : size // 2] += np.arange(frames, dtype=np.uint8)[:, None, None, None] * 4
        write_video(directory / f"clip {index}.mp4", shade, 8)
    return directory


def test_arrays_are_read_whole_or_in_part_and_by_key(tmp_path):
    np.save(tmp_path / "a.npy", CLIPS)
    np.savez(tmp_path / "b.npz", only=CLIPS)
    np.savez(tmp_path / "c.npz", one=CLIPS[:2], two=CLIPS)
    np.savez(tmp_path / "d.npz", **{"one:two": CLIPS, "two": CLIPS[:2]})
    for spec in ("a.npy", "b.npz", "c.npz:two", "d.npz:one:two"):
        clips = open_clips(str(tmp_path / spec), Window())
        assert (clips.num, clips.shape, clips.codec) == (3, (12, 16, 16), "raw")
        np.testing.assert_array_equal(np.concatenate(list(clips.batches(2))), CLIPS)
    short = open_clips(tmp_path / "a.npy", Window(9))
    np.testing.assert_array_equal(np.concatenate(list(short.batches(2))), CLIPS[:, :9])


def long_clips(num=3, frames=36):
    return np.random.default_rng(1).integers(0, 256, (num, frames, 8, 8, 3)).astype(np.uint8)


def test_every_so_many_frames_one_is_taken(tmp_path):
    long = long_clips()
    np.savez_compressed(tmp_path / "a.npz", long)
    for window, expected in (
        (Window(stride=4), long[:, ::4]),
        (Window(9, 4), long[:, ::4]),
        (Window(10, 3), long[:, :28:3]),
    ):
        clips = open_clips(tmp_path / "a.npz", window)
        assert clips.shape[0] == expected.shape[1]
        np.testing.assert_array_equal(np.concatenate(list(clips.batches(2))), expected)
    with pytest.raises(EvaluationError, match="36 frames a clip and 10 over 37 are asked for"):
        open_clips(tmp_path / "a.npz", Window(10, 4))
    with pytest.raises(EvaluationError, match="and 8 over 36 are asked for; I3D needs at least 9"):
        open_clips(tmp_path / "a.npz", Window(stride=5))


@pytest.mark.parametrize("order", ["C", "F"])
def test_clips_are_read_by_number_in_any_order(tmp_path, order):
    stored = np.asarray(CLIPS, order=order)
    np.save(tmp_path / "a.npy", stored)
    np.savez(tmp_path / "b.npz", stored)
    np.savez_compressed(tmp_path / "c.npz", stored)
    for name in ("a.npy", "b.npz", "c.npz"):
        (read,) = open_clips(tmp_path / name, Window(9)).batches(3, [2, 0, 2])
        np.testing.assert_array_equal(read, CLIPS[[2, 0, 2], :9])


def test_a_file_larger_than_memory_is_read_clip_by_clip(tmp_path):
    shape = (9_000, 16, 232, 232, 3)
    size = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, shape).nbytes
    assert size > 20 << 30
    np.savez_compressed(tmp_path / "b.npz", np.zeros((40, 16, 100, 100, 3), np.uint8))
    tracemalloc.start()
    try:
        for name, chosen in (("a.npy", [0, 5_000, 8_999]), ("b.npz", range(40))):
            for batch in open_clips(tmp_path / name, Window()).batches(1, chosen):
                assert not batch.any()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_the_first_frames_of_each_video_of_a_directory_count(tmp_path):
    directory = videos(tmp_path / "A")
    (directory / "readme.txt").write_text("not a video")
    clips = open_clips(directory, Window())
    assert (clips.num, clips.shape) == (3, (16, 16, 16))
    frames = np.concatenate(list(clips.batches(2))).astype(int)
    assert abs(frames[:, 0, 12, 8, 0] - [20, 80, 140]).max() < 6
    assert abs(frames[0, :, 3, 8, 0] - (20 + 4 * np.arange(16))).max() < 6
    assert any("first 16 frames" in note for note in clips.notes)


def saved(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def sized(*shape):
    """An array file whose header names that shape, before a few bytes."""
    content = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + bytes(99)


def mixed_videos(path):
    videos(path, num=2)
    write_video(path / "z.mp4", np.zeros((20, 32, 32, 3), np.uint8), 8)


def damaged_video(path):
    videos(path, num=2)
    (path / "a.mp4").write_bytes(b"no video")


def cut_archive(path):
    np.savez(path, CLIPS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def damaged_archive(path):
    """The directory of the archive is whole, what it leads to is not."""
    np.savez_compressed(path, CLIPS)
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset
    content = bytearray(path.read_bytes())
    content[start + 3_000 : start + 9_000] = bytes(6_000)
    path.write_bytes(content)


BROKEN = {
    "cut.npz": cut_archive,
    "damaged.npz": damaged_archive,
    "cut.npy": lambda path: path.write_bytes(saved(CLIPS)[:-9]),
    "negative.npy": lambda path: path.write_bytes(sized(-6, 16, 32, 32, 3)),
    "endless.npy": lambda path: path.write_bytes(sized(10**23, 16, 32, 32, 3)),
    "none.npz": np.savez,
    "text.npy": lambda path: path.write_text("no array"),
    "pickled.npy": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
    "two.npz": lambda path: np.savez(path, a=CLIPS, b=CLIPS),
    "short": lambda path: videos(path, frames=12),
    "mixed": mixed_videos,
    "damaged": damaged_video,
    "empty": lambda path: path.mkdir(),
    "words.txt": lambda path: path.write_text("words"),
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text.npy", "not a readable array"),
        ("pickled.npy", "not a readable array"),
        ("cut.npy", "not a readable array"),
        ("negative.npy", "not a readable array"),
        ("endless.npy", "not a readable array"),
        ("cut.npz", "not a readable array"),
        ("damaged.npz", "not a readable array"),
        ("none.npz", "holds arrays none"),
        ("two.npz", "holds arrays a, b: pick one"),
        ("two.npz:c", "no array 'c': it holds a, b"),
        ("missing.npz:a", "does not exist"),
        ("missing", "does not exist"),
        ("words.txt", "neither a directory of videos"),
        ("empty", "holds 0 videos"),
        ("short", "12 frames a clip and 16 are asked for"),
        ("mixed", "16x16 and 32x32"),
        ("damaged", "a.mp4: corrupt"),
    ],
)
def test_sets_that_cannot_be_read_are_refused_in_one_line(tmp_path, name, said):
    plain = name.partition(":")[0]
    BROKEN.get(plain, lambda _: None)(tmp_path / plain)

    def read_all(spec):
        return list(open_clips(spec, Window()).batches(2))

    with pytest.raises(EvaluationError, match=said) as caught:
        read_all(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (CLIPS.astype(np.float32), "holds float32: frames must be uint8"),
        (np.full(CLIPS.shape, np.nan), "float64 with NaN in it"),
        (CLIPS[..., 0], "n t h w c"),
        (CLIPS[..., :1], "3 channels"),
        (CLIPS[:1], "at least 2 clips"),
        (CLIPS[:0], "at least 2 clips"),
        (CLIPS[:, :8], "needs at least 9"),
    ],
)
def test_arrays_that_are_no_clips_are_refused(settings, array, said):
    with pytest.raises(EvaluationError, match=said):
        fvd(CLIPS, array, settings)
    with pytest.raises(EvaluationError, match=said):
        fvd(array, CLIPS, settings)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (np.zeros((3, 12, 16, 24, 3), np.uint8), "12 frames at 16x16, B of 12 frames at 16x24"),
        (np.zeros((3, 13, 16, 16, 3), np.uint8), "12 frames at 16x16, B of 13 frames at 16x16"),
    ],
)
def test_sets_of_different_length_or_size_are_refused(settings, other, said):
    with pytest.raises(EvaluationError, match=said):
        fvd(CLIPS, other, settings)


def test_videos_take_the_length_of_the_array_beside_them(tmp_path, settings):
    directory = videos(tmp_path / "A", frames=11)
    with pytest.raises(EvaluationError, match="11 frames a clip and 12 are asked for"):
        fvd(CLIPS, directory, settings)
