"""What `videogen bench ingest` runs and times: bare decoding, and the stage itself."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import av

from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.errors import SourceError
from videogen.execution.ray_session import Cluster
from videogen.ingest.stage import Tasks, ingest
from videogen.progress import silent
from videogen.storage.connect import open_store

Item = TypeVar("Item")
Result = TypeVar("Result")


class Here:
    """Runs the tasks of a stage in this process, one after the other."""

    def stream(
        self,
        function: Callable[[Item], Iterable[Result]],
        items: Iterable[Item],
        **_: Any,  # noqa: ANN401 - no worker dies here
    ) -> Iterator[tuple[int, Result]]:
        """See `videogen.ingest.stage.Tasks.stream`."""
        for index, item in enumerate(items):
            for result in function(item):
                yield index, result


class FewerWorkers:
    """A cluster of which at most so many workers are busy at a time."""

    def __init__(self, cluster: Cluster, num_workers: int) -> None:
        self._cluster = cluster
        self._num_workers = num_workers

    def stream(
        self,
        function: Callable[[Item], Iterable[Result]],
        items: Iterable[Item],
        **options: Any,  # noqa: ANN401 - those of the cluster
    ) -> Iterator[tuple[int, Result]]:
        """See `videogen.ingest.stage.Tasks.stream`."""
        limited = {**options, "max_in_flight": self._num_workers}
        yield from self._cluster.stream(function, items, **limited)


def decode(path: Path) -> int:
    """Decode every frame with PyAV on one thread, and do nothing with it; how many there were.

    Raises `SourceError` where FFmpeg gives up.
    """
    try:
        with av.open(str(path.absolute())) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            return sum(1 for _ in container.decode(stream))
    except av.error.FFmpegError as error:
        raise SourceError(
            f"{path} cannot be decoded: {error.strerror or error}: measure another file"
        ) from error


def ingest_here(paths: Sequence[Path], size: int, fps: float, scratch: Path) -> int:
    """`ingest_files` in this process."""
    return ingest_files(paths, (size, fps), scratch, Here())


def ingest_files(
    paths: Sequence[Path], kind: tuple[int, float], scratch: Path, tasks: Tasks
) -> int:
    """Ingest files into a fresh store, and remove it; the frames of the clips.

    `kind` is the side of the frames in pixels, and the rate. All else is as a config has it that
    says nothing, so shots are found and filters are on. Raises `SourceError` where a file is
    quarantined: then there is nothing to compare.
    """
    size, fps = kind
    root = Path(tempfile.mkdtemp(prefix="store-", dir=scratch))
    config = RunConfig(
        name="bench",
        storage=StorageConfig(root=str(root)),
        ingest=IngestConfig(
            sources=tuple(str(path.absolute()) for path in paths),
            resolution=(size, size),
            fps=fps,
            max_quarantined_fraction=1.0,
        ),
    )
    try:
        made = ingest(config, open_store(config.storage), tasks, silent)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if made.quarantined:
        first = made.quarantined[0]
        raise SourceError(
            f"{first['source']} cannot be ingested: {first['reason']}, {first['detail']}: "
            "measure another file"
        )
    return made.frames
