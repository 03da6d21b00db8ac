"""The section train.augment."""

from typing import Annotated

from pydantic import Field

from videogen.config.section import Cosine, Schedule, Section


class AugmentConfig(Section):
    """Differentiable augmentation of what the discriminator sees, one draw for a whole clip."""

    probability: Schedule = Field(
        default=Cosine(start=0.0, end=0.0), description="of each kind, per clip"
    )
    translation: Annotated[
        float, Field(ge=0, le=1, description="greatest shift, as a share of the frame")
    ] = 0.125
    colour: Annotated[
        float, Field(ge=0, le=1, description="greatest change of brightness, contrast, saturation")
    ] = 0.5
    cutout: Annotated[float, Field(ge=0, le=1, description="side, as a share of the frame")] = 0.5
