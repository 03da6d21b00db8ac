"""The page about a dataset: its numbers are the dataset's, and it needs nothing but itself."""

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_dataset import FPS, INGEST_DIGEST, build, frames_of, sha

from videogen.curation.stats import dataset_stats
from videogen.curation.stats_page import (
    PageError,
    chart_of,
    render,
    rows_of_counts,
    spelled_bytes,
    spelled_time,
    write_page,
)
from videogen.curation.stills import contact_sheets
from videogen.data.snapshots.clip_table import table_of
from videogen.data.snapshots.snapshot import Snapshot
from videogen.ingest.known.ledger import Entry, Ledger, update_ledger
from videogen.ingest.known.records import SourceRecord
from videogen.progress import silent

LABELS = ["cat", "dog", "cat", None, "dog", "cat"]


class Page(HTMLParser):
    """The tags of a page, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(root: Path, labels: list[str | None]) -> Page:
    store, snapshot = build(root, labels)
    return Page(render(dataset_stats(store, snapshot), contact_sheets(store, snapshot, silent)))


def with_rows(snapshot: Snapshot, **values: list[object]) -> Snapshot:
    """The same snapshot with other values in some columns, by the clips' numbers."""
    rows = []
    for row in snapshot.rows():
        index = next(i for i in range(100) if sha(f"clip {i}") == row.clip_id)
        rows.append(replace(row, **{name: column[index] for name, column in values.items()}))
    return Snapshot(snapshot.document, table_of(rows))


