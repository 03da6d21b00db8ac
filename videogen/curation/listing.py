"""Which datasets and snapshots a store holds, and what is in them."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches

import pyarrow as pa
import pyarrow.compute as pc

from videogen.artifacts import Artifact
from videogen.data.snapshots.forgotten import forgotten_sources
from videogen.data.snapshots.format import (
    Head,
    SnapshotDocument,
    head_key,
    snapshots_prefix,
)
from videogen.data.snapshots.snapshot import Snapshot, head, load_document, load_snapshot
from videogen.errors import DatasetError, ObjectMissingError, VideogenError
from videogen.storage.base import ObjectStore

_DATASETS = "datasets/"
_UNNAMED = "(none)"
_SHOWN_NAMES = 5
_SHOWN_SNAPSHOTS = 20


class DatasetSummary(Artifact):
    """A dataset as its current snapshot has it."""

    dataset: str
    snapshot: str = ""
    ingest_digest: str = ""
    sources: int = 0
    clips: int = 0
    frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    lineages: int = 0
    """How many ingest configs have a newest snapshot."""
    problem: str | None = None
    """Why nothing else is known of it."""


class SnapshotSummary(Artifact):
    """One snapshot of a dataset."""

    snapshot: str
    made_at: str
    """UTC, ISO 8601."""
    ingest_digest: str
    sources: int
    clips: int
    is_newest: bool
    """Whether it is the newest of its lineage."""
    is_current: bool


class DatasetDetails(DatasetSummary):
    """A snapshot by what its rows say."""

    seconds: float
    """Of all clips together."""
    clip_bytes: int
    """Of all clips in their shards."""
    shards: int
    parts: int
    splits: dict[str, int]
    """Clips by split; so for labels, licences and codecs."""
    labels: dict[str, int]
    licences: dict[str, int]
    codecs: dict[str, int]
    forgotten: int
    """Sources that the dataset was told to forget."""
    num_snapshots: int
    snapshots: tuple[SnapshotSummary, ...]
    """The newest, newest first."""


def dataset_names(store: ObjectStore) -> list[str]:
    """The names of all datasets, sorted."""
    return sorted(
        name for name in store.children(_DATASETS) if store.head(head_key(name)) is not None
    )


def list_datasets(store: ObjectStore) -> Iterator[DatasetSummary]:
    """All datasets by name; one that is damaged says so and stops nothing."""
    for name in dataset_names(store):
        try:
            current = require_head(store, name)
            yield _summary(load_document(store, name, current.snapshot), current)
        except ObjectMissingError:
            continue
        except VideogenError as error:
            yield DatasetSummary(dataset=name, problem=str(error))


def require_head(store: ObjectStore, dataset: str) -> Head:
    """Where the dataset is now.

    Raises `DatasetError`, naming the known dataset whose name is nearest, where there is none.
    """
    found = head(store, dataset)
    if found is not None:
        return found
    names = dataset_names(store)
    near = get_close_matches(dataset, names, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif names:
        more = ", …" if len(names) > _SHOWN_NAMES else ""
        hint = f"there are {', '.join(names[:_SHOWN_NAMES])}{more}"
    else:
        hint = "it holds no dataset at all; check --root"
    raise DatasetError(f"dataset {dataset!r} is not in {store.root}: {hint}")


def find_digest(store: ObjectStore, dataset: str, wanted: str | None = None) -> str:
    """The digest of the current snapshot, or the only one that begins with `wanted`.

    Raises `DatasetError` where there is none or several, and `CorruptObjectError` for `HEAD`.
    """
    if wanted is None:
        return require_head(store, dataset).snapshot
    known = snapshot_digests(store, dataset)
    if not known:
        require_head(store, dataset)
    found = [digest for digest in known if wanted and digest.startswith(wanted)]
    if len(found) != 1:
        problem = "several snapshots" if found else "no snapshot"
        raise DatasetError(
            f"dataset {dataset} has {problem} whose digest begins with {wanted!r}: "
            f"`videogen dataset show {dataset}` lists the newest of its {len(known)}"
        )
    return found[0]


def find_snapshot(store: ObjectStore, dataset: str, wanted: str | None = None) -> Snapshot:
    """The snapshot of `find_digest`; errors as of it and `load_snapshot`."""
    return load_snapshot(store, dataset, find_digest(store, dataset, wanted))


def snapshot_digests(store: ObjectStore, dataset: str) -> dict[str, float]:
    """The digests of all snapshots, with the time (epoch, s) at which each was written."""
    prefix = snapshots_prefix(dataset)
    return {
        info.key.removeprefix(prefix).removesuffix(".json"): info.modified_at
        for info in store.list(prefix)
    }


def newest_first(made: Mapping[str, float], heads: Collection[str]) -> list[str]:
    """Digests by when they were made; of one second, those that `HEAD` names come first.

    Servers tell whole seconds, in which several may have been written.
    """
    return sorted(made, key=lambda one: (-made[one], one not in heads, one))


def show(store: ObjectStore, dataset: str, wanted: str | None = None) -> DatasetDetails:
    """What is in a snapshot, and which snapshots there are; errors as of `find_snapshot`."""
    current = require_head(store, dataset)
    snapshot = find_snapshot(store, dataset, wanted)
    clips, made = snapshot.clips, snapshot_digests(store, dataset)
    seconds = pc.sum(pc.divide(clips.column("frames").cast(pa.float64()), clips.column("fps")))
    return DatasetDetails(
        **_summary(snapshot.document, current).model_dump(),
        seconds=round(seconds.as_py() or 0.0, 3),
        clip_bytes=pc.sum(clips.column("length")).as_py() or 0,
        shards=len(pc.unique(clips.column("shard"))),
        parts=len(snapshot.document.parts),
        splits=_counts(clips, "split"),
        labels=_counts(clips, "label"),
        licences=_counts(clips, "licence"),
        codecs=_counts(clips, "codec"),
        forgotten=len(forgotten_sources(store, dataset)),
        num_snapshots=len(made),
        snapshots=tuple(_history(store, dataset, current, made)),
    )


def _summary(document: SnapshotDocument, current: Head) -> DatasetSummary:
    return DatasetSummary(
        dataset=document.dataset,
        snapshot=document.digest,
        ingest_digest=document.ingest_digest,
        sources=document.sources,
        clips=document.clips,
        frames=document.frames,
        height=document.height,
        width=document.width,
        fps=document.fps,
        lineages=len(current.lineages),
    )


def _history(
    store: ObjectStore, dataset: str, current: Head, made: dict[str, float]
) -> Iterator[SnapshotSummary]:
    newest = set(current.lineages.values())
    for digest in newest_first(made, newest)[:_SHOWN_SNAPSHOTS]:
        document = load_document(store, dataset, digest)
        yield SnapshotSummary(
            snapshot=digest,
            made_at=datetime.fromtimestamp(made[digest], UTC).isoformat(timespec="seconds"),
            ingest_digest=document.ingest_digest,
            sources=document.sources,
            clips=document.clips,
            is_newest=digest in newest,
            is_current=digest == current.snapshot,
        )


def _counts(clips: pa.Table, column: str) -> dict[str, int]:
    """Clips by the value of a column, most first; those without one under `(none)`."""
    counted = pc.value_counts(clips.column(column).cast(pa.string())).to_pylist()
    ordered = sorted(counted, key=lambda one: (-one["counts"], one["values"] or ""))
    return {one["values"] or _UNNAMED: one["counts"] for one in ordered}
