"""Which row of the metadata file is about which source.

A row names its source by URI, absolute path, path relative to the metadata file or to what the
config names under `ingest.sources`, or by file name alone where only one source has it. A sequence
of images goes by its folder too. A row that could be about two sources is refused.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from videogen.config.sections import StorageConfig
from videogen.data.video.unusable import shown
from videogen.errors import ConfigError
from videogen.ingest.sources.metadata_file import Row, SourceFacts, read_rows
from videogen.ingest.sources.source import FILE, S3, path_of

__all__ = ["Metadata", "SourceFacts", "load_metadata"]

_NOTHING = SourceFacts()


@dataclass(frozen=True)
class Metadata:
    """Facts by source. Without a metadata file it is empty."""

    facts: Mapping[str, SourceFacts] = field(default_factory=dict)
    """By URI."""
    unmatched: tuple[str, ...] = ()
    """Sources of rows that are about no source of the config."""

    def facts_of(self, uri: str) -> SourceFacts:
        """What the file says of a source; nothing where it has no row."""
        return self.facts.get(uri, _NOTHING)


def load_metadata(
    name: str | None, uris: Iterable[str], asked: Sequence[str], storage: StorageConfig
) -> Metadata:
    """Read `ingest.metadata` and find the source of each row.

    `uris` are those of all sources that the rows may be about, `asked` is `ingest.sources`. Raises
    `ConfigError` for a file that cannot be understood, a row that fits several sources, or two rows
    that say different things of one; `StorageError` where S3 cannot be reached.
    """
    if name is None:
        return Metadata()
    home = _home(name)
    rows: dict[str, Row] = {}
    for row in read_rows(name, storage):
        key = _key(row.source, home)
        if rows.setdefault(key, row).facts != row.facts:
            raise _contradiction(name, rows[key], row, row.source)
    return _match(name, rows, uris, (home, *map(_base, asked)))


def _match(
    name: str, rows: Mapping[str, Row], uris: Iterable[str], bases: Sequence[str]
) -> Metadata:
    exact, by_name = _candidates(rows, uris, bases)
    chosen: dict[str, Row] = {}
    unmatched = []
    for key, row in rows.items():
        found = _only(name, row, exact.get(key) or by_name.get(key, set()))
        if not found:
            unmatched.append(row.source)
        for uri in found:
            if chosen.setdefault(uri, row).facts != row.facts:
                raise _contradiction(name, chosen[uri], row, uri)
    return Metadata({uri: row.facts for uri, row in chosen.items()}, tuple(unmatched))


def _candidates(
    rows: Mapping[str, Row], uris: Iterable[str], bases: Sequence[str]
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """URIs that a row's key means as a path or URI, and as a mere file name."""
    exact: dict[str, set[str]] = {}
    by_name: dict[str, set[str]] = {}
    for uri in uris:
        for full in _names(uri):
            for alias in _aliases(full, bases):
                if alias in rows:
                    exact.setdefault(alias, set()).add(uri)
            last = full.rpartition("/")[2]
            if last in rows:
                by_name.setdefault(last, set()).add(uri)
    return exact, by_name


def _only(name: str, row: Row, found: set[str]) -> set[str]:
    """The source that a row is about; several only where they are sequences of one folder."""
    folders = {uri.rpartition("/")[0] if _is_sequence(uri) else uri for uri in found}
    if len(folders) > 1:
        first, second = sorted(found)[:2]
        raise ConfigError(
            f"{shown(name)}, row {row.number}: {shown(row.source)} may be {shown(first)} or "
            f"{shown(second)}: give its path or URI"
        )
    return found


def _names(uri: str) -> Iterator[str]:
    """What a source can be called in full: its path, or URI on S3; a sequence by its folder too."""
    full = str(path_of(uri)) if uri.startswith(FILE) else uri
    yield _normal(full)
    if _is_sequence(uri):
        yield _normal(full.rpartition("/")[0])


def _is_sequence(uri: str) -> bool:
    return "*" in uri.rpartition("/")[2]


def _aliases(full: str, bases: Sequence[str]) -> Iterator[str]:
    """A full name, and the names relative to where that may be said."""
    yield full
    for base in dict.fromkeys(bases):
        if full.startswith(base) and full != base:
            yield full.removeprefix(base)


def _key(said: str, home: str) -> str:
    """How a row's name is looked up: full names in full, relative ones without `./` and `../`."""
    if said.startswith(S3):
        return _normal(said.rstrip("/"))
    path = str(path_of(said)) if said.startswith(FILE) else os.path.expanduser(said)  # noqa: PTH111 - stays text
    plain = os.path.normpath(path)
    if plain.startswith("..") and not home.startswith(S3):
        plain = os.path.normpath(home + plain)
    return _normal(plain)


def _home(name: str) -> str:
    """The folder of the metadata file, with a slash at the end."""
    if name.startswith(S3):
        return _normal(name[: name.rfind("/") + 1])
    folder = Path(os.path.abspath(os.path.expanduser(name))).parent  # noqa: PTH100, PTH111 - takes `..` out
    return _normal(os.path.join(folder, ""))  # noqa: PTH118 - for the slash


def _base(asked: str) -> str:
    """What names may be relative to, of something under `ingest.sources`, with a slash at the end.

    A glob counts up to its first wild card.
    """
    if asked.startswith(S3):
        return _normal(asked.rstrip("/") + "/")
    path = os.path.abspath(os.path.expanduser(asked))  # noqa: PTH100, PTH111 - takes `..` out
    wild = min((path.find(sign) for sign in "*?[" if sign in path), default=-1)
    if wild >= 0:
        path = path[: path.rfind("/", 0, wild)]
    return _normal(os.path.join(path, ""))  # noqa: PTH118 - for the slash


def _normal(name: str) -> str:
    """One spelling of letters with marks: file systems and spreadsheets differ."""
    return unicodedata.normalize("NFC", name)


def _contradiction(name: str, first: Row, second: Row, source: str) -> ConfigError:
    return ConfigError(
        f"{shown(name)}, rows {first.number} and {second.number} say different things of "
        f"{shown(source)}: keep one of them"
    )
