"""What a command works on: the store, the tracking server, the cluster, the environment.

What the config and the environment leave open, the embedded services of this machine fill in; an
`s3://` root that is configured never falls back to them.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videogen.cli.render import say
from videogen.config.run import STAGES, RunConfig
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings, apply_environment
from videogen.errors import RegistryError
from videogen.execution.ray_session import Cluster, ClusterSpec
from videogen.progress import Progress
from videogen.runs.code_version import code_version
from videogen.stack import embedded
from videogen.stack.credentials import session_credentials
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store

if TYPE_CHECKING:
    from videogen.tracking import Tracker


@dataclass(frozen=True)
class Services:
    """Everything around a run."""

    config: RunConfig
    """With `storage` and `execution` filled in."""
    settings: Settings
    store: ObjectStore
    tracking_uri: str
    artifact_location: str | None
    """Where MLflow keeps artifacts of new experiments; None leaves it to a server of the user's."""
    cluster: Cluster

    @contextmanager
    def tracked(self, run_id: str, tags: Mapping[str, str]) -> Iterator["Tracker"]:
        """The MLflow run of this run, with its config and tags, open for the length of the block.

        Made where it is missing, opened again where a stage before closed it.
        """
        from videogen.tracking import open_tracker, start_run

        spec = start_run(self.tracking_uri, self.config.name, self.artifact_location, run_id)
        tracker = open_tracker(spec)
        tracker.log_params({stage: self.config.stage_document(stage) for stage in STAGES})
        tracker.set_tags({"videogen.code_version": code_version(), **tags})
        try:
            yield tracker
        except BaseException as error:
            with suppress(RegistryError):  # what failed first is what a person should read
                tracker.finish("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        tracker.finish("FINISHED")


@contextmanager
def connect(config: RunConfig, settings: Settings, progress: Progress) -> Iterator[Services]:
    """Everything that a command needs, for the length of the block; lazily where it costs time.

    Changes this process's environment, so that every S3 client and Ray in it finds its server.
    """
    with ExitStack() as borrowed:
        storage, environment = _storage(config.storage, settings, progress, borrowed)
        apply_environment(environment)
        apply_environment(_stack_beside(config, settings))
        settings = Settings.from_environment()
        own_tracking = config.execution.tracking_uri or settings.tracking_uri
        embedded_uri = embedded.tracking_uri(settings)
        tracking_uri = own_tracking or embedded_uri
        handed_on = {name: value for name, value in environment.items() if value is not None}
        address = config.execution.ray_address or settings.ray_address
        cluster = borrowed.enter_context(Cluster(ClusterSpec(address, handed_on)))
        execution = config.execution.model_copy(update={"tracking_uri": tracking_uri})
        store = open_store(storage)
        is_embedded = tracking_uri == embedded_uri
        yield Services(
            config=config.model_copy(update={"storage": storage, "execution": execution}),
            settings=settings,
            store=store,
            tracking_uri=tracking_uri,
            artifact_location=f"{store.root}/mlflow" if is_embedded else None,
            cluster=cluster,
        )


@contextmanager
def open_root(root: str | None, settings: Settings, progress: Progress) -> Iterator[ObjectStore]:
    """The store at `root` for the length of the block, or the embedded one where it is None.

    Changes this process's environment as `connect` does.
    """
    with ExitStack() as borrowed:
        storage, environment = _storage(StorageConfig(root=root), settings, progress, borrowed)
        apply_environment(environment)
        yield open_store(storage)


def _storage(
    storage: StorageConfig, settings: Settings, progress: Progress, borrowed: ExitStack
) -> tuple[StorageConfig, dict[str, str | None]]:
    if storage.root is None:
        s3 = borrowed.enter_context(embedded.borrow_s3(settings, progress))
        if s3.started:
            say(
                f"no stack is up: the embedded S3 at {s3.endpoint_url} serves this command, and "
                f"MLflow is a SQLite file unless configured; both keep their data in "
                f"{settings.state_dir} (`videogen stack up` keeps the services)"
            )
        filled = StorageConfig(root=s3.root, endpoint_url=s3.endpoint_url)
        return filled, embedded.s3_environment(settings)
    environment = session_credentials(settings) if storage.root.startswith("s3://") else {}
    if storage.endpoint_url:
        environment |= {
            "AWS_ENDPOINT_URL": storage.endpoint_url,
            "MLFLOW_S3_ENDPOINT_URL": storage.endpoint_url,
        }
    return storage, environment


def _stack_beside(config: RunConfig, settings: Settings) -> dict[str, str | None]:
    """The stack's MLflow and Ray, where they run and nothing else is configured."""
    running = embedded.services_environment(settings)
    if config.execution.tracking_uri or settings.tracking_uri:
        running.pop("MLFLOW_TRACKING_URI", None)
    if config.execution.ray_address or settings.ray_address:
        running = {name: value for name, value in running.items() if not name.startswith("RAY_")}
    return running
