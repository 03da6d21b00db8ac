"""What the commands of `videogen dataset` share: their group, arguments, and the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from videogen.cli.render import shown, style_of
from videogen.cli.services import open_root
from videogen.config.settings import Settings
from videogen.progress import Progress
from videogen.storage.base import ObjectStore

group = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "Look at datasets, check them, tidy them, forget sources.\n\n"
        "A dataset is a chain of immutable snapshots; `videogen ingest` makes the next one.\n\n"
        "Start with: `videogen dataset list`"
    ),
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="a dataset (`videogen dataset list`)")
]
RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="URI",
        help="storage root: s3://bucket/prefix or a directory; by default the embedded S3",
    ),
]
SnapshotOption = Annotated[
    str | None,
    typer.Option(
        "--snapshot", metavar="DIGEST", help="a snapshot, by how its digest begins; else the newest"
    ),
]


@dataclass(frozen=True)
class Workplace:
    """What a command of the group works with."""

    store: ObjectStore
    settings: Settings
    progress: Progress

    @property
    def tracking_uri(self) -> str:
        """MLflow as the environment names it, else the embedded one."""
        from videogen.stack import embedded

        return self.settings.tracking_uri or embedded.tracking_uri(self.settings)


@contextmanager
def opened(root: str | None, progress: str) -> Iterator[Workplace]:
    """The store at `--root`, and progress as `--progress` says, for the length of the block."""
    settings = Settings.from_environment()
    with shown(style_of(progress)) as report, open_root(root, settings, report) as store:
        yield Workplace(store, settings, report)


def counted(number: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spelled_size(num_bytes: float) -> str:
    """A size for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:  # noqa: PLR2004 - SI prefixes
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
