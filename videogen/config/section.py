"""What every config section shares: frozen, closed to unknown keys, with a canonical form."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UNHASHED = {"hashed": False}
"""Marks a field that says how to run, not what to make: it never enters a stage key."""


class Section(BaseModel):
    """A frozen part of a config; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )

    def canonical(self) -> dict[str, Any]:
        """What of this section decides the result, as JSON-ready values."""
        hashed: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            if isinstance(field.json_schema_extra, dict) and not field.json_schema_extra.get(
                "hashed", True
            ):
                continue
            value = getattr(self, name)
            if isinstance(value, Section):
                hashed[name] = value.canonical()
            elif isinstance(value, tuple) and value and isinstance(value[0], Section):
                hashed[name] = [one.canonical() for one in value]
            else:
                hashed[name] = self.model_dump(mode="json", include={name})[name]
        return hashed


def digest_of(document: object) -> str:
    """sha256, as hex, of a JSON-ready document in its canonical spelling."""
    spelling = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(spelling.encode()).hexdigest()


class Cosine(Section):
    """A value that goes from `start` to `end` along half a cosine while the run goes on.

    A plain number in a config stands for a constant.
    """

    start: float
    end: float


def _constant(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"start": float(value), "end": float(value)}
    return value


Schedule = Annotated[Cosine, BeforeValidator(_constant, json_schema_input_type=float | Cosine)]


def _height_width(value: object) -> object:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Pixels = Annotated[int, Field(ge=8, le=4096)]
Resolution = Annotated[
    tuple[Pixels, Pixels],
    BeforeValidator(_height_width, json_schema_input_type=int | tuple[int, int]),
]
"""Height and width in pixels; one integer stands for a square."""
