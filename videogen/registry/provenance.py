"""From snapshots to what was made of them in MLflow: model versions, and files that show clips."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from videogen.mlflow_connection import connect, mlflow_errors, sqlite_path
from videogen.registry.versions import TAG
from videogen.storage.base import ObjectStore

_SNAPSHOT_TAG = f"{TAG}snapshot"
_EVALUATION = "evaluation"
_KEPT = ".json"
"""Reports are figures; everything else that an evaluation uploads is a picture."""
_PAGE = 500


class SnapshotsInMlflow:
    """What one tracking server, or its database, knows of snapshots.

    A SQLite file that does not exist knows nothing, and is not made. Every method raises
    `RegistryError`.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri

    def model_versions(self, snapshots: Collection[str]) -> tuple[str, ...]:
        """`NAME/VERSION` of all versions that were trained with any of these, with aliases."""
        if self._is_empty() or not snapshots:
            return ()
        client = connect(self._uri)
        with mlflow_errors(self._uri, "looking for versions by snapshot"):
            found = [
                one
                for one in _pages(client.search_model_versions)
                if one.tags.get(_SNAPSHOT_TAG) in snapshots
            ]
        return tuple(sorted(f"{one.name}/{one.version}" for one in found))

    def purge_sheets(self, snapshots: Collection[str], store: ObjectStore) -> int:
        """Delete what evaluations of these uploaded, but for reports; how many files.

        Those below `store` go with all their versions; where MLflow keeps them elsewhere, they are
        deleted as MLflow does it.
        """
        if self._is_empty() or not snapshots:
            return 0
        client = connect(self._uri)
        deleted = 0
        with mlflow_errors(self._uri, "deleting sheets of evaluations"):
            for run in _runs(client, snapshots):
                for file in client.list_artifacts(run.info.run_id, _EVALUATION):
                    if not file.is_dir and not file.path.endswith(_KEPT):
                        _delete(store, run.info.artifact_uri, file.path)
                        deleted += 1
        return deleted

    def _is_empty(self) -> bool:
        database = sqlite_path(self._uri)
        return database is not None and not database.exists()


def _runs(client: MlflowClient, snapshots: Collection[str]) -> Iterator[Run]:
    experiments = [one.experiment_id for one in _pages(client.search_experiments)]
    for snapshot in sorted(snapshots):
        yield from _pages(
            client.search_runs,
            experiment_ids=experiments,
            filter_string=f"tags.`{_SNAPSHOT_TAG}` = '{snapshot}'",
        )


def _pages(search: Callable[..., Any], **options: object) -> Iterator[Any]:
    token = None
    while True:
        page = search(**options, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _delete(store: ObjectStore, artifact_uri: str, path: str) -> None:
    key = _key_below(store.root, f"{artifact_uri}/{path}")
    if key is not None:
        store.purge(key)
    else:
        get_artifact_repository(artifact_uri).delete_artifacts(path)  # type: ignore[no-untyped-call]  # MLflow leaves it unannotated


def _key_below(root: str, uri: str) -> str | None:
    """The key of what lies at `uri`, where that is below the root of a store."""
    if root.startswith("s3://"):
        return uri.removeprefix(f"{root}/") if uri.startswith(f"{root}/") else None
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else uri)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None
