"""A snapshot of any number of clips, made by column."""

import hashlib

import numpy as np
import pyarrow as pa

from videogen.data.snapshots.clip_table import SCHEMA, sort_rows, to_parquet
from videogen.data.snapshots.format import Part, SnapshotDocument, part_key, seal, snapshot_key

CLIPS_A_SHARD = 200


def _sha256(rng, num):
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(32), num, [None, pa.py_buffer(rng.bytes(32 * num))]
    )


def _column(field, num, rng):
    if field.type == pa.binary(32):
        return _sha256(rng, num)
    if pa.types.is_dictionary(field.type):
        return pa.DictionaryArray.from_arrays(np.zeros(num, np.int32), pa.array(["x"]))
    return pa.array(rng.integers(1, 100, num), type=field.type)


def rows(num):
    """Rows of random clips, a tenth of them held out."""
    rng = np.random.default_rng(0)
    columns = {field.name: _column(field, num, rng) for field in SCHEMA}
    split = pa.array((rng.random(num) < 0.1).astype(np.int32))
    columns["split"] = pa.DictionaryArray.from_arrays(split, pa.array(["train", "holdout"]))
    shards = _sha256(rng, -(-num // CLIPS_A_SHARD))
    columns["shard"] = shards.take(pa.array(np.arange(num) // CLIPS_A_SHARD))
    return pa.table(columns, schema=SCHEMA)


def store_snapshot(store, name, tables, num_clips=None):
    """Write tables as the parts of a snapshot of that name; by default, no clip is in two."""
    parts = []
    for table in tables:
        data = to_parquet(sort_rows(table))
        parts.append(Part(sha256=hashlib.sha256(data).hexdigest(), clips=len(table)))
        store.put(part_key("d", parts[-1].sha256), data)
    document = SnapshotDocument(
        dataset="d",
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
    store.put(snapshot_key("d", name), seal(document))
    return document
