"""Which numbered images make a sequence, in which order, and what is missing of it."""

import os
import struct
from pathlib import Path

import pytest

from videogen.config.sections import StorageConfig
from videogen.data.video.unusable import UnusableSourceError
from videogen.ingest.sources.fetching import hash_file, local_copy
from videogen.ingest.sources.listing import list_sources
from videogen.ingest.sources.sequences import gaps, is_animated_webp, sequences
from videogen.ingest.sources.source import Source, path_of

NOWHERE = StorageConfig()


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(os.fsencode(name))


def listed(*asked: Path) -> dict[str, Source]:
    found = list_sources([str(one) for one in asked], NOWHERE)
    return {source.shown.removeprefix(f"{asked[0]}/"): source for source in found}


def read(source: Source) -> tuple[tuple[bytes, ...], str]:
    with local_copy(source, NOWHERE, Path()) as paths:
        assert isinstance(paths, tuple)
        return tuple(path.read_bytes() for path in paths), hash_file(paths)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["f_2.png", "f_10.png", "f_1.png"], [("f_", ["f_1.png", "f_2.png", "f_10.png"])]),
        (["0099.jpg", "0100.jpg"], [("", ["0099.jpg", "0100.jpg"])]),
        (["9999.exr", "10000.exr"], [("", ["9999.exr", "10000.exr"])]),
        (["s2.0001.exr", "s2.0002.EXR"], [("s2.", ["s2.0001.exr", "s2.0002.EXR"])]),
        (["l1.png", "l2.png", "r1.png", "r2.png"], [("l", ["l1.png", "l2.png"]), ("r", ["r1.png", "r2.png"])]),  # noqa: E501
        (["a1.png", "a2.jpg"], []),
        (["only1.png", "cover.png", "notes"], []),
        (["new\nline 1.png", "new\nline 2.png"], [("new\nline ", ["new\nline 1.png", "new\nline 2.png"])]),  # noqa: E501
    ],
)  # fmt: skip
def test_images_are_ordered_by_number_and_grouped_by_what_precedes_it(
    names: list[str], expected: list[tuple[str, list[str]]]
) -> None:
    assert [(one.prefix, list(one.members)) for one in sequences(names)] == expected


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([3, 4, 5], None),
        ([1, 3], "1 of the frames 1 to 3 are not there: 2"),
        ([1, 2, 9, 20], "16 of the frames 1 to 20 are not there: 3 to 8, 10 to 19"),
        (range(0, 30, 2), "14 of the frames 0 to 28 are not there: 1, 3, 5, 7, 9, …"),
    ],
)
def test_what_is_missing_is_told(numbers: list[int], said: str | None) -> None:
    assert gaps(tuple(f"f{number:03}.png" for number in numbers)) == said


def test_a_directory_of_numbered_frames_is_one_source_in_order(tmp_path: Path) -> None:
    frames = [f"f_{number}.png" for number in range(8, 13)]
    write(tmp_path / "cats" / "shot", *frames, "cover.png", ".hidden1.png", ".hidden2.png")
    ((name, source),) = listed(tmp_path).items()
    assert name == "cats/shot/f_*.png"
    assert (source.label, source.members) == ("cats", tuple(frames))
    assert source.size_bytes == sum(map(len, frames))
    assert read(source)[0] == tuple(name.encode() for name in frames)


def test_a_sequence_s_own_folder_is_no_label(tmp_path: Path) -> None:
    write(tmp_path / "shot", "1.png", "2.png")
    (source,) = listed(tmp_path).values()
    assert source.label is None
    (alone,) = listed(tmp_path / "shot").values()
    assert alone.uri == source.uri


def test_images_beside_a_video_are_its_thumbnails(tmp_path: Path) -> None:
    write(tmp_path, "a.mp4", "thumb1.jpg", "thumb2.jpg")
    write(tmp_path / "frames", "1.jpg", "2.jpg")
    assert sorted(listed(tmp_path)) == ["a.mp4", "frames/*.jpg"]


def test_a_glob_of_images_is_a_sequence_too(tmp_path: Path) -> None:
    write(tmp_path, "a1.png", "a2.png", "b1.png", "b2.png")
    assert [source.members for source in listed(tmp_path / "a*.png").values()] == [
        ("a1.png", "a2.png")
    ]


