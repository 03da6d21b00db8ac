"""A snapshot of any number of clips that are nowhere, made by column: to time what opens it."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from videogen.data.snapshots.clip_table import SCHEMA, sort_rows, to_parquet
from videogen.data.snapshots.format import Part, SnapshotDocument, part_key, seal, snapshot_key
from videogen.storage.base import ObjectStore

CLIPS_A_SHARD = 200
_HELD_OUT = 0.1
_DIGEST = pa.binary(32)


def random_rows(num: int) -> pa.Table:
    """Rows of random clips, a tenth of them held out."""
    rng = np.random.default_rng(0)
    columns = {field.name: _column(field, num, rng) for field in SCHEMA}
    split = pa.array((rng.random(num) < _HELD_OUT).astype(np.int32))
    columns["split"] = pa.DictionaryArray.from_arrays(split, pa.array(["train", "holdout"]))
    shards = _digests(rng, -(-num // CLIPS_A_SHARD))
    columns["shard"] = shards.take(pa.array(np.arange(num) // CLIPS_A_SHARD))
    return pa.table(columns, schema=SCHEMA)


def store_snapshot(
    store: ObjectStore,
    dataset: str,
    name: str,
    tables: Sequence[pa.Table],
    num_clips: int | None = None,
) -> SnapshotDocument:
    """Write tables as the parts of a snapshot of that name, which is no digest of them.

    `num_clips` is what it says it holds: where a clip is in two parts, fewer than their rows.
    """
    parts = []
    for table in tables:
        data = to_parquet(sort_rows(table))
        parts.append(Part(sha256=hashlib.sha256(data).hexdigest(), clips=len(table)))
        store.put(part_key(dataset, parts[-1].sha256), data)
    document = SnapshotDocument(
        dataset=dataset,
        digest=name,
        ingest_digest="i",
        parts=tuple(parts),
        clips=num_clips or sum(map(len, tables)),
        frames=1,
        sources=1,
        height=16,
        width=16,
        fps=8.0,
    )
    store.put(snapshot_key(dataset, name), seal(document))
    return document


def _digests(rng: np.random.Generator, num: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(
        _DIGEST, num, [None, pa.py_buffer(rng.bytes(32 * num))]
    )


def _column(field: pa.Field, num: int, rng: np.random.Generator) -> pa.Array:
    if field.type == _DIGEST:
        return _digests(rng, num)
    if pa.types.is_dictionary(field.type):
        return pa.DictionaryArray.from_arrays(np.zeros(num, np.int32), pa.array(["x"]))
    return pa.array(rng.integers(1, 100, num), type=field.type)
