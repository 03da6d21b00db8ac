"""The connection to MLflow: a client of a server or database that is known to answer.

Bounds MLflow's own timeouts and retries, silences its chatter, makes a SQLite schema once, and
turns whatever MLflow, its database or its artifact store raise into `RegistryError`.
"""

import fcntl
import logging
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import mlflow
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.telemetry import set_telemetry_client
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from videogen.config.redaction import without_secrets
from videogen.config.settings import apply_environment, environment_value
from videogen.errors import RegistryError

_PROBE_TIMEOUT_S = 8
_LOCKED_AFTER_S = 5
_SHOWN_CHARACTERS = 400
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def connect(tracking_uri: str) -> MlflowClient:
    """A client of a tracking server or database that answers; a database's schema is up to date.

    Raises `RegistryError` within about ten seconds where it does not answer, or cannot be
    written.
    """
    apply_environment({k: v for k, v in _ENVIRONMENT.items() if environment_value(k) is None})
    # Importing MLflow has read the environment already; this reads it again.
    set_telemetry_client()  # type: ignore[no-untyped-call]  # MLflow leaves it unannotated
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    if tracking_uri.startswith(("http://", "https://")):
        _probe(tracking_uri)
    with single_writer(tracking_uri), mlflow_errors(tracking_uri, "opening the tracking store"):
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def default_store(tracking_uri: str) -> Iterator[None]:
    """Make a store the process-wide one for the length of the block.

    MLflow's SQL registry looks up the source `models:/m-…` of a version there, not in its own.
    """
    before = environment_value("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri("")  # back to what the environment says
        apply_environment({"MLFLOW_TRACKING_URI": before})


@contextmanager
def mlflow_errors(tracking_uri: str, doing: str) -> Iterator[None]:
    """Raise what MLflow, its database or its artifact store raise as `RegistryError`."""
    mend = "see that it runs (`videogen stack status`), then run the command again"
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        cause: Exception = error
    except (Boto3Error, BotoCoreError, ClientError) as error:
        cause = error
        mend = "check the AWS_* credentials and the endpoint (`videogen stack env` prints ours)"
    except OSError as error:
        cause = error
        mend = "check that the place exists, has room and may be written"
    else:
        return
    raise RegistryError(
        f"MLflow at {redacted(tracking_uri)}: {doing} failed: {_one_line(cause)}; {mend}"
    ) from cause


def redacted(uri: str) -> str:
    """The URI without user name, password or query."""
    return without_secrets(uri).partition("?")[0]


def _one_line(error: Exception) -> str:
    return without_secrets(" ".join(str(error).split()))[:_SHOWN_CHARACTERS]


def _probe(tracking_uri: str) -> None:
    request = urllib.request.Request(f"{tracking_uri.rstrip('/')}/health")  # noqa: S310 - http(s)
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_TIMEOUT_S):  # noqa: S310 - http(s)
            return
    except urllib.error.HTTPError:
        return  # it answers; what it thinks of the request is MLflow's business
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"MLflow at {redacted(tracking_uri)} does not answer ({_one_line(error)}); start it "
            "(`videogen stack up`), or set execution.tracking_uri or MLFLOW_TRACKING_URI to one "
            "that runs"
        ) from error


def sqlite_path(tracking_uri: str) -> Path | None:
    """The database file of a `sqlite:` URI, or None for any other."""
    if not tracking_uri.startswith("sqlite:"):
        return None
    database = make_url(tracking_uri).database
    return Path(database).absolute() if database else None


@contextmanager
def single_writer(tracking_uri: str) -> Iterator[None]:
    """Hold a SQLite file's lock file, so that its schema and its runs are made once."""
    database = sqlite_path(tracking_uri)
    if database is None:
        yield
        return
    with ExitStack() as stack:
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(database.with_name(f"{database.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            with closing(sqlite3.connect(database, timeout=_LOCKED_AFTER_S)) as connection:
                connection.execute("BEGIN IMMEDIATE")
        except (OSError, sqlite3.Error) as error:
            raise RegistryError(
                f"MLflow database {database}: {_one_line(error)}; check that it may be written, "
                "has room, and that no other program holds it locked"
            ) from error
        yield
