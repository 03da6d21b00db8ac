"""What a source may be called by those who want it forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_dataset import INGEST_DIGEST, row_of, sha

from videogen.curation.forget import Wanted, look_up
from videogen.curation.holdings import Chain
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.ingest.sources.source import sequence_uri
from videogen.storage.local import LocalStore

FOLDER = "file:///films/a%20%2A%20b/"
SEQUENCE = sequence_uri(FOLDER, "f *_0001.png", "f *_")
"""Of images whose names have stars of their own."""
NONE = "0" * 64
SOURCES = ("file:///films/take%207.mp4", SEQUENCE, "s3://bucket/shot/f_*.png")


@pytest.mark.parametrize(
    ("called", "source"),
    [
        *((uri, uri) for uri in SOURCES),
        ("/films/take 7.mp4", "file:///films/take%207.mp4"),
        ("/films/x/../take 7.mp4", "file:///films/take%207.mp4"),
        ("/films/a * b/f *_*.png", SEQUENCE),
    ],
)
def test_a_source_goes_by_its_uri_or_by_the_path_that_is_shown_of_it(
    tmp_path: Path, called: str, source: str
) -> None:
    store = LocalStore(tmp_path)
    rows = [
        replace(row_of(index, None), source=uri, source_sha256=sha(uri), shard=NONE, sha256=NONE)
        for index, uri in enumerate(SOURCES)
    ]
    add_clips(store, "d", INGEST_DIGEST, table_of(rows))
    found = look_up(store, "d", Wanted(sources=(called,)), Chain.read(store, "d"))
    assert found == {sha(source)}
