"""From YAML and `--set key=value` to a validated `RunConfig`, with errors that name the key."""

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from videogen.config.run import RunConfig
from videogen.config.section import Section
from videogen.errors import ConfigError

Document = dict[str, Any]

_MAX_CONFIG_BYTES = 1 << 20
_MAX_SHOWN = 60
_WANTED = {
    "tuple_type": "a list is wanted, as in [a, b]",
    "model_type": "a section of keys is wanted",
}
"""What to say of a wrong type in place of pydantic's words for Python programs."""


class _ConfigLoader(yaml.SafeLoader):
    """YAML in which a key given twice is a mistake, not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_document(path: Path) -> Document:
    """The mapping that a YAML file holds. Raises `ConfigError`."""
    try:
        document = _parse_yaml(_read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        place = " ".join(str(error).split())
        raise ConfigError(f"config {str(path)!r}: not YAML ({place})") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(
            f"config {str(path)!r}: a mapping of sections is wanted, not {type(document).__name__}"
        )
    return document


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """The document with each `section.key=value` applied in turn; values are YAML.

    Another `train.model.kind` starts that model's section afresh, since the keys of models differ.
    """
    result = _deep_copy(document)
    for override in overrides:
        key, sign, text = override.partition("=")
        path = key.strip().split(".")
        if not sign or not all(path):
            raise ConfigError(f"--set {override!r}: expected section.key=value")
        section = _section_of(result, path)
        value = _parse_value(text, override)
        if path == ["train", "model", "kind"] and section.get("kind") != value:
            section.clear()
        section[path[-1]] = value
    return result


def build_config(document: Document) -> RunConfig:
    """The validated config. Raises `ConfigError` with the key, the reason and the nearest key."""
    try:
        return RunConfig.model_validate(document)
    except pydantic.ValidationError as error:
        faults = [_explain(fault) for fault in error.errors()]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ConfigError(f"config: {faults[0]}{more}") from error


def to_yaml(config: RunConfig) -> str:
    """The complete config as YAML, defaults included."""
    document = config.model_dump(mode="json", by_alias=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _read_text(path: Path) -> str:
    """The text of a config file. Raises `ConfigError` for what cannot be one."""
    try:
        if path.is_file() and path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ConfigError(
                f"config {str(path)!r}: it has {path.stat().st_size:,} bytes, a config at most "
                f"{_MAX_CONFIG_BYTES:,}; is it the right file?"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"config {str(path)!r}: cannot be read ({error.strerror or error}); give a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"config {str(path)!r}: not text in UTF-8 ({error.reason} at byte {error.start}); "
            "give a YAML file"
        ) from error


def _parse_yaml(text: str) -> object:
    document: object = yaml.load(text, Loader=_ConfigLoader)  # noqa: S506 - a SafeLoader
    return document


def _deep_copy(document: Document) -> Document:
    return {
        key: _deep_copy(value) if isinstance(value, dict) else value
        for key, value in document.items()
    }


def _section_of(document: Document, path: list[str]) -> Document:
    section = document
    for index, part in enumerate(path[:-1]):
        if section.get(part) is None:  # a section that is unset can be set key by key
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise ConfigError(
                f"--set {'.'.join(path)}: {'.'.join(path[: index + 1])} is no section"
            )
    return section


def _parse_value(text: str, override: str) -> object:
    try:
        return _parse_yaml(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"--set {override!r}: the value is not YAML; quote what holds ':', '[' or '#'"
        ) from error


def _explain(fault: Mapping[str, Any]) -> str:
    place = [str(part) for part in fault["loc"] if str(part) not in _model_kinds()]
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_nearest(key)}"
    reason = _WANTED.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "value_error" or not key:
        return reason
    return f"{key}: {reason[:1].lower()}{reason[1:]} (got {_shown(fault['input'])})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def _nearest(key: str) -> str:
    keys = sorted(set(_known_keys(RunConfig, "")))
    siblings = [one for one in keys if one.rpartition(".")[0] == key.rpartition(".")[0]]
    leaf = key.rpartition(".")[2]
    found = [one for one in keys if one.rpartition(".")[2] == leaf]
    found = found or difflib.get_close_matches(key, siblings, n=1, cutoff=0.6)
    if not found:
        by_leaf = {one.rpartition(".")[2]: one for one in keys}
        found = [by_leaf[one] for one in difflib.get_close_matches(leaf, by_leaf, n=1)]
    if found:
        return f"; did you mean {found[0]!r}?"
    return f"; known here: {', '.join(siblings)}" if siblings else ""


def _known_keys(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        for inner in _sections_in(field.annotation):
            yield from _known_keys(inner, f"{key}.")


def _sections_in(annotation: object) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for inner in typing.get_args(annotation):
            yield from _sections_in(inner)


def _model_kinds() -> set[str]:
    train = RunConfig.model_fields["train"].annotation
    sections = [] if train is None else list(_sections_in(train))
    models = _sections_in(sections[0].model_fields["model"].annotation)
    return {str(model.model_fields["kind"].default) for model in models}
