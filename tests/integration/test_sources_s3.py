"""Sources in a bucket that other programs fill: whatever their keys are."""

from pathlib import Path

import pytest

from videogen.config.sections import StorageConfig
from videogen.data.video.unusable import UnusableSourceError
from videogen.errors import ConfigError
from videogen.ingest.sources.fetching import hash_file, local_copy
from videogen.ingest.sources.listing import list_sources
from videogen.ingest.sources.metadata import load_metadata
from videogen.ingest.sources.source import Source
from videogen.storage.s3 import S3Store

pytestmark = pytest.mark.integration


def put(store: S3Store, *keys: str) -> None:
    prefix = store.root.split("/", maxsplit=3)[3]
    for key in keys:
        store._client.put_object(Bucket=store._bucket, Key=f"{prefix}/{key}", Body=key.encode())


def listed(store: S3Store, storage: StorageConfig, below: str = "") -> dict[str, Source]:
    found = list_sources([store.root + below], storage)
    return {source.uri.removeprefix(f"{store.root}/"): source for source in found}


def test_videos_and_sequences_are_told_from_the_rest(
    s3_storage: StorageConfig, s3_store: S3Store, tmp_path: Path
) -> None:
    put(s3_store, "a.mp4", "cats/b.MOV", "cats/thumb1.jpg", "cats/thumb2.jpg", "notes.txt")
    put(s3_store, "dogs/shot/f_9.png", "dogs/shot/f_10.png", "dogs/shot/f_11.png", ".x/c.mp4")
    put(s3_store, "._d.mp4")
    s3_store._client.put_object(
        Bucket=s3_store._bucket, Key=s3_store.root.split("/", maxsplit=3)[3] + "/folder.mp4/"
    )

    found = listed(s3_store, s3_storage)

    assert {name: source.label for name, source in found.items()} == {
        "a.mp4": None,
        "cats/b.MOV": "cats",
        "dogs/shot/f_*.png": "dogs",
    }
    sequence = found["dogs/shot/f_*.png"]
    assert sequence.members == ("f_9.png", "f_10.png", "f_11.png")
    with local_copy(sequence, s3_storage, tmp_path) as paths:
        assert isinstance(paths, tuple)
        assert [path.read_text() for path in paths] == [
            f"dogs/shot/{name}" for name in sequence.members
        ]
        digest = hash_file(paths)
    assert list(tmp_path.iterdir()) == []
    assert len(digest) == 64
    with local_copy(found["cats/b.MOV"], s3_storage, tmp_path) as path:
        assert isinstance(path, Path)
        assert (path.suffix, path.read_text()) == (".mov", "cats/b.MOV")


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "quo'te\"",
        "$(x)",
        "semi;colon & more",
        "日本 видео",
        "100%20+",
        "x" * 200,
        "a*",
    ],
)
def test_hostile_keys_are_read(
    s3_storage: StorageConfig, s3_store: S3Store, tmp_path: Path, name: str
) -> None:
    put(s3_store, f"{name}.mp4", f"{name}/1.png", f"{name}/2.png")
    found = listed(s3_store, s3_storage)
    assert set(found) == {f"{name}.mp4", f"{name}/*.png"}
    with local_copy(found[f"{name}.mp4"], s3_storage, tmp_path) as path:
        assert isinstance(path, Path)
        assert path.read_bytes() == f"{name}.mp4".encode()
    with local_copy(found[f"{name}/*.png"], s3_storage, tmp_path) as paths:
        assert isinstance(paths, tuple)
        assert [path.read_bytes() for path in paths] == [
            f"{name}/{number}.png".encode() for number in (1, 2)
        ]


def test_a_key_that_cannot_be_asked_for_is_told_and_the_rest_goes_on(
    s3_storage: StorageConfig, s3_store: S3Store, tmp_path: Path
) -> None:
    put(s3_store, "good.mp4", "new\nline.mp4")
    found = listed(s3_store, s3_storage)
    assert set(found) == {"good.mp4", "new\nline.mp4"}
    with (
        pytest.raises(UnusableSourceError, match=r"unreadable: .*control character: rename it"),
        local_copy(found["new\nline.mp4"], s3_storage, tmp_path),
    ):
        pass


def test_an_object_that_changed_or_went_since_it_was_listed_is_vanished(
    s3_storage: StorageConfig, s3_store: S3Store, tmp_path: Path
) -> None:
    put(s3_store, "a.mp4", "b.mp4", "shot/1.png", "shot/2.png")
    found = listed(s3_store, s3_storage)
    s3_store.put("a.mp4", b"other")
    s3_store.delete("b.mp4")
    s3_store.put("shot/2.png", b"other")
    details = {}
    for name, source in found.items():
        with (
            pytest.raises(UnusableSourceError) as caught,
            local_copy(source, s3_storage, tmp_path),
        ):
            pass
        details[name] = (caught.value.reason, caught.value.detail)
    assert details == {
        "a.mp4": ("vanished", "it changed while it was read"),
        "b.mp4": ("vanished", "it was listed and is gone"),
        "shot/*.png": ("vanished", "it changed while it was read"),
    }
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_named_is_taken_as_it_is(
    s3_storage: StorageConfig, s3_store: S3Store
) -> None:
    put(s3_store, "odd-name", "odd-name.txt")
    assert list(listed(s3_store, s3_storage, "/odd-name")) == ["odd-name"]


def test_metadata_in_a_bucket_names_sources_beside_it(
    s3_storage: StorageConfig, s3_store: S3Store
) -> None:
    put(s3_store, "raw/cats/b.mp4", "raw/shot/1.png", "raw/shot/2.png")
    s3_store.put("raw/facts.csv", b"source,label\ncats/b.mp4,cat\nshot,walk\n")
    asked = [f"{s3_store.root}/raw"]
    uris = [source.uri for source in list_sources(asked, s3_storage)]

    found = load_metadata(f"{s3_store.root}/raw/facts.csv", uris, asked, s3_storage)

    assert [found.facts_of(uri).label for uri in uris] == ["cat", "walk"]
    with pytest.raises(ConfigError, match=r"there is no s3://.*nothing\.csv: check"):
        load_metadata(f"{s3_store.root}/nothing.csv", uris, asked, s3_storage)
