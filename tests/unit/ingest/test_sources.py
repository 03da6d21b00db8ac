"""From what a config names to a list of files."""

import os
from pathlib import Path

import pytest

from videogen.config.sections import StorageConfig
from videogen.errors import ConfigError, SourceError
from videogen.ingest.sources.listing import Source, list_sources, local_copy

NOWHERE = StorageConfig()
HOSTILE = [
    "with space.mp4",
    "quo'te\".mp4",
    "new\nline.mp4",
    "semi;colon && rm.mp4",
    "..mp4",
    "....mp4",
    "100%.mp4",
    "видео-日本-🎬.mp4",
    "-rf.mp4",
    "*.mp4",
    "x" * 251 + ".mp4",
]


def listed(*asked: object) -> list[Source]:
    return list(list_sources([str(one) for one in asked], NOWHERE))


def names(*asked: object) -> list[str]:
    found = []
    for source in listed(*asked):
        with local_copy(source, NOWHERE, Path()) as path:
            found.append(path.name)
    return found


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_directories_are_searched_through_and_only_videos_count(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("b.mp4", "a/c.MOV", "a/d/e.webm", "a/notes.txt", "f")))
    touch(tmp_path / ".hidden.mp4", tmp_path / ".cache" / "x.mp4", tmp_path / "a" / "x.mp4.part")
    assert sorted(names(tmp_path)) == ["b.mp4", "c.MOV", "e.webm"]


def test_the_label_is_the_folder_below_the_directory(tmp_path: Path) -> None:
    touch(tmp_path / "b.mp4", tmp_path / "cats" / "c.mp4", tmp_path / "dogs" / "x" / "d.mp4")
    labels = {source.shown.rpartition("/")[2]: source.label for source in listed(tmp_path)}
    assert labels == {"b.mp4": None, "c.mp4": "cats", "d.mp4": "dogs"}


def test_files_and_globs_and_overlaps_count_each_file_once_in_one_order(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.mp4", "b.mp4", "sub/c.mp4", "sub/notes.txt")))
    touch(tmp_path / "odd-name")
    assert names(tmp_path / "odd-name") == ["odd-name"], "a file that is named is taken as it is"
    assert names(tmp_path / "*.mp4") == ["a.mp4", "b.mp4"]
    assert names(tmp_path / "**" / "*.mp4") == ["a.mp4", "b.mp4", "c.mp4"]
    assert names(tmp_path / "s*") == ["c.mp4"]
    many = listed(tmp_path / "sub" / "..", tmp_path / "b.mp4", tmp_path / "*", tmp_path)
    assert many == sorted(many, key=lambda source: source.uri)
    assert len(many) == 3


def test_a_source_relative_to_the_working_directory_has_an_absolute_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "v" / "a.mp4")
    monkeypatch.chdir(tmp_path)
    assert [source.uri for source in listed("v")] == [(tmp_path / "v" / "a.mp4").as_uri()]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4", tmp_path / "other" / "y.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "over").symlink_to(tmp_path / "other", target_is_directory=True)
    assert sorted(names(tmp_path / "a")) == ["x.mp4", "y.mp4"]
    (tmp_path / "a" / "0-first").symlink_to(tmp_path / "a", target_is_directory=True)
    assert listed(tmp_path / "a")[0].uri == (tmp_path / "a" / "over" / "y.mp4").as_uri()


def test_a_new_link_to_a_directory_renames_no_source(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "x.mp4")
    before = listed(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "b", target_is_directory=True)
    assert listed(tmp_path) == before


def test_hostile_names_lead_back_to_their_files_and_are_shown_on_one_line(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in HOSTILE if not name.startswith(".")))
    odd = os.fsencode(tmp_path) + b"/odd-\xff.mp4"
    Path(os.fsdecode(odd)).write_bytes(b"x")
    sources = listed(tmp_path)
    assert len(sources) == len(HOSTILE) - 2 + 1
    for source in sources:
        assert source.uri.isascii()
        assert source.shown.isprintable()
        source.shown.encode()
        with local_copy(source, NOWHERE, tmp_path) as path:
            assert path.read_bytes() == b"x"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_can_be_asked_for(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    assert names(tmp_path / name) == [name]


@pytest.mark.parametrize(
    ("asked", "says"),
    [("nowhere", "does not exist"), ("empty", "no video"), ("*.mkv", "no video"), ("", "no v")],
)
def test_what_holds_no_video_is_named(tmp_path: Path, asked: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "notes.txt")
    with pytest.raises(SourceError, match=f"{says}.*ingest.sources") as caught:
        listed(tmp_path / asked)
    assert asked in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_sources_at_all_is_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match=r"ingest\.sources is empty"):
        listed()


def test_an_empty_name_does_not_stand_for_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"ingest\.sources has an empty name"):
        list_sources([str(tmp_path), ""], StorageConfig())


@pytest.mark.parametrize("asked", ["s3://", "s3:///key", "s3://Bad_Bucket!!/x"])
def test_a_prefix_without_a_bucket_is_named_as_what_it_is(asked: str) -> None:
    with pytest.raises(ConfigError, match=r"names no S3 bucket") as caught:
        list_sources([asked], StorageConfig())
    assert "storage.root" not in str(caught.value)


def test_a_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    touch(path)
    (before,) = listed(path)
    os.utime(path, ns=(1, 1))
    (touched,) = listed(path)
    assert before.fingerprint != touched.fingerprint
    assert before.uri == touched.uri
