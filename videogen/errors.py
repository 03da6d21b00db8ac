"""Errors that people are meant to read: what failed, which object, what to do or what happens next.

The command line prints the message of a `VideogenError` on one line and exits with its
`exit_code`; anything else that escapes is a defect of videogen and says so.
"""

from typing import ClassVar


class VideogenError(Exception):
    """Something failed for a reason that a person can act on."""

    exit_code: ClassVar[int] = 1


class ConfigError(VideogenError):
    """A config, an option or an argument is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class SourceError(VideogenError):
    """A video source is missing, empty, or cannot be decoded."""


class StorageError(VideogenError):
    """The object store refused a request or cannot be reached."""


class ObjectMissingError(StorageError):
    """The object does not exist."""


class PreconditionFailedError(StorageError):
    """A conditional write lost: the object exists, or is no longer the version expected."""


class CorruptObjectError(VideogenError):
    """The bytes of an object do not match the digest recorded for it."""


class DatasetError(VideogenError):
    """A dataset is missing, empty, or unfit for what is asked of it."""


class LeaseHeldError(VideogenError):
    """Another process owns the run."""


class TrainingError(VideogenError):
    """Training cannot start or cannot go on."""


class EvaluationError(VideogenError):
    """A set of clips cannot be judged as asked."""


class RegistryError(VideogenError):
    """The model registry refused a request or cannot be reached."""


class ServiceError(VideogenError):
    """A service of the embedded stack did not start, or is not healthy."""


class StageFailedError(VideogenError):
    """A stage that ran in another process ended without its artifact."""
