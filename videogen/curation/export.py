"""Writes a snapshot's clips as files that other programs read, without videogen.

`webdataset`: tars of one sample a clip, `CLIP.json` and `CLIP.00000.png` (or `.jpg`) and on.
`mp4`: one H.264 file a clip, in a folder a label. `frames`: one folder of images a clip, as
StyleGAN-V takes them. Frames are copied bit by bit (PNG, or the stored JPEG); mp4 is lossy. Beside
them `clips.jsonl` says what each clip is. Every file (every folder of images) appears whole or not
at all, and an export that was interrupted goes on when it is asked for again.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from videogen.artifacts import Artifact
from videogen.curation.export_files import safe_name, write_images, write_tar
from videogen.data.shards.tar_shard import read_clip, read_clip_bytes
from videogen.data.snapshots.clip_table import ClipRow
from videogen.data.snapshots.snapshot import Snapshot
from videogen.data.video.writer import write_video
from videogen.errors import DatasetError, VideogenError
from videogen.progress import Progress, ProgressEvent
from videogen.storage.base import ObjectStore

ExportFormat = Literal["webdataset", "mp4", "frames"]
Split = Literal["train", "holdout", "all"]

MARKER = "export.json"
INDEX = "clips.jsonl"
_TAR_BYTES = 256 << 20
_UNLABELLED = "unlabelled"
_PART = ".part-"


class ExportError(VideogenError):
    """An export could not be written."""


class Exported(Artifact):
    """What an export came to."""

    dataset: str
    snapshot: str
    format: ExportFormat
    split: Split
    directory: str
    clips: int
    frames: int
    files: int
    """Tars, videos, or folders of images."""
    new_files: int
    """Of them, written by this call."""


@dataclass(frozen=True)
class _Job:
    """One file, or one folder of images."""

    path: Path
    clips: tuple[ClipRow, ...]


def export(
    store: ObjectStore,
    snapshot: Snapshot,
    kind: ExportFormat,
    directory: Path,
    progress: Progress,
    *,
    split: Split = "all",
) -> Exported:
    """Write the clips of a snapshot below `directory`, which must be new, empty, or such an export.

    No name comes from a source; labels become names only after `safe_name`. Raises `ExportError`
    where the directory holds anything else or cannot be written, `DatasetError` for no clip, and
    `CorruptObjectError` and `StorageError` of the store.
    """
    clips = snapshot.rows(split)
    if not clips:
        raise DatasetError(
            f"dataset {snapshot.dataset} has no clip in split {split}: export another split"
        )
    jobs = _jobs(kind, directory, clips)
    with _naming(directory):
        if _claim(directory, _marker(snapshot, kind, split)):
            _sweep(directory)
        new = [job for job in jobs if not job.path.exists()]
        there = len(jobs) - len(new)
        written = _each(_writer(store, snapshot, kind), new)
        for done, _ in enumerate(written, start=there + 1):
            progress(ProgressEvent("export", done, len(jobs), "files"))
        _write_index(directory, jobs)
    return Exported(
        dataset=snapshot.dataset,
        snapshot=snapshot.digest,
        format=kind,
        split=split,
        directory=str(directory),
        clips=len(clips),
        frames=sum(clip.frames for clip in clips),
        files=len(jobs),
        new_files=len(new),
    )


def _write_index(directory: Path, jobs: Sequence[_Job]) -> None:
    """Say of each clip what it is, and which file or folder it is in; written last."""
    with _whole(directory / INDEX) as staged, staged.open("w", encoding="utf-8") as index:
        for job in jobs:
            place = job.path.relative_to(directory).as_posix()
            for clip in job.clips:
                index.write(json.dumps({"file": place, **facts_of(clip)}) + "\n")


def facts_of(clip: ClipRow) -> dict[str, object]:
    """What a clip is, as JSON-ready values; nothing of where it lies in the store."""
    facts = asdict(clip)
    for name in ("shard", "offset", "length", "sha256", "perceptual_hash"):
        del facts[name]
    facts["decisions"] = json.loads(clip.decisions) if clip.decisions else {}
    return facts


def _jobs(kind: ExportFormat, directory: Path, clips: Sequence[ClipRow]) -> list[_Job]:
    """What is written where: a function of the clips, so that an export can go on."""
    if kind == "webdataset":
        return list(_tars(directory, clips))
    jobs = []
    for clip in sorted(clips, key=lambda clip: (clip.shard, clip.offset)):  # as they are read best
        folder = directory / clip.split
        if kind == "mp4":
            path = folder / safe_name(clip.label or _UNLABELLED) / f"{clip.clip_id}.mp4"
        else:
            path = folder / clip.clip_id
        jobs.append(_Job(path, (clip,)))
    return jobs


def _tars(directory: Path, clips: Sequence[ClipRow]) -> Iterator[_Job]:
    """Clips in the order of their ids, which is random, cut where a tar is full."""
    for split in sorted({clip.split for clip in clips}):
        members: list[ClipRow] = []
        size_bytes, number = 0, 0
        for clip in clips:
            if clip.split != split:
                continue
            if members and size_bytes + clip.length > _TAR_BYTES:
                yield _Job(directory / f"{split}-{number:06d}.tar", tuple(members))
                members, size_bytes, number = [], 0, number + 1
            members.append(clip)
            size_bytes += clip.length
        yield _Job(directory / f"{split}-{number:06d}.tar", tuple(members))


def _writer(store: ObjectStore, snapshot: Snapshot, kind: ExportFormat) -> Callable[[_Job], None]:
    dataset = snapshot.dataset

    def webdataset(job: _Job) -> None:
        samples = (
            (clip.clip_id, facts_of(clip), read_clip_bytes(store, dataset, clip))
            for clip in job.clips
        )
        with _whole(job.path) as staged:
            write_tar(staged, samples)

    def mp4(job: _Job) -> None:
        (clip,) = job.clips
        facts = {"dataset": dataset, "snapshot": snapshot.digest, "clip_id": clip.clip_id}
        frames = read_clip(store, dataset, clip)
        with _whole(job.path) as staged:
            write_video(staged, frames, clip.fps, provenance=facts)

    def frames(job: _Job) -> None:
        (clip,) = job.clips
        with _whole(job.path) as staged:
            write_images(staged, read_clip_bytes(store, dataset, clip))

    return {"webdataset": webdataset, "mp4": mp4, "frames": frames}[kind]


def _each(write: Callable[[_Job], None], jobs: Sequence[_Job]) -> Iterator[_Job]:
    """Write all, a few at a time; what was begun is finished or undone when the caller stops."""
    at_once = min(8, len(os.sched_getaffinity(0)) + 1)  # one waits for the store
    left = iter(jobs)
    with ThreadPoolExecutor(at_once) as threads:
        running: dict[Future[None], _Job] = {}
        while True:
            for job in islice(left, at_once - len(running)):
                running[threads.submit(write, job)] = job
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                future.result()
                yield job


def _marker(snapshot: Snapshot, kind: ExportFormat, split: Split) -> bytes:
    document = {
        "made_by": "videogen dataset export",
        "dataset": snapshot.dataset,
        "snapshot": snapshot.digest,
        "format": kind,
        "split": split,
    }
    return json.dumps(document, indent=1).encode()


def _claim(directory: Path, marker: bytes) -> bool:
    """Make the directory this export's; whether it was before.

    Raises `ExportError` where it is anything else's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / MARKER
    if path.is_file() and path.read_bytes() == marker:
        return True
    if next(directory.iterdir(), None) is not None:
        raise ExportError(
            f"{directory} is not empty and holds no export of this snapshot, format and split: "
            "nothing there is overwritten; give another --out"
        )
    with _whole(path) as staged:
        staged.write_bytes(marker)
    return False


def _sweep(directory: Path) -> None:
    """Remove what an export that was killed had begun, in files and in folders of images."""
    for parent, directories, files in os.walk(directory):
        for name in [one for one in directories if one.startswith(_PART)]:
            directories.remove(name)
            shutil.rmtree(Path(parent, name))
        for name in files:
            if name.startswith(_PART) or (name.startswith(".") and name.endswith(".part")):
                Path(parent, name).unlink()


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file or folder, which takes the name `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{_PART}{uuid.uuid4().hex}{path.suffix}")
    try:
        yield staged
        os.replace(staged, path)  # noqa: PTH105 - in one step
    finally:
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            with suppress(OSError):
                staged.unlink(missing_ok=True)


@contextmanager
def _naming(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"cannot write {error.filename or directory}: {error.strerror or error}: make room or "
            "give another --out; the same command goes on from there"
        ) from error
