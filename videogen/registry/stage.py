"""The stage `register`: a judged checkpoint becomes a version that people can find and load."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from videogen.artifacts import CheckpointRef, DatasetRef, EvaluationReport, ModelRef
from videogen.config.run import RunConfig
from videogen.mlflow_connection import connect, mlflow_errors, redacted
from videogen.models.export import load_generator
from videogen.progress import Progress, ProgressEvent
from videogen.registry import versions
from videogen.registry.card import VersionCard
from videogen.registry.gate import Decision, Judged, decide
from videogen.registry.logged_model import create_version, log_model
from videogen.registry.previews import write_previews
from videogen.runs.manifest import fetch
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker

_GENERATOR = "generator"
_STEPS = 5


def register(  # noqa: PLR0913 - the artifacts of every stage before it, and three services
    config: RunConfig,
    dataset: DatasetRef,
    checkpoint: CheckpointRef,
    report: EvaluationReport,
    store: ObjectStore,
    tracker: Tracker,
    progress: Progress,
    *,
    stage_key: str | None = None,
) -> ModelRef:
    """Register the checkpoint's generator, and point the aliases.

    Every new version gets the alias `challenger`, and `champion` where the gate lets it
    (`gate.py`). A checkpoint that is registered under this name already keeps its version and its
    decision; one that was interrupted halfway is finished. Raises `RegistryError`, `StorageError`,
    and `CorruptObjectError` where the generator's files do not match the checkpoint's manifest.
    """
    began = monotonic()
    uri, name = tracker.spec.tracking_uri, config.model_name
    card = VersionCard(config, dataset, checkpoint, report, stage_key)
    client = connect(uri)
    _tell(progress, 0, f"looking for this checkpoint among the versions of {name}")
    with mlflow_errors(uri, f"registering {name}"):
        version = versions.find_by_manifest(client, name, checkpoint.manifest_sha256)
        if version is None:
            version = _make_version(client, card, store, tracker, progress)
        _tell(progress, _STEPS - 1, f"judging version {version.version} of {name}")
        if versions.DECISION_TAG not in version.tags:
            version = _settle(client, version, card)
        model = client.get_registered_model(name)
        tracker.set_tags({"videogen.model": f"{name}/{version.version}"})
    decision = version.tags[versions.DECISION_TAG]
    _tell(progress, _STEPS, f"{name} version {version.version} is {decision}")
    return ModelRef(
        name=name,
        version=str(version.version),
        uri=f"models:/{name}/{version.version}",
        aliases=versions.aliases_of(model, version.version),
        decision=decision,
        reasons=tuple(json.loads(version.tags[versions.REASONS_TAG])),
        mlflow_run_id=version.run_id,
        tracking_uri=redacted(uri),
        seconds=round(monotonic() - began, 3),
    )


def _make_version(
    client: MlflowClient,
    card: VersionCard,
    store: ObjectStore,
    tracker: Tracker,
    progress: Progress,
) -> ModelVersion:
    checkpoint = card.checkpoint
    with TemporaryDirectory(prefix="videogen-register-") as scratch:
        root = Path(scratch)
        _tell(progress, 1, "fetching the generator and checking it against its manifest")
        fetch(store, checkpoint.prefix, checkpoint.manifest_sha256, root, below=f"{_GENERATOR}/")
        generator, spec = load_generator(root / _GENERATOR)
        _tell(progress, 2, "making previews")
        write_previews(root / "previews", generator, spec, card.title, card.provenance)
        card.write_documents(root / "documents")
        for directory in ("previews", "documents"):
            for path in sorted((root / directory).iterdir()):
                tracker.log_artifact(path, f"model/{directory}")
        _tell(progress, 3, "logging the model")
        artifacts = {one: root / one for one in (_GENERATOR, "previews", "documents")}
        model_id = log_model(client, tracker.run_id, artifacts, spec)
    return create_version(
        client, card.config.model_name, model_id, card.tags(), card.description(spec)
    )


def _settle(client: MlflowClient, version: ModelVersion, card: VersionCard) -> ModelVersion:
    """Judge a version and point the aliases; the decision's tag is written last.

    Whoever finds a version without that tag does all of it again, with the same outcome.
    """
    name = version.name
    aliases = client.get_registered_model(name).aliases
    champion = aliases.get(versions.CHAMPION)
    decision = _judge(client, version, None if champion is None else str(champion), card)
    client.set_registered_model_alias(name, versions.CHALLENGER, version.version)
    if decision.role == versions.CHAMPION:
        client.set_registered_model_alias(name, versions.CHAMPION, version.version)
    client.set_model_version_tag(
        name, version.version, versions.REASONS_TAG, json.dumps(decision.reasons)
    )
    client.set_model_version_tag(name, version.version, versions.DECISION_TAG, decision.role)
    return client.get_model_version(name, version.version)


def _judge(
    client: MlflowClient, version: ModelVersion, champion: str | None, card: VersionCard
) -> Decision:
    candidate = Judged.of(card.report, card.dataset.dataset)
    against = None
    if champion is not None and champion != str(version.version):
        against = versions.judged(client.get_model_version(version.name, champion))
    return decide(candidate, against, card.config.register_)


def _tell(progress: Progress, done: int, message: str) -> None:
    progress(
        ProgressEvent(stage="register", done=done, total=_STEPS, unit="steps", message=message)
    )
