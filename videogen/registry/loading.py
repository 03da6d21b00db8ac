"""Generators from the registry or from a directory, and the videos that they make, as files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from videogen.data.video.writer import write_sheet, write_video
from videogen.errors import ConfigError
from videogen.models.export import GeneratorSpec
from videogen.models.export import load_generator as load_exported
from videogen.models.generator import VideoGenerator
from videogen.models.sampling import generate
from videogen.progress import Progress, ProgressEvent
from videogen.registry.model_files import find_files
from videogen.registry.request import ONE_AT_A_TIME, VideoRequest, checked_count, seeds_from
from videogen.registry.versions import TAG

Format = Literal["mp4", "gif", "webp", "png", "sheet"]

_MAX_SHEET = 256


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator with what is known of its origin."""

    generator: VideoGenerator
    spec: GeneratorSpec
    label: str
    """Fit for file names: the model's name and version, or the directory's name."""
    provenance: Mapping[str, str]
    """For the metadata of files."""


@dataclass(frozen=True)
class GenerationRequest:
    """What `videogen generate` is asked for; None stands for the figure of the training."""

    model: str
    """`models:/NAME@ALIAS`, `models:/NAME/VERSION`, or a directory."""
    num_videos: int
    seed: int
    num_frames: int | None
    truncation: float
    fps: float | None
    out: Path
    """Directory, made where it is missing; files are named by model and seed."""
    format: Format
    """`png` is a strip of a video's frames; `sheet` is one PNG of all videos, a row each."""


def load_generator(source: str, tracking_uri: str | None) -> LoadedGenerator:
    """The generator that `source` names: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, a directory.

    Raises as `find_files`.
    """
    with TemporaryDirectory(prefix="videogen-generator-") as scratch:
        files = find_files(source, tracking_uri, Path(scratch))
        generator, spec = load_exported(files.generator)
    provenance = {"model": files.name}
    if files.version is not None:
        provenance["version"] = files.version
    provenance |= {
        name: files.tags[f"{TAG}{name}"]
        for name in ("run_id", "snapshot", "manifest_sha256")
        if f"{TAG}{name}" in files.tags
    }
    return LoadedGenerator(generator, spec, files.label, provenance)


def generate_files(
    request: GenerationRequest, *, tracking_uri: str | None, progress: Progress
) -> list[Path]:
    """Write the files that are asked for; their paths.

    Every file says in its metadata that it is AI-generated, by which model, from which seed. A
    video depends on its seed alone, never on the batch that it is made in. Raises `ConfigError`,
    `RegistryError` and `VideoWriteError`.
    """
    if request.format == "sheet" and request.num_videos > _MAX_SHEET:
        raise ConfigError(f"a sheet holds at most {_MAX_SHEET} videos, not {request.num_videos}")
    count = checked_count("num_videos", request.num_videos)
    _tell(progress, 0, count, f"loading {request.model}")
    loaded = load_generator(request.model, tracking_uri)
    videos = VideoRequest(
        seeds_from(request.seed, count),
        loaded.spec.num_frames if request.num_frames is None else request.num_frames,
        request.truncation,
        loaded.spec.fps if request.fps is None else request.fps,
    )
    if request.format == "sheet":
        return [_write_sheet(loaded, videos, request.out, progress)]
    paths = []
    for seed in videos.seeds:
        (frames,) = _frames(loaded, videos, (seed,))
        paths.append(_write_one(loaded, videos, request, seed, frames))
        _tell(progress, len(paths), count, str(paths[-1]))
    return paths


def _write_one(
    loaded: LoadedGenerator,
    videos: VideoRequest,
    request: GenerationRequest,
    seed: int,
    frames: NDArray[np.uint8],
) -> Path:
    path = request.out / f"{loaded.label}-seed-{seed:06d}.{request.format}"
    note = {**_note(loaded, videos), "seed": seed}
    match request.format:
        case "png" | "sheet":
            write_sheet(path, frames[None], provenance=note)
        case "mp4" | "gif" | "webp" as kind:
            write_video(path, frames, videos.fps, kind, provenance=note)
    return path


def _write_sheet(
    loaded: LoadedGenerator, request: VideoRequest, out: Path, progress: Progress
) -> Path:
    frames = _frames(loaded, request, request.seeds)
    first, last = request.seeds[0], request.seeds[-1]
    path = out / f"{loaded.label}-seeds-{first:06d}-{last:06d}.png"
    note = {**_note(loaded, request), "seed": first, "num_videos": len(request.seeds)}
    write_sheet(path, frames, title=loaded.label, provenance=note)
    _tell(progress, len(request.seeds), len(request.seeds), str(path))
    return path


def _frames(
    loaded: LoadedGenerator, request: VideoRequest, seeds: tuple[int, ...]
) -> NDArray[np.uint8]:
    return generate(
        loaded.generator,
        seeds,
        request.num_frames,
        truncation=request.truncation,
        fps_ratio=loaded.spec.fps / request.fps,
        batch_size=ONE_AT_A_TIME,
    )


def _note(loaded: LoadedGenerator, request: VideoRequest) -> dict[str, str | float]:
    return {
        "ai_generated": "true",
        "generator": "videogen",
        **loaded.provenance,
        "num_frames": request.num_frames,
        "truncation": request.truncation,
        "fps": request.fps,
    }


def _tell(progress: Progress, done: int, total: int, message: str) -> None:
    progress(
        ProgressEvent(stage="generate", done=done, total=total, unit="videos", message=message)
    )
