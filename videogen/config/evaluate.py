"""The section evaluate: the protocol of every metric, and extractors beside I3D."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from videogen.config.section import UNHASHED, Section

MIN_I3D_FRAMES = 9


class ExtractorConfig(Section):
    """A video model whose features are compared beside I3D's; its metrics are named after it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    kind: Literal["torchscript", "videomae"] = Field(
        default="torchscript",
        description="videomae: safetensors of a VideoMAE encoder, with Hugging Face names",
    )
    path: Annotated[
        str,
        Field(
            min_length=1,
            json_schema_extra=UNHASHED,
            description="whole path of a file, or https:// URL",
        ),
    ]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="of that file")]

    @field_validator("path")
    @classmethod
    def _found_by_every_worker(cls, path: str) -> str:
        if not path.startswith(("/", "https://", "http://")):
            raise ValueError(
                f"extractors: {path!r} is no whole path, and workers run elsewhere: give one, as "
                "in /models/x.pt, or an https:// URL"
            )
        parts = urlsplit(path)
        if parts.scheme and (parts.username or parts.password or parts.query):
            raise ValueError(
                "extractors: the URL carries a user or a query, which may be secrets, and configs "
                "are kept and shown: fetch the file yourself, and give its path"
            )
        return path


class EvaluateConfig(Section):
    """How the generator is judged (the protocol of every metric)."""

    num_clips: Annotated[int, Field(ge=2)] = 256
    num_frames: Annotated[int, Field(ge=MIN_I3D_FRAMES)] = 16
    frame_stride: Annotated[int, Field(ge=1)] = 1
    split: Literal["train", "holdout", "all"] = "train"
    seed: Annotated[int, Field(ge=0)] = 0
    covariance: Literal["n-1", "n"] = Field(
        default="n-1", description="divisor of covariances; n is NVIDIA's"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="of the extractor's convolutions"
    )
    neighbours: Annotated[
        int, Field(ge=1, le=100, description="k of precision, recall, density, coverage")
    ] = 5
    training_clips: Annotated[
        int,
        Field(ge=0, description="of the train split, among which near-copies are looked for"),
    ] = 1024
    extractors: tuple[ExtractorConfig, ...] = ()
    batch_size: Annotated[
        int, Field(ge=2, multiple_of=2, json_schema_extra=UNHASHED, description="clips in memory")
    ] = 8

    @model_validator(mode="after")
    def _extractors_told_apart(self) -> Self:
        names = ["i3d", "motion", *(one.name for one in self.extractors)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"extractors: the name {twice[0]!r} is taken: each needs one of its own"
            )
        return self
