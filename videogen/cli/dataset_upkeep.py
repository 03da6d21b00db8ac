"""`videogen dataset compact|gc|forget`: what changes a dataset, or frees room."""

from typing import TYPE_CHECKING, Annotated

import typer

from videogen.cli.dataset_options import (
    NameArgument,
    RootOption,
    Workplace,
    counted,
    opened,
    spelled_size,
)
from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say
from videogen.errors import ConfigError

if TYPE_CHECKING:
    from videogen.curation.forget import Forgetting
    from videogen.curation.gc import Garbage

commands = typer.Typer()

_DIGITS = 12
_SHOWN_OBJECTS = 20
_ANY_BYTES = 1 << 62


@commands.command()
def compact(
    name: NameArgument,
    shard_size: Annotated[
        int, typer.Option("--shard-mib", min=1, help="size of a full shard, in MiB")
    ] = 64,
    root: RootOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Merge the small shards that many increments left; no clip and no clip id changes.

    The result is a new snapshot, so the next run trains with it anew. The old shards stay until
    their snapshots are collected: `videogen dataset gc NAME --keep-snapshots 1 --delete`.

    Example: videogen dataset compact mine
    """
    from videogen.curation.compact import compact as merge

    with opened(root, progress) as place:
        done = merge(place.store, name, shard_size << 20, place.progress)
    if as_json:
        print(done.model_dump_json())
    if done.snapshot == done.parent:
        shards = counted(done.shards, "shard")
        say(f"compact: dataset {name} has {shards}, and nothing is to be gained by merging")
        return
    say(
        f"compact: dataset {name} has {counted(done.shards, 'shard')}, before it had "
        f"{done.shards_before}; "
        f"{done.clips_moved:,} clips of {spelled_size(done.bytes_moved)} moved "
        f"(snapshot {done.snapshot[:_DIGITS]})"
    )


@commands.command()
def gc(  # noqa: PLR0913 - the options of a command
    name: NameArgument,
    delete: Annotated[
        bool, typer.Option("--delete", help="delete; without it, only tell what would go")
    ] = False,
    keep_snapshots: Annotated[
        int | None,
        typer.Option(
            "--keep-snapshots",
            min=1,
            metavar="N",
            help="let old snapshots go too, but for the newest N of each ingest config and those "
            "that a run trained or was evaluated with; by default all stay",
        ),
    ] = None,
    older_than: Annotated[
        float,
        typer.Option("--older-than", min=0, metavar="HOURS", help="leave what is younger alone"),
    ] = 24.0,
    root: RootOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Find what no snapshot reaches, and delete it with --delete.

    Shards of an ingest that was interrupted are not touched: they wait for it to go on.

    Examples:
    videogen dataset gc mine

    videogen dataset gc mine --keep-snapshots 7 --delete
    """
    from videogen.curation.gc import Rule, collect, find_garbage

    rule = Rule(older_than * 3600, keep_snapshots)
    with opened(root, progress) as place:
        found = find_garbage(place.store, name, rule, place.progress)
        if delete:
            found = collect(place.store, found, rule, place.progress)
    if as_json:
        print(found.model_dump_json())
    else:
        for key in found.objects[:_SHOWN_OBJECTS]:
            print(key)
    say(_collected(found))


@commands.command()
def forget(  # noqa: PLR0913 - the options of a command
    name: NameArgument,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="S", help="a source's path or URI; may be repeated"),
    ] = None,
    videos: Annotated[
        list[str] | None,
        typer.Option("--video", metavar="SHA256", help="a source by its content; may be repeated"),
    ] = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="delete its bytes, and the snapshots that hold them")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Take sources out of a dataset for good: no later ingest brings them in again.

    Makes a snapshot without them, rewrites the shards that held them, and names the runs and model
    versions that worked with them (those stay). With --purge everything that holds or shows them
    is deleted, with all versions that a bucket keeps: shards, snapshots, cached features, sheets
    and previews of evaluations. It is refused while a run works with such a snapshot. What cannot
    be reached from here stays: copies of shards on other machines, exports, backups.

    Examples:
    videogen dataset forget mine --source /footage/take-7.mp4

    videogen dataset forget mine --video 9f86d081… --purge --json
    """
    from videogen.curation.forget import Wanted
    from videogen.curation.forget import forget as leave_out
    from videogen.registry.provenance import SnapshotsInMlflow

    if not sources and not videos:
        raise ConfigError("nothing to forget: give --source PATH-OR-URI or --video SHA256")
    wanted = Wanted(tuple(sources or ()), tuple(videos or ()), purge)
    with opened(root, progress) as place:
        tracked = SnapshotsInMlflow(place.tracking_uri)
        done = leave_out(place.store, name, wanted, tracked, place.progress)
        if done.purged is not None:
            _drop_copies(place, name, done)
    if as_json:
        print(done.model_dump_json())
    for line in _forgotten(done):
        say(line)


def _drop_copies(place: Workplace, name: str, done: "Forgetting") -> None:
    """Shards that training on this machine has cached."""
    from videogen.data.loading.shard_cache import ShardCache
    from videogen.data.shards.tar_shard import shard_key

    directory = place.settings.cache_dir / "shards"
    if directory.is_dir():
        cache = ShardCache(place.store, directory, max_bytes=_ANY_BYTES)
        for shard in done.shards:
            cache.drop(shard_key(name, shard))


def _collected(found: "Garbage") -> str:
    snapshots = counted(len(found.snapshots), "snapshot")
    objects = counted(len(found.objects), "object")
    what = f"{objects} of {spelled_size(found.bytes)}, among them {snapshots}"
    if not found.deleted:
        hint = "; --delete deletes them" if found.objects else ""
        return f"gc: nothing reaches {what} of dataset {found.dataset}{hint}"
    uploads = f", and {counted(found.uploads, 'unfinished upload')}" if found.uploads else ""
    return f"gc: deleted {what}{uploads} of dataset {found.dataset}"


def _forgotten(done: "Forgetting") -> list[str]:
    sources, clips = counted(len(done.sources), "source"), counted(done.clips, "clip")
    held = counted(len(done.shards), "shard")
    left = f"{sources} with {clips} left dataset {done.dataset}, {held} held them"
    lines = [f"forget: {left} (snapshot {done.snapshot[:_DIGITS]})"]
    worked = {"runs": done.runs, "model versions": done.model_versions}
    lines += [
        f"  {what} that worked with them: {', '.join(names) or 'none'}"
        for what, names in worked.items()
    ]
    if done.purged is None:
        lines.append("  their bytes stay in older snapshots: the same with --purge deletes those")
        return lines
    snapshots = counted(done.purged.snapshots, "snapshot")
    objects = counted(done.purged.objects, "other object")
    sheets = counted(done.purged.sheets, "file")
    lines.append(f"  deleted with all versions: {snapshots}, {objects}, {sheets} in MLflow")
    return lines
