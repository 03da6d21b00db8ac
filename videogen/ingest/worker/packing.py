"""The clips of a group of sources, packed into shards that go to the store as they fill up."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from videogen.data.shards.tar_shard import ShardWriter, Written, shard_key
from videogen.data.snapshots.clip_table import ClipRow
from videogen.ingest.clips.cutter import Cut, clip_id, split_of
from videogen.ingest.sources.source import Source
from videogen.ingest.worker.reading import Spooled, cut_rule
from videogen.ingest.worker.tasks import Target
from videogen.storage.base import ObjectStore

_IN_SHARDS = frozenset(
    (
        *("clip_id", "source_sha256", "start_s", "end_s", "frames", "fps"),
        *("height", "width", "codec", "colour", "split"),
    )
)
"""What of a row a shard repeats: nothing of where the source or the clip lies."""


class Packer:
    """Takes whole sources, one after the other; a context manager.

    Rows are complete once their shard is finished: ask `placed` for them after `finish`.
    """

    def __init__(self, target: Target, store: ObjectStore, directory: Path) -> None:
        self._target = target
        self._store = store
        self._writer = ShardWriter(directory, target.ingest.shard_size_bytes)
        self._rule = cut_rule(target.ingest)
        self._rows: dict[str, ClipRow] = {}

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def add(self, source: Source, sha256: str, spooled: Spooled, spool: IO[bytes]) -> list[str]:
        """Pack the clips of a source, whose bytes are read from `spool`; their ids."""
        document = spooled.decisions.as_document()
        alike = ClipRow(
            clip_id="",
            source=source.uri,
            source_sha256=sha256,
            start_s=0.0,
            end_s=0.0,
            shard="",
            offset=0,
            length=0,
            sha256="",
            frames=0,
            fps=self._rule.fps,
            height=self._rule.height,
            width=self._rule.width,
            codec=self._rule.codec,
            colour=spooled.decisions.colour,
            split=split_of(sha256, self._target.ingest.holdout_fraction),
            label=source.label,
            source_bytes=source.size_bytes,
            decisions=json.dumps(document, sort_keys=True),
        )
        ids = []
        for one, size in spooled.clips:
            row = self._row(alike, replace(one, data=spool.read(size)))
            ids.append(row.clip_id)
        return ids

    def finish(self) -> None:
        """Upload the shard that is not full."""
        self._upload(self._writer.finish())

    def placed(self, ids: Sequence[str]) -> tuple[ClipRow, ...]:
        """The rows of clips that were packed."""
        return tuple(self._rows[one] for one in ids)

    def _row(self, alike: ClipRow, one: Cut) -> ClipRow:
        """Append a clip to the shard; `_upload` fills in where it lies."""
        digest = self._target.ingest_digest
        row = replace(
            alike,
            clip_id=clip_id(alike.source_sha256, one, digest),
            start_s=one.start_s,
            end_s=one.end_s,
            length=len(one.data),
            frames=one.frames,
            brightness=one.look.brightness,
            contrast=one.look.contrast,
            motion=one.look.motion,
            perceptual_hash=one.look.perceptual_hash,
        )
        facts = {name: value for name, value in asdict(row).items() if name in _IN_SHARDS}
        facts |= {"ingest_digest": digest, "decisions": json.loads(row.decisions)}
        self._rows[row.clip_id] = row
        self._upload(self._writer.add(row.clip_id, facts, one.data))
        return row

    def _upload(self, written: Written | None) -> None:
        if written is None:
            return
        self._store.upload(shard_key(self._target.dataset, written.sha256), written.path)
        written.path.unlink()
        for clip in written.clips:
            row = self._rows[clip.clip_id]
            self._rows[clip.clip_id] = replace(
                row, shard=written.sha256, offset=clip.offset, sha256=clip.sha256
            )
