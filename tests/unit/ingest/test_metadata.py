"""What a metadata file says, of which source, and what it refuses to guess."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videogen.config.sections import StorageConfig
from videogen.errors import ConfigError
from videogen.ingest.sources.listing import list_sources
from videogen.ingest.sources.metadata import Metadata, SourceFacts, load_metadata

NOWHERE = StorageConfig()
HEADER = "source,label,licence,consent,owner,expires\n"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    for name in ("a.mp4", "cats/b.mp4", "cats/same.mp4", "dogs/same.mp4", "dogs/ünïcode, x.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    for number in range(3):
        frame = root / "shots" / "shot01" / f"f_{number:04}.png"
        frame.parent.mkdir(parents=True, exist_ok=True)
        frame.write_bytes(b"x")
    return root


def load(text: str, videos: Path, name: str = "facts.csv") -> Metadata:
    path = videos.parent / name
    path.write_text(text, encoding="utf-8")
    return load_from(path, [videos])


def load_from(path: Path, asked: Sequence[Path]) -> Metadata:
    names = [str(one) for one in asked]
    uris = [source.uri for source in list_sources(names, NOWHERE)]
    return load_metadata(str(path), uris, names, NOWHERE)


def labels(metadata: Metadata, videos: Path) -> dict[str, str | None]:
    """Label by path, of the sources that have one."""
    found = {
        source.shown.removeprefix(f"{videos}/"): metadata.facts_of(source.uri).label
        for source in list_sources([str(videos)], NOWHERE)
    }
    return {name: label for name, label in found.items() if label}


@pytest.mark.parametrize("header", [HEADER, "Source,label,license,consent,owner,expiry\n"])
def test_every_column_reaches_the_facts(videos: Path, header: str) -> None:
    found = load(header + "cats/b.mp4,cat,CC-BY-4.0,yes,Ann & Co,2027-01-31\n", videos)
    assert found.facts_of((videos / "cats" / "b.mp4").as_uri()) == SourceFacts(
        "cat", "CC-BY-4.0", "granted", "Ann & Co", date(2027, 1, 31)
    )
    assert found.facts_of((videos / "a.mp4").as_uri()) == SourceFacts()


@pytest.mark.parametrize(
    "spelled",
    [
        "cats/b.mp4",
        "./cats/b.mp4",
        "videos/cats/b.mp4",
        "../{parent}/videos/cats/b.mp4",
        "{videos}/cats/b.mp4",
        "{videos}/dogs/../cats/b.mp4",
        "file://{videos}/cats/b.mp4",
        "b.mp4",
    ],
)
def test_a_row_may_name_its_source_in_many_ways(videos: Path, spelled: str) -> None:
    name = spelled.format(videos=videos, parent=videos.parent.name)
    found = load(f"source,label\n{name},here\n", videos)
    assert labels(found, videos) == {"cats/b.mp4": "here"}
    assert found.unmatched == ()


def test_a_name_that_is_a_path_means_that_path_alone(videos: Path) -> None:
    (videos / "cats" / "a.mp4").write_bytes(b"x")
    found = load("source,label\na.mp4,top\n", videos)
    assert labels(found, videos) == {"a.mp4": "top"}


@pytest.mark.parametrize("spelled", ["shots/shot01", "shots/shot01/", "shot01", "shots/shot01/f_*.png"])  # fmt: skip  # noqa: E501
def test_a_sequence_goes_by_its_folder_or_by_its_pattern(videos: Path, spelled: str) -> None:
    found = load(f"source,label\n{spelled},walk\n", videos)
    assert labels(found, videos) == {"shots/shot01/f_*.png": "walk"}


def test_letters_with_marks_are_found_however_they_are_composed(videos: Path) -> None:
    composed, decomposed = "dogs/ünïcode, x.mp4", "dogs/u\u0308ni\u0308code, x.mp4"
    for name in (composed, decomposed):
        found = load(f'source,label\n"{name}",dog\n', videos)
        assert labels(found, videos) == {composed: "dog"}


def test_names_relative_to_a_glob_and_to_a_bucket_are_found(tmp_path: Path, videos: Path) -> None:
    (tmp_path / "facts.csv").write_text("source,label\ncats/b.mp4,x\nfar/c.mp4,y\n")
    uris = [(videos / "cats" / "b.mp4").as_uri(), "s3://bucket/raw/far/c.mp4"]
    asked = [f"{videos}/**/*.mp4", "s3://bucket/raw"]
    found = load_metadata(str(tmp_path / "facts.csv"), uris, asked, NOWHERE)
    assert [found.facts_of(uri).label for uri in uris] == ["x", "y"]


def test_a_row_that_fits_two_sources_is_refused_and_both_are_named(videos: Path) -> None:
    with pytest.raises(ConfigError, match=r"row 1: same\.mp4 may be .*cats/same.*dogs/same") as one:
        load("source,consent\nsame.mp4,no\n", videos)
    assert "give its path or URI" in str(one.value)


def test_two_rows_about_one_source_must_agree(videos: Path) -> None:
    agreeing = "source,consent\na.mp4,yes\nvideos/a.mp4,granted\na.mp4,yes\n"
    assert load(agreeing, videos).facts_of((videos / "a.mp4").as_uri()).consent == "granted"
    for second in ("a.mp4", "videos/a.mp4", str(videos / "a.mp4")):
        with pytest.raises(ConfigError, match=r"rows 1 and 2 say different things of .*a\.mp4"):
            load(f"source,consent\na.mp4,yes\n{second},no\n", videos)


def test_rows_about_nothing_are_told(videos: Path) -> None:
    found = load("source,label\nnowhere.mp4,x\ncats/none.mp4,y\na.mp4,z\n", videos)
    assert found.unmatched == ("nowhere.mp4", "cats/none.mp4")
    assert labels(found, videos) == {"a.mp4": "z"}


def test_no_file_says_nothing() -> None:
    assert load_metadata(None, ["file:///a.mp4"], ["/"], NOWHERE) == Metadata()


@pytest.mark.parametrize(
    ("consent", "refusal"),
    [
        *((word, None) for word in ("yes", "Granted", "TRUE", "1", "")),
        *((word, "consent refused") for word in ("no", "Refused", "false", "0", "withdrawn")),
    ],
)
def test_consent_in_many_words(videos: Path, consent: str, refusal: str | None) -> None:
    facts = load(f"source,consent\na.mp4,{consent}\n", videos).facts_of((videos / "a.mp4").as_uri())
    assert facts.refusal(date(2026, 1, 1)) == refusal


def test_a_source_is_used_until_the_day_before_it_expires() -> None:
    facts = SourceFacts(expires=date(2026, 5, 1))
    assert facts.refusal(date(2026, 4, 30)) is None
    assert facts.refusal(date(2026, 5, 1)) == "expired"
    assert SourceFacts().refusal(date(9999, 12, 31)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"has the columns \(none\): give source"),
        ("label,owner\nx,y\n", "has the columns label, owner: give source"),
        ("source;label\na.mp4;x\n", "has the columns source;label: .* separated by commas"),
        ("source,lable\na.mp4,x\n", "columns source, lable: "),
        ("source,label,label\na.mp4,x,y\n", "each once"),
        ("source,label\na.mp4,x\nb.mp4\n", r"row 2 has 1 cells for 2 columns"),
        ("source,label\na.mp4,x,y\n", r"row 1 has 3 cells for 2 columns: quote"),
        ("source,expires\na.mp4,2026-13-01\n", r"row 1: expires is '2026-13-01': give a date as"),
        ("source,expires\na.mp4,01/02/2026\n", r"expires is '01/02/2026'"),
        ("source,expires\na.mp4,20260102\n", r"expires is '20260102'"),
        ("source,consent\na.mp4,refusd\n", r"row 1: consent is 'refusd': give one of .*granted"),
        ("source,consent\n,yes\n", "row 1 names no source"),
        ('source,label\n"a.mp4,x\n', "line 2 is no CSV"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(
    videos: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"facts\.csv.*{said}") as caught:
        load(text, videos)
    assert "\n" not in str(caught.value)


def test_spreadsheets_blank_lines_and_american_spelling_are_fine(videos: Path) -> None:
    text = "\ufeffSource , License\r\n\r\na.mp4 , MIT\r\n,\r\n"
    found = load(text, videos)
    assert found.facts_of((videos / "a.mp4").as_uri()).licence == "MIT"


@pytest.mark.parametrize("data", [b"source\n\xff.mp4\n", b"PAR1 and no more", b"\x00\x01\x02"])
def test_files_of_another_kind_are_refused(videos: Path, data: bytes) -> None:
    path = videos.parent / "facts"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="facts"):
        load_from(path, [videos])


def test_a_file_that_is_not_there_is_named(videos: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv .*No such file.*ingest\.metadata"):
        load_from(videos / "nowhere.csv", [videos])
    with pytest.raises(ConfigError, match="Is a directory"):
        load_from(videos, [videos])


@pytest.mark.parametrize(
    "columns",
    [
        {"consent": [True, False], "expires": [date(2027, 1, 2), None]},
        {"consent": ["yes", "no"], "expires": [datetime(2027, 1, 2, 3), None]},  # noqa: DTZ001
        {"consent": pa.array(["granted", "no"]).dictionary_encode(), "expires": ["2027-01-02", ""]},
    ],
)
def test_parquet_says_the_same_as_csv(videos: Path, columns: dict[str, Any]) -> None:
    path = videos.parent / "facts.parquet"
    pq.write_table(pa.table({"source": ["a.mp4", "b.mp4"], **columns}), path)
    found = load_from(path, [videos])
    assert found.facts_of((videos / "a.mp4").as_uri()) == SourceFacts(
        consent="granted", expires=date(2027, 1, 2)
    )
    assert found.facts_of((videos / "cats" / "b.mp4").as_uri()).consent == "refused"