def test_clips_and_sources_are_counted_each_by_its_own_kind(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    stats = dataset_stats(store, snapshot)
    assert (stats.sources, stats.clips, stats.frames) == (3, 6, 36)
    assert stats.seconds == 36 / FPS
    assert stats.labels == {"cat": 3, "dog": 2, "(none)": 1}
    assert list(stats.labels) == ["cat", "dog", "(none)"], "most first"
    assert stats.licences == {"CC0": 3}
    assert stats.source_resolutions == {"1280x720": 3}
    assert stats.source_bytes == 1000 + 1001 + 1002
    assert stats.clip_bytes == sum(row.length for row in snapshot.rows())
    train, holdout = stats.splits["train"], stats.splits["holdout"]
    assert (train.sources, train.clips, train.frames) == (2, 4, 24)
    assert (holdout.sources, holdout.clips, holdout.seconds) == (1, 2, 12 / FPS)
    assert stats.next_expiry is None


def test_the_first_expiry_is_the_earliest_of_all(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    dates = ["2031-01-01", None, "2029-12-31", "2031-01-01", None, "2029-12-31"]
    dated = with_rows(snapshot, expires=dates)
    assert dataset_stats(store, dated).next_expiry == "2029-12-31"


def test_every_clip_is_in_one_bin_and_the_tail_in_the_last(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, ["a"] * 6)
    stats = dataset_stats(store, snapshot)
    for histogram in (stats.motion, stats.brightness, stats.contrast, stats.clip_seconds):
        assert sum(histogram.counts) == 6
        assert len(histogram.edges) == len(histogram.counts) + 1
    assert stats.brightness.edges[-1] == 255
    assert stats.brightness.median == 50
    values = np.repeat([1.0, 2.0, 3.0], [300, 300, 300])
    values[0] = 90.0
    (placed,) = snapshot.rows()[:1]
    rows = [
        replace(placed, clip_id=sha(f"clip {i}"), motion=value) for i, value in enumerate(values)
    ]
    tailed = dataset_stats(store, Snapshot(snapshot.document, table_of(rows))).motion
    assert tailed.has_tail
    assert 3 <= tailed.edges[-1] < 5
    assert sum(tailed.counts) == 900
    chart = chart_of("motion", "levels", tailed)
    assert "and more levels" in chart.bars[-1].title
    assert chart.ticks[-1][1].endswith("+")
    assert max(bar.height for bar in chart.bars) == 120
    assert all(bar.y + bar.height == pytest.approx(120) for bar in chart.bars)


def test_what_was_left_out_is_told_by_reason(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, LABELS)
    reasons = ["corrupt", "truncated", "corrupt", None]
    records = [
        SourceRecord(
            uri=f"file:///{index}",
            ingest_digest=INGEST_DIGEST,
            fingerprint="f",
            status="quarantined" if reason else "ingested",
            reason=reason,
            filtered={} if reason else {"too short": 4, "frozen": 1},
        )
        for index, reason in enumerate(reasons)
    ]
    update_ledger(store, "d", INGEST_DIGEST, Ledger.of([Entry.of(one) for one in records]))
    stats = dataset_stats(store, snapshot)
    assert stats.quarantined == {"corrupt": 2, "truncated": 1}
    assert stats.filtered == {"too short": 4, "frozen": 1}
    page = Page(render(stats, ()))
    assert "corrupt" in page.text
    assert "too short" in page.text


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path, LABELS)
    addresses = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert len(addresses) == 6
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    assert "http" not in page.text
    assert "url(" not in page.text
    assert {"svg", "rect", "figure", "table"} <= {tag for tag, _ in page.tags}


def test_names_are_shown_and_never_become_markup(tmp_path: Path) -> None:
    label = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    page = page_of(tmp_path, [label, "\N{RIGHT-TO-LEFT OVERRIDE}b\x00", "映画"])
    assert "script" not in {tag for tag, _ in page.tags}
    assert label in page.text
    assert "映画" in page.text
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_the_contact_sheet_shows_the_frames_of_one_clip_a_source_first(tmp_path: Path) -> None:
    store, snapshot = build(tmp_path, [None] * 60)
    sheets = {sheet.title: sheet for sheet in contact_sheets(store, snapshot, silent)}
    assert list(sheets) == [
        "a sample", "least motion", "most motion", "darkest", "brightest"
    ]  # fmt: skip
    sample = sheets["a sample"]
    assert len(sample.stills) == 32
    assert len({still.caption for still in sample.stills[:3]}) == 3, "three sources"
    least = sheets["least motion"].stills
    assert [f"clip {sha(f'clip {i}')[:12]}" in still.detail for i, still in enumerate(least)] == (
        [True] * 8
    )
    shown = Image.open(io.BytesIO(base64.b64decode(least[0].image.partition(",")[2])))
    assert shown.size == (least[0].width, least[0].height) == (4 * (24 * 4 + 2) - 2, 16 * 4)
    pixels = np.asarray(shown).astype(int)
    for place, frame in enumerate((0, 2, 3, 5)):
        left = place * (24 * 4 + 2)
        seen = pixels[2::4, left + 2 : left + 96 : 4]
        assert np.abs(seen - frames_of(0)[frame]).mean() < 6


def test_a_dataset_of_one_clip_has_a_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, [None])
    assert "1source" in "".join(page.text.split())
    assert sum(tag == "figure" for tag, _ in page.tags) == 1


def test_long_tables_end_with_the_sum_of_the_rest() -> None:
    rows = rows_of_counts({f"l{index:02d}": 100 - index for index in range(30)})
    assert len(rows) == 10
    assert rows[-1].name == "21 others"
    assert rows[-1].count == sum(100 - index for index in range(9, 30))
    assert max(row.share for row in rows) == 100


def test_sizes_and_times_are_spelled_for_people() -> None:
    assert [spelled_bytes(size) for size in (0, 999, 1000, 2_500_000, 3e15)] == [
        "0 bytes", "999 bytes", "1.0 kB", "2.5 MB", "3,000.0 TB"
    ]  # fmt: skip
    assert [spelled_time(s) for s in (2.25, 59.7, 75, 7380, 400_000)] == [
        "2.2 s", "1 min 0 s", "1 min 15 s", "2 h 3 min", "111 h 7 min"
    ]  # fmt: skip


def test_a_page_that_cannot_be_written_says_where_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "old")
    write_page(path, "new")
    assert path.read_text() == "new"
    with pytest.raises(PageError, match=r"page\.html"):
        write_page(path / "below.html", "x")
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
