"""`videogen dataset list|show|verify`: what is there, and whether it is whole."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from videogen.cli.dataset_options import (
    NameArgument,
    RootOption,
    SnapshotOption,
    opened,
    spelled_size,
)
from videogen.cli.options import JsonOption, ProgressOption
from videogen.cli.render import say
from videogen.errors import CorruptObjectError

if TYPE_CHECKING:
    from videogen.curation.listing import DatasetDetails
    from videogen.curation.verify import Verification

commands = typer.Typer()

_DIGITS = 12
_SHOWN_DAMAGE = 20


@commands.command("list")
def list_(root: RootOption = None, as_json: JsonOption = False) -> None:
    """List the datasets below a storage root.

    Example: videogen dataset list --root s3://studio/videogen
    """
    from videogen.curation.listing import list_datasets

    with opened(root, "auto") as place:
        found = list(list_datasets(place.store))
    if as_json:
        documents = [one.model_dump(mode="json") for one in found]
        print(json.dumps({"root": place.store.root, "datasets": documents}))
        return
    for one in found:
        if one.problem is not None:
            print(f"{one.dataset:<24} damaged: {one.problem}")
            continue
        print(
            f"{one.dataset:<24} {one.sources:>8,} sources {one.clips:>10,} clips "
            f"{one.width}x{one.height} at {one.fps:g} fps   snapshot {one.snapshot[:_DIGITS]}"
        )
    if not found:
        say(f"no dataset in {place.store.root}: make one with `videogen ingest CONFIG`")


@commands.command()
def show(
    name: NameArgument,
    snapshot: SnapshotOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a snapshot, and which snapshots there are.

    Examples:
    videogen dataset show mine

    videogen dataset show mine --snapshot 3f9a --json
    """
    from videogen.curation.listing import show as look

    with opened(root, "auto") as place:
        details = look(place.store, name, snapshot)
    if as_json:
        print(details.model_dump_json())
        return
    for line in _described(details):
        print(line)


@commands.command()
def verify(
    name: NameArgument,
    snapshot: SnapshotOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="every snapshot, not only the newest")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Read every byte of a snapshot, and check it against the digests that name it.

    Exit code 1 where anything is damaged or missing. Reads all shards: expect the time that a
    download takes.

    Examples:
    videogen dataset verify mine

    videogen dataset verify mine --all --json
    """
    from videogen.curation.listing import snapshot_digests
    from videogen.curation.verify import digests_to_verify
    from videogen.curation.verify import verify as check

    with opened(root, progress) as place:
        digests = digests_to_verify(place.store, name, snapshot)
        if every:
            digests = tuple(sorted({*digests, *snapshot_digests(place.store, name)}))
        found = check(place.store, name, digests, place.progress)
    if as_json:
        print(found.model_dump_json())
    for one in found.damaged[:_SHOWN_DAMAGE]:
        say(f"damaged: {one.object}: {one.problem}")
    _refuse_damage(found)
    say(
        f"verify: dataset {name} is whole: {found.objects:,} objects, {found.clips:,} clips, "
        f"{spelled_size(found.bytes)} of shards read"
    )


def _refuse_damage(found: "Verification") -> None:
    if not found.damaged:
        return
    mends = ["restore them from a backup"]
    is_shard = ["/shards/" in one.object for one in found.damaged]
    if not all(is_shard):
        mends.append(f"delete datasets/{found.dataset}/HEAD and ingest again")
    if any(is_shard):
        mends.append(
            "run `videogen ingest CONFIG --force` to make the clips again from their sources"
        )
    raise CorruptObjectError(
        f"dataset {found.dataset}: {len(found.damaged)} of {found.objects} objects are damaged "
        f"or missing, the first is {found.damaged[0].object}: {', or '.join(mends)}"
    )


def _described(details: "DatasetDetails") -> list[str]:
    hours = details.seconds / 3600
    held = f"{details.clips:,} clips of {details.sources:,} sources, {details.frames:,} frames"
    kept = (
        f"{spelled_size(details.clip_bytes)} in {details.shards:,} shards, {details.parts:,} parts"
    )
    lines = [
        f"dataset {details.dataset}, snapshot {details.snapshot}",
        f"  {held}, {hours:.2f} h",
        f"  {details.width}x{details.height} at {details.fps:g} fps, {kept}",
    ]
    columns = {"split": details.splits, "label": details.labels, "licence": details.licences}
    lines += [
        f"  {column:<8} " + ", ".join(f"{value} {number:,}" for value, number in counts.items())
        for column, counts in columns.items()
    ]
    if details.forgotten:
        lines.append(f"  {details.forgotten:,} sources forgotten")
    lines.append(f"snapshots ({details.num_snapshots:,}; newest first)")
    for one in details.snapshots:
        mark = "current" if one.is_current else "newest of its config" if one.is_newest else ""
        lines.append(
            f"  {one.snapshot[:_DIGITS]}  {one.made_at}  {one.clips:>9,} clips  "
            f"{one.sources:>7,} sources  {mark}".rstrip()
        )
    return lines
