"""What a snapshot is made of, in numbers: lengths, looks, places, and what was left out and why."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from videogen.artifacts import Artifact
from videogen.data.snapshots.snapshot import Snapshot
from videogen.ingest.known.ledger import read_ledger
from videogen.storage.base import ObjectStore

_BINS = 24
_TAIL_PERCENTILE = 99
_UNNAMED = "(none)"
_UNKNOWN = "unknown"

Values = NDArray[np.float64]


class Histogram(Artifact):
    """How many clips lie between two edges; the last bin holds all that is beyond it too."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    median: float
    has_tail: bool
    """Whether values lie above the last edge."""


class SplitCount(Artifact):
    """One split."""

    sources: int
    clips: int
    frames: int
    seconds: float


class DatasetStats(Artifact):
    """A snapshot in numbers; dictionaries are ordered, most first."""

    dataset: str
    snapshot: str
    ingest_digest: str
    height: int
    width: int
    fps: float
    sources: int
    clips: int
    frames: int
    seconds: float
    clip_bytes: int
    """Of all clips in their shards."""
    source_bytes: int
    """Of the files that clips were taken from, where that was noted."""
    splits: dict[str, SplitCount]
    labels: dict[str, int]
    """Clips by label."""
    licences: dict[str, int]
    """Sources; so for what follows."""
    consents: dict[str, int]
    owners: dict[str, int]
    next_expiry: str | None
    """The first date from which a source is no longer used."""
    source_resolutions: dict[str, int]
    source_codecs: dict[str, int]
    source_rates: dict[str, int]
    containers: dict[str, int]
    colours: dict[str, int]
    clip_seconds: Histogram
    motion: Histogram
    """Mean absolute change of luma from frame to frame, in levels."""
    brightness: Histogram
    """Mean luma, 0 to 255."""
    contrast: Histogram
    """Standard deviation of luma within a frame."""
    quarantined: dict[str, int]
    """Sources by reason."""
    filtered: dict[str, int]
    """Clips left out, by reason."""


def dataset_stats(store: ObjectStore, snapshot: Snapshot) -> DatasetStats:
    """Count everything; reads the rows and the ledger, no shard. Raises as `read_ledger` does."""
    clips, document = snapshot.clips, snapshot.document
    sources = clips.take(_first_of_each(clips.column("source_sha256")))
    decisions = [_parsed(text) for text in _texts(sources, "decisions")]
    ledger = read_ledger(store, snapshot.dataset, document.ingest_digest)
    seconds = _values(clips, "frames") / document.fps
    dates = [date for date in _texts(sources, "expires") if date]
    return DatasetStats(
        dataset=snapshot.dataset,
        snapshot=snapshot.digest,
        ingest_digest=document.ingest_digest,
        height=document.height,
        width=document.width,
        fps=document.fps,
        sources=len(sources),
        clips=len(clips),
        frames=document.frames,
        seconds=round(float(seconds.sum()), 3),
        clip_bytes=pc.sum(clips.column("length")).as_py() or 0,
        source_bytes=pc.sum(sources.column("source_bytes")).as_py() or 0,
        splits=_splits(clips, document.fps),
        labels=_counted(_texts(clips, "label")),
        licences=_counted(_texts(sources, "licence")),
        consents=_counted(_texts(sources, "consent")),
        owners=_counted(_texts(sources, "owner")),
        next_expiry=min(dates, default=None),
        source_resolutions=_counted(_sizes(decisions)),
        source_codecs=_counted(str(one.get("codec", _UNKNOWN)) for one in decisions),
        source_rates=_counted(_rates(decisions)),
        containers=_counted(_suffix(uri) for uri in _texts(sources, "source")),
        colours=_counted(_texts(sources, "colour")),
        clip_seconds=_histogram(seconds),
        motion=_histogram(_values(clips, "motion")),
        brightness=_histogram(_values(clips, "brightness"), upper=255.0),
        contrast=_histogram(_values(clips, "contrast")),
        quarantined=_counted(one for one in ledger.table.column("reason").to_pylist() if one),
        filtered=_ordered(Counter(ledger.filtered())),
    )


def _first_of_each(column: pa.ChunkedArray) -> pa.Array:
    """The index of the first row of each value, in their order."""
    keys = np.array(column.to_pylist(), dtype="S32")
    _, first = np.unique(keys, return_index=True)
    return pa.array(np.sort(first))


def _texts(table: pa.Table, name: str) -> list[str | None]:
    values: list[str | None] = table.column(name).cast(pa.string()).to_pylist()
    return values


def _values(table: pa.Table, name: str) -> Values:
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    return _ordered(Counter(value or _UNNAMED for value in values))


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _splits(clips: pa.Table, fps: float) -> dict[str, SplitCount]:
    found = {}
    split = clips.column("split").cast(pa.string())
    for name in sorted(pc.unique(split).to_pylist(), reverse=True):
        rows = clips.filter(pc.equal(split, name))
        frames = pc.sum(rows.column("frames")).as_py()
        found[name] = SplitCount(
            sources=len(pc.unique(rows.column("source_sha256"))),
            clips=len(rows),
            frames=frames,
            seconds=round(frames / fps, 3),
        )
    return found


def _parsed(text: str | None) -> dict[str, object]:
    document = json.loads(text) if text else {}
    return document if isinstance(document, dict) else {}


def _sizes(decisions: Iterable[dict[str, object]]) -> Iterable[str]:
    for one in decisions:
        yield f"{one['width']}x{one['height']}" if {"width", "height"} <= one.keys() else _UNKNOWN


def _rates(decisions: Iterable[dict[str, object]]) -> Iterable[str]:
    for one in decisions:
        rate = one.get("rate")
        yield f"{rate:.3f}".rstrip("0").rstrip(".") if isinstance(rate, float) else _UNKNOWN


def _suffix(uri: str | None) -> str:
    return PurePosixPath(uri or "").suffix.lower().removeprefix(".") or "frames"


def _histogram(values: Values, upper: float | None = None) -> Histogram:
    """Bins from 0 to `upper`, or to where all but the last percent of the values lie."""
    values = values[np.isfinite(values)]
    if upper is None:
        top = float(np.percentile(values, _TAIL_PERCENTILE)) if len(values) else 0.0
        upper = _round_up(top)
    edges = np.linspace(0.0, upper, _BINS + 1)
    counts, _ = np.histogram(np.clip(values, 0.0, upper), edges)
    return Histogram(
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        median=round(float(np.median(values)), 3) if len(values) else 0.0,
        has_tail=bool(len(values) and values.max() > upper),
    )


def _round_up(value: float) -> float:
    """The next larger of 1.2, 2.4, 3.6, 4.8, 6, 8.4, 12 times a power of ten; 1.2 for nothing."""
    if value <= 0:
        return 1.2
    scale = 10.0 ** np.floor(np.log10(value))
    steps = np.array([1.2, 2.4, 3.6, 4.8, 6.0, 8.4, 12.0])
    return float(np.round(steps[steps * scale >= value][0] * scale, 9))
