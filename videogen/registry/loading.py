"""Generators from the registry or from a directory, and the videos that they make, as files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

from videogen.data.video.writer import write_sheet, write_video
from videogen.errors import ConfigError, RegistryError
from videogen.mlflow_connection import connect, mlflow_errors, redacted
from videogen.models.export import GeneratorSpec
from videogen.models.export import load_generator as load_exported
from videogen.models.generator import VideoGenerator
from videogen.models.sampling import generate
from videogen.progress import Progress, ProgressEvent
from videogen.registry import versions
from videogen.registry.request import ONE_AT_A_TIME, VideoRequest, checked_count, seeds_from

Format = Literal["mp4", "gif", "webp", "png", "sheet"]

_URI = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))")
_PLACES = ("", "generator", "artifacts/generator")
_MAX_SHEET = 256
_LATEST = "latest"


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

    A directory is an exported generator, or a downloaded model. Raises `RegistryError` where the
    registry has no such version (what there is, is named), `ConfigError` where `source` is none of
    these.
    """
    if not source.startswith("models:"):
        return _load_directory(Path(source))
    match = _URI.fullmatch(source)
    if match is None:
        raise ConfigError(f"model {source!r}: give models:/NAME@ALIAS or models:/NAME/VERSION")
    if tracking_uri is None:
        raise ConfigError(f"model {source}: no MLflow is known; set MLFLOW_TRACKING_URI")
    client = connect(tracking_uri)
    with mlflow_errors(tracking_uri, f"loading {source}"), TemporaryDirectory() as scratch:
        version = _find(client, match)
        if version is None:
            raise RegistryError(
                f"{source} is not in the registry at {redacted(tracking_uri)}: "
                f"{_what_there_is(client, match['name'])}"
            )
        files = _download(client, version, tracking_uri, Path(scratch))
        generator, spec = load_exported(files)
    provenance = {"model": version.name, "version": str(version.version)}
    provenance |= {
        name: version.tags[f"{versions.TAG}{name}"]
        for name in ("run_id", "snapshot", "manifest_sha256")
        if f"{versions.TAG}{name}" in version.tags
    }
    return LoadedGenerator(
        generator, spec, _fit_for_files(f"{version.name}-v{version.version}"), provenance
    )


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


def _load_directory(directory: Path) -> LoadedGenerator:
    for place in _PLACES:
        if (directory / place / "generator.json").is_file():
            generator, spec = load_exported(directory / place)
            label = directory.resolve().name
            return LoadedGenerator(generator, spec, _fit_for_files(label), {"model": label})
    raise ConfigError(
        f"model {str(directory)!r}: not a directory with a generator.json; give one, or "
        "models:/NAME@ALIAS"
    )


def _find(client: MlflowClient, match: re.Match[str]) -> ModelVersion | None:
    model = versions.find_model(client, match["name"])
    if model is None:
        return None
    number = match["version"] or model.aliases.get(match["alias"])
    if number == _LATEST:
        number = max((str(one.version) for one in model.latest_versions), key=int, default=None)
    if number is None or not str(number).isdecimal():
        return None
    return versions.find_version(client, match["name"], str(number))


def _what_there_is(client: MlflowClient, name: str) -> str:
    model = versions.find_model(client, name)
    if model is None:
        names = sorted(one.name for one in client.search_registered_models())
        return f"models there: {', '.join(names) or 'none; `videogen run` registers one'}"
    aliases = ", ".join(f"@{alias} (version {number})" for alias, number in model.aliases.items())
    newest = max((int(one.version) for one in model.latest_versions), default=None)
    return f"newest version of {name}: {newest or 'none'}; aliases: {aliases or 'none'}"


def _download(
    client: MlflowClient, version: ModelVersion, tracking_uri: str, directory: Path
) -> Path:
    """The exported generator of a version, below `directory`."""
    location = client.get_model_version_download_uri(version.name, version.version)
    if version.source and version.source.startswith("models:/m-"):
        location = client.get_logged_model(
            version.source.removeprefix("models:/")
        ).artifact_location
    return Path(
        download_artifacts(
            artifact_uri=f"{location}/artifacts/generator",
            dst_path=str(directory),
            tracking_uri=tracking_uri,
        )
    )


def _fit_for_files(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _tell(progress: Progress, done: int, total: int, message: str) -> None:
    progress(
        ProgressEvent(stage="generate", done=done, total=total, unit="videos", message=message)
    )
