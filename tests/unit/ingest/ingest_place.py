"""What the tests of the stage share: a cluster in this process, configs, and samples."""

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from videogen.artifacts import DatasetRef
from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.data.snapshots.clip_table import ClipRow
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.ingest.stage import ingest
from videogen.ingest.worker.tasks import ConvertTask, HashTask
from videogen.progress import silent
from videogen.storage.local import LocalStore

Item = TypeVar("Item")
Result = TypeVar("Result")


class Here:
    """Runs tasks in this process, in an order of its own; keeps which sources they had.

    `dies` says of a task whether its worker dies before it tells anything.
    """

    def __init__(
        self,
        *,
        backwards: bool = False,
        stop_after: int | None = None,
        dies: Callable[[ConvertTask], bool] = lambda task: False,
    ) -> None:
        self.calls = 0
        self.hashed: list[str] = []
        self.converted: list[str] = []
        self._backwards = backwards
        self._stop_after = stop_after
        self._dies = dies

    def stream(
        self,
        function: Callable[[Item], Iterable[Result]],
        items: Iterable[Item],
        *,
        lost: Callable[[Item], Iterable[Result]],
    ) -> Iterator[tuple[int, Result]]:
        self.calls += 1
        numbered = list(enumerate(items))
        for index, item in reversed(numbered) if self._backwards else numbered:
            if isinstance(item, HashTask):
                self.hashed += [source.uri for source in item.sources]
            if isinstance(item, ConvertTask):
                if self._stop_after == 0:
                    raise KeyboardInterrupt
                if self._dies(item):
                    lost(item)
                    continue
                self.converted += [fresh.source.uri for fresh in item.sources]
            for result in function(item):
                yield index, result
            if self._stop_after and isinstance(item, ConvertTask):
                self._stop_after -= 1


def config_for(store: LocalStore, *sources: Path, **changes: Any) -> RunConfig:
    ingest_config = IngestConfig(
        sources=tuple(map(str, sources)),
        resolution=(32, 32),
        max_clip_frames=24,
        **{"holdout_fraction": 0.3, **changes},
    )
    return RunConfig(name="d", storage=StorageConfig(root=store.root), ingest=ingest_config)


def run(store: LocalStore, *sources: Path, workers: Here | None = None, **changes: Any) -> DatasetRef:  # fmt: skip  # noqa: E501
    return ingest(config_for(store, *sources, **changes), store, workers or Here(), silent)


def objects(store: LocalStore) -> dict[str, tuple[str, int]]:
    root = Path(store.root)
    return {info.key: (info.etag, (root / info.key).stat().st_mtime_ns) for info in store.list("")}


def rows(store: LocalStore, answer: DatasetRef) -> list[ClipRow]:
    return load_snapshot(store, "d", answer.snapshot).rows()


def names(uris: Iterable[str]) -> set[str]:
    return {uri.rpartition("/")[2] for uri in uris}


def pad(path: Path, size_bytes: int) -> None:
    """Append a box that readers skip, so that the file has this size: planning goes by sizes."""
    missing = size_bytes - path.stat().st_size
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", missing, b"free") + bytes(missing - 8))
