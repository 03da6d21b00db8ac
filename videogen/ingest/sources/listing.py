"""Where raw videos are: from what the config names to sources, in one fixed order or as found."""

from collections.abc import Iterator, Sequence

from videogen.config.sections import StorageConfig
from videogen.data.video.reader import VIDEO_EXTENSIONS
from videogen.data.video.unusable import shown
from videogen.errors import ConfigError, SourceError
from videogen.ingest.sources.fetching import hash_file, local_copy
from videogen.ingest.sources.local_listing import list_local
from videogen.ingest.sources.s3_listing import list_s3
from videogen.ingest.sources.source import S3, Source

__all__ = ["Source", "find_sources", "hash_file", "list_sources", "local_copy"]


def list_sources(asked: Sequence[str], storage: StorageConfig) -> tuple[Source, ...]:
    """`find_sources`, each once, sorted by URI."""
    found: dict[str, Source] = {}
    for source in find_sources(asked, storage):
        found.setdefault(source.uri, source)
    return tuple(found[uri] for uri in sorted(found))


def find_sources(asked: Sequence[str], storage: StorageConfig) -> Iterator[Source]:
    """All videos and image sequences below files, directories, globs and `s3://` prefixes.

    They come as they are found, again where two names lead to one. Directories are searched
    through, symbolic links too; hidden entries and files that are not video by their extension are
    left out, unless the config names the file itself. Raises `ConfigError` where nothing is asked
    for, and `SourceError` naming what is not there or holds no video.
    """
    if not asked or not all(asked):
        raise ConfigError(
            f"ingest.sources {'has an empty name' if asked else 'is empty'}: give files, "
            "directories, globs or s3:// prefixes, as in --set ingest.sources=[DIR]"
        )
    for name in asked:
        number = 0
        below = list_s3(name, storage) if name.startswith(S3) else list_local(name)
        for number, source in enumerate(below, start=1):  # noqa: B007 - counted
            yield source
        if not number:
            raise SourceError(
                f"source {shown(name)!r} holds no video and no numbered images (videos are "
                f"{', '.join(sorted(VIDEO_EXTENSIONS))}): check ingest.sources"
            )
