"""The code that travels with a model version: a copy of the few modules that make videos.

The copy is a package of its own name, `videogen_frozen_DIGEST`. So a version loads where videogen
is not installed, goes on working when videogen changes, and two versions with different code load
in one process, which they could not under one name.
"""

import ast
import hashlib
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import videogen

PACKAGE = "videogen"
_ROOT = Path(videogen.__path__[0])
_IMPORT = re.compile(rf"^(\s*(?:from|import)\s+){PACKAGE}\b", re.MULTILINE)


@dataclass(frozen=True)
class FrozenCode:
    """A frozen copy on disk."""

    package: str
    directory: Path
    """The package's own directory."""
    entry: Path
    """The copy of the module that it was frozen for."""
    requirements: tuple[str, ...]
    """`NAME==VERSION` of each distribution that the copy imports, as installed here."""


def freeze(entry: str, directory: Path) -> FrozenCode:
    """Copy a module of videogen, and all of videogen that it imports, below `directory`."""
    sources = _closure(entry)
    digest = hashlib.sha256("\0".join(sources[file] for file in sorted(sources)).encode())
    package = f"{PACKAGE}_frozen_{digest.hexdigest()[:12]}"
    root = directory / package
    for file, source in sources.items():
        path = root / file.relative_to(_ROOT)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_IMPORT.sub(rf"\g<1>{package}", source))
    entry_file = root / next(iter(sources)).relative_to(_ROOT)
    return FrozenCode(package, root, entry_file, _requirements(sources))


@contextmanager
def importable(code: FrozenCode) -> Iterator[None]:
    """Make the copy importable for the length of the block, and forget it afterwards."""
    sys.path.insert(0, str(code.directory.parent))
    try:
        yield
    finally:
        sys.path.remove(str(code.directory.parent))
        for name in [one for one in sys.modules if one.partition(".")[0] == code.package]:
            del sys.modules[name]


def _closure(entry: str) -> dict[Path, str]:
    """Source by file of a module, of what it imports from videogen, and of their packages."""
    found: dict[Path, str] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if file is None or file in found:
            continue
        found[file] = file.read_text()
        waiting.extend(_imported_names(found[file]))
        waiting.append(name.rpartition(".")[0])
    return found


def _file_of(name: str) -> Path | None:
    """The file of a module or package of videogen; None for any other name."""
    first, *below = name.split(".")
    if first != PACKAGE:
        return None
    path = _ROOT.joinpath(*below)
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((one for one in candidates if one.is_file()), None)


def _imported_names(source: str) -> Iterator[str]:
    """Names that a source imports: of modules, and of what is taken from modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def _requirements(sources: dict[Path, str]) -> tuple[str, ...]:
    roots = {
        name.partition(".")[0] for source in sources.values() for name in _imported_names(source)
    }
    providers = importlib.metadata.packages_distributions()
    foreign = {
        root if root in providers[root] else providers[root][0]
        for root in roots - {PACKAGE} - sys.stdlib_module_names
    }
    versions = {name: importlib.metadata.version(name) for name in sorted(foreign)}
    return tuple(f"{name}=={version.partition('+')[0]}" for name, version in versions.items())
