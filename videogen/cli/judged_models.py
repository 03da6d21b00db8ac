"""Models that a command line names, and the data and protocol that they are to be judged by.

Without a config, both are those by which the first model that says so was judged before: then the
very same reals, in the same windows, stand for the data.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from videogen.artifacts import DatasetRef
from videogen.cli.services import Services, connect
from videogen.config.loading import (
    apply_overrides,
    build_config,
    read_document,
)
from videogen.config.run import RunConfig
from videogen.config.settings import Settings
from videogen.errors import ConfigError, DatasetError
from videogen.presets import load_config
from videogen.progress import Progress, ProgressEvent

if TYPE_CHECKING:
    from videogen.evaluation.foreign import ForeignGenerator
    from videogen.registry.model_files import ModelFiles

_WHERE: Final = ("storage.", "execution.")
_TAG: Final = "videogen."
_OF_PROTOCOL: Final = {
    "num_real": "num_clips",
    "num_frames": "num_frames",
    "frame_stride": "frame_stride",
    "split": "split",
    "seed": "seed",
    "covariance": "covariance",
    "precision": "precision",
    "neighbours": "neighbours",
}
"""Fields of a protocol, and the keys of the section evaluate that ask for them."""


@dataclass(frozen=True)
class Judging:
    """Models on this machine, and what they are to be judged on."""

    models: "tuple[ForeignGenerator, ...]"
    services: Services
    config: RunConfig
    dataset: DatasetRef


@contextmanager
def open_models(
    models: Sequence[str], config: str | None, overrides: Sequence[str], progress: Progress
) -> Iterator[Judging]:
    """The models, and what they are judged on, for the length of the block.

    Raises:
        VideogenError: a model is not there or damaged, none says what it was judged on, or its
            data is not in the store.
    """
    from videogen.evaluation.foreign import ForeignGenerator

    settings = Settings.from_environment()
    with ExitStack() as borrowed:
        scratch = Path(borrowed.enter_context(TemporaryDirectory(prefix="videogen-models-")))
        given = load_config(config, overrides) if config else None
        services = borrowed.enter_context(
            connect(given or _where_alone(overrides), settings, progress)
        )
        files = []
        for number, model in enumerate(models):
            progress(ProgressEvent("models", number, len(models), "models", f"loading {model}"))
            place = scratch / str(number)
            place.mkdir()
            files.append(_find(model, services, place))
        progress(ProgressEvent("models", len(models), len(models), "models"))
        _require_different(models, files)
        chosen = given or carried_config(files, overrides)
        if given is None and chosen.storage != _where_alone(overrides).storage:
            services = borrowed.enter_context(connect(chosen, settings, progress))
        dataset = _dataset(chosen, services, None if given else _judged(files))
        generators = tuple(
            ForeignGenerator.open(
                one.uri, one.generator, int(one.tags.get(f"{_TAG}clips_seen", "0"))
            )
            for one in files
        )
        yield Judging(generators, services, chosen, dataset)


def _find(model: str, services: Services, place: Path) -> "ModelFiles":
    from videogen.registry.model_files import find_files

    return find_files(model, services.tracking_uri, place)


def _require_different(models: Sequence[str], files: "Sequence[ModelFiles]") -> None:
    named: dict[str, str] = {}
    for model, found in zip(models, files, strict=True):
        if found.uri in named:
            raise ConfigError(
                f"{named[found.uri]} and {model} are the same model, {found.uri}: name two"
            )
        named[found.uri] = model


def _where_alone(overrides: Sequence[str]) -> RunConfig:
    """What of the overrides says where to look for models: one config before theirs is known."""
    where = [one for one in overrides if one.strip().startswith(_WHERE)]
    return build_config(apply_overrides({}, where))


def _judged(files: "Sequence[ModelFiles]") -> "ModelFiles":
    """The first model that says what it was judged on. Raises `ConfigError`."""
    found = next((one for one in files if _protocol(one).get("snapshot")), None)
    if found is None:
        uris = ", ".join(one.uri for one in files)
        raise ConfigError(
            f"{uris}: nothing says on which data and by which protocol to judge; name a config, "
            "whose dataset and section evaluate then count"
        )
    return found


def _protocol(files: "ModelFiles") -> Mapping[str, Any]:
    """The protocol that a model was judged by before; empty where it does not say."""
    tag = files.tags.get(f"{_TAG}protocol")
    if tag is not None:
        return dict(json.loads(tag))
    report = files.documents / "evaluation.json" if files.documents else None
    if report is None or not report.is_file():
        return {}
    return dict(json.loads(report.read_text())["protocol"])


def carried_config(files: "Sequence[ModelFiles]", overrides: Sequence[str]) -> RunConfig:
    """The config of the first model that was judged, to be run here by the protocol of that time.

    Where it ran, and the port that an embedded S3 had then, are not carried over.

    Raises:
        ConfigError: no model was judged, it carries no config, or none that can be read.
    """
    judged = _judged(files)
    path = judged.documents / "config.yaml" if judged.documents else None
    if path is None or not path.is_file():
        raise ConfigError(f"{judged.uri} carries no config.yaml: name a config to judge it by")
    document = read_document(path)
    document.pop("execution", None)
    if _is_embedded(document.get("storage") or {}):
        del document["storage"]
    protocol = _protocol(judged)
    known = {key: protocol[name] for name, key in _OF_PROTOCOL.items() if name in protocol}
    document["evaluate"] = {**document.get("evaluate", {}), **known}
    document["name"] = judged.tags.get(f"{_TAG}dataset", document.get("name"))
    try:
        build_config(document)
    except ConfigError as error:
        raise ConfigError(
            f"{judged.uri} carries a config that this videogen does not read ({error}): name one "
            "to judge it by"
        ) from error
    return build_config(apply_overrides(document, overrides))


def _is_embedded(storage: Mapping[str, Any]) -> bool:
    """Whether a section storage was filled in with the embedded S3 of some machine."""
    from videogen.stack.seaweedfs import ROOT
    from videogen.stack.service import LOOPBACK

    host = urlsplit(storage.get("endpoint_url") or "").hostname
    return storage.get("root") == ROOT and host == LOOPBACK


def _dataset(config: RunConfig, services: Services, judged: "ModelFiles | None") -> DatasetRef:
    """The data: of the config's ingest as it is now, or that on which a model was judged."""
    from videogen.data.snapshots.snapshot import load_snapshot
    from videogen.ingest.known.planning import dataset_ref
    from videogen.ingest.stage import current_dataset

    if judged is None:
        return current_dataset(config, services.store)
    try:
        snapshot = load_snapshot(services.store, config.name, _protocol(judged)["snapshot"])
    except DatasetError as error:
        raise DatasetError(
            f"{judged.uri} was judged on data that is not in {services.store.root} ({error}): "
            "name its store by --set storage.root=…, or a config whose data is to count"
        ) from error
    return dataset_ref(snapshot)
