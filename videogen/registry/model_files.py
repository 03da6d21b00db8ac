"""The files of a generator that a person names: from the model registry, or from a directory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from videogen.errors import ConfigError, RegistryError
from videogen.mlflow_connection import connect, mlflow_errors, redacted
from videogen.registry import versions

_URI: Final = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))")
_PLACES: Final = ("", "generator", "artifacts/generator")
_GENERATOR: Final = "generator"
_DOCUMENTS: Final = "documents"
_LATEST: Final = "latest"


@dataclass(frozen=True)
class ModelFiles:
    """A generator's files on this machine, and what is known of where they come from."""

    uri: str
    """`models:/NAME/VERSION`, or the directory as it was named."""
    generator: Path
    """A directory that `models.export.load_generator` reads."""
    documents: Path | None
    """With the `config.yaml` that it was made by and the `evaluation.json` that it was judged by;
    None where it has none."""
    name: str
    """Of the registered model, or the directory's own."""
    version: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of the version."""

    @property
    def label(self) -> str:
        """Fit for the names of files."""
        label = self.name if self.version is None else f"{self.name}-v{self.version}"
        return re.sub(r"[^\w.-]+", "_", label)


def find_files(source: str, tracking_uri: str | None, scratch: Path) -> ModelFiles:
    """The files that `source` names: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, a directory.

    Those of a version are downloaded below `scratch`; a directory is an exported generator, or a
    downloaded model. Raises `RegistryError` where the registry has no such version (what there is,
    is named), `ConfigError` where `source` is none of these.
    """
    if not source.startswith("models:"):
        return _in_directory(Path(source))
    match = _URI.fullmatch(source)
    if match is None:
        raise ConfigError(f"model {source!r}: give models:/NAME@ALIAS or models:/NAME/VERSION")
    if tracking_uri is None:
        raise ConfigError(f"model {source}: no MLflow is known; set MLFLOW_TRACKING_URI")
    client = connect(tracking_uri)
    with mlflow_errors(tracking_uri, f"loading {source}"):
        version = _find(client, match)
        if version is None:
            raise RegistryError(
                f"{source} is not in the registry at {redacted(tracking_uri)}: "
                f"{_what_there_is(client, match['name'])}"
            )
        directories = _download(client, version, tracking_uri, scratch)
    return ModelFiles(
        uri=f"models:/{version.name}/{version.version}",
        generator=directories[_GENERATOR],
        documents=directories.get(_DOCUMENTS),
        name=version.name,
        version=str(version.version),
        tags=dict(version.tags),
    )


def _in_directory(directory: Path) -> ModelFiles:
    for place in _PLACES:
        found = directory / place
        if (found / "generator.json").is_file():
            documents = found.parent / _DOCUMENTS
            return ModelFiles(
                uri=str(directory),
                generator=found,
                documents=documents if place and documents.is_dir() else None,
                name=directory.resolve().name,
            )
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
    client: MlflowClient, version: ModelVersion, tracking_uri: str, scratch: Path
) -> dict[str, Path]:
    """The exported generator of a version, and its documents where it has any, by name."""
    location = client.get_model_version_download_uri(version.name, version.version)
    if version.source and version.source.startswith("models:/m-"):
        location = client.get_logged_model(
            version.source.removeprefix("models:/")
        ).artifact_location
    artifacts = f"{location}/artifacts"
    held = {Path(one.path).name for one in get_artifact_repository(artifacts).list_artifacts()}
    return {
        name: Path(
            download_artifacts(
                artifact_uri=f"{artifacts}/{name}", dst_path=str(scratch), tracking_uri=tracking_uri
            )
        )
        for name in (_GENERATOR, _DOCUMENTS)
        if name == _GENERATOR or name in held
    }