def test_a_gap_keeps_a_sequence_out_and_is_named(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png", "4.png")
    (source,) = listed(tmp_path).values()
    with pytest.raises(UnusableSourceError) as caught:
        read(source)
    assert caught.value.reason == "missing frames"
    assert caught.value.detail == "1 of the frames 1 to 4 are not there: 3"


def test_two_images_of_one_number_keep_a_sequence_out(tmp_path: Path) -> None:
    write(tmp_path, "a1.png", "a01.png", "a2.png")
    (source,) = listed(tmp_path).values()
    with pytest.raises(UnusableSourceError, match="number 1 is there twice"):
        read(source)


def test_the_hash_is_of_the_contents_in_order(tmp_path: Path) -> None:
    for folder, contents in (("a", "xyz"), ("b", "xyz"), ("c", "zyx"), ("d", ["xy", "z", ""])):
        for number, content in enumerate(contents):
            write(tmp_path / folder, f"{folder}{number}.png")
            (tmp_path / folder / f"{folder}{number}.png").write_text(content or "z")
    digests = [read(source)[1] for source in listed(tmp_path).values()]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert digests[0] != hash_file(tmp_path / "a" / "a0.png")


def test_a_frame_that_is_added_changes_or_goes_changes_the_fingerprint(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png", "3.png")
    seen = [next(iter(listed(tmp_path).values()))]
    os.utime(tmp_path / "2.png", ns=(1, 1))
    seen += listed(tmp_path).values()
    write(tmp_path, "4.png")
    seen += listed(tmp_path).values()
    assert len({source.fingerprint for source in seen}) == 3
    assert len({source.uri for source in seen}) == 1
    with pytest.raises(UnusableSourceError, match="it changed while it was read"):
        read(seen[0])
    (tmp_path / "4.png").unlink()
    with pytest.raises(UnusableSourceError, match="it was listed and is gone"):
        read(seen[2])


def test_a_frame_that_is_no_file_keeps_the_sequence_out(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png")
    os.mkfifo(tmp_path / "3.png")
    (source,) = listed(tmp_path).values()
    with pytest.raises(UnusableSourceError) as caught:
        read(source)
    assert caught.value.reason == "unreadable"
    assert caught.value.detail == "3.png: a named pipe, not a file"


def test_hostile_names_make_sequences_too(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff%d *'\n")
    for prefix in (odd, "日本 ", "$(x)", "x" * 240):
        write(tmp_path / "dir #1", *(f"{prefix}{n}.png" for n in range(2)))
    write(tmp_path / "dir #1", "*0.png", "*1.png")
    sources = listed(tmp_path).values()
    assert len({source.uri for source in sources}) == 5
    for source in sources:
        assert source.uri.isascii()
        assert path_of(source.member_uris[0]).name == source.members[0]
        assert read(source)[0] == tuple(os.fsencode(name) for name in source.members)


def webp(*, animated: bool) -> bytes:
    chunk = struct.pack("<4sIB", b"VP8X", 10, 0x02 if animated else 0x10) + bytes(9)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WEBP") + chunk


def test_animations_are_files_and_numbered_stills_are_frames(tmp_path: Path) -> None:
    for folder, animated in (("stills", False), ("loops", True)):
        write(tmp_path / folder, "1.webp", "2.webp")
        for name in ("1.webp", "2.webp"):
            (tmp_path / folder / name).write_bytes(webp(animated=animated))
    write(tmp_path / "alone", "x.webp", "x.png")
    assert sorted(listed(tmp_path)) == [
        *("alone/x.webp", "loops/1.webp", "loops/2.webp", "stills/*.webp")
    ]
    assert not is_animated_webp(webp(animated=True)[:20])


def test_beside_videos_only_webp_that_moves_and_is_no_thumbnail_is_a_source(
    tmp_path: Path,
) -> None:
    write(tmp_path, "a.mp4")
    for name, animated in (("loop", True), ("a", True), ("still", False), ("1", True)):
        (tmp_path / f"{name}.webp").write_bytes(webp(animated=animated))
    assert sorted(listed(tmp_path)) == ["1.webp", "a.mp4", "loop.webp"]
