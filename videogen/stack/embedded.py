"""The embedded stack as the rest of videogen uses it."""

from dataclasses import dataclass

from videogen.config.settings import Settings
from videogen.progress import Progress, silent
from videogen.stack import lifecycle
from videogen.stack.seaweedfs import ROOT, SeaweedFS


@dataclass(frozen=True)
class S3Service:
    """The running embedded S3."""

    root: str
    endpoint_url: str
    started: bool
    """Whether it was started by this call."""


def ensure_s3(settings: Settings, progress: Progress = silent) -> S3Service:
    """Start the embedded S3 unless it runs; its bucket exists and its keys are written."""
    service = SeaweedFS()
    record, started = lifecycle.start(service, settings, progress)
    return S3Service(ROOT, service.address(record.ports), started)
