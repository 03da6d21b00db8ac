"""One run in the store: its id, its config and the results of its stages."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import pydantic

from videogen.artifacts import FORMAT_VERSION, StageResult
from videogen.config.redaction import without_secrets
from videogen.config.run import Stage
from videogen.errors import ConfigError, CorruptObjectError, ObjectMissingError
from videogen.storage.base import ObjectStore

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def new_run_id() -> str:
    """An id that sorts by the time it was drawn (UTC)."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def checked_run_id(run_id: str) -> str:
    """The id itself. Raises `ConfigError` where it could not be part of a key."""
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError(
            f"run id {run_id!r}: 1 to 63 letters, digits, '.', '_' or '-', not starting with "
            "a dot or dash"
        )
    return run_id


@dataclass(frozen=True)
class RunHandle:
    """A run's place in the store, `runs/RUN_ID/`."""

    store: ObjectStore
    run_id: str

    @property
    def prefix(self) -> str:
        """Key prefix of all that the run writes, without a trailing slash."""
        return f"runs/{self.run_id}"

    def read(self, stage: Stage) -> StageResult | None:
        """The result of a stage, or None where this run has none yet.

        Raises `CorruptObjectError` where the document is not one, or is of a newer format.
        """
        key = f"{self.prefix}/{stage}.json"
        try:
            stored = self.store.get(key)
        except ObjectMissingError:
            return None
        try:
            result = StageResult.model_validate_json(stored.data)
        except pydantic.ValidationError as error:
            raise CorruptObjectError(
                f"{self.store.root}/{key}: not a stage result ({error.error_count()} faults); "
                "run the stage again with --force"
            ) from error
        if result.format_version > FORMAT_VERSION:
            raise CorruptObjectError(
                f"{self.store.root}/{key}: format {result.format_version} is newer than this "
                f"videogen reads ({FORMAT_VERSION}); update videogen"
            )
        return result

    def write(self, result: StageResult) -> None:
        """Make a stage's result visible; the last thing a stage does."""
        document = result.model_dump_json(indent=2).encode()
        self.store.put(f"{self.prefix}/{result.stage}.json", document)

    def write_config(self, config_yaml: str) -> None:
        """Keep the complete config that the run was started with, without passwords in URIs."""
        document = without_secrets(config_yaml).encode()
        self.store.put(f"{self.prefix}/config.yaml", document)
