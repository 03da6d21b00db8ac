"""From a generator to its report: the figures, without the pictures."""

import time
from collections.abc import Mapping
from typing import Final

from videogen.artifacts import EvaluationReport, GeneratorRef
from videogen.evaluation.features import Columns, Role
from videogen.evaluation.judging import Means, take_features
from videogen.evaluation.metrics.diversity import mean_pairwise_distance
from videogen.evaluation.metrics.frechet import frechet_distance
from videogen.evaluation.metrics.kernel import kernel_distance
from videogen.evaluation.setting import Setting
from videogen.evaluation.yardsticks import YARDSTICKS

_TRUSTED_CLIPS: Final = 2048


def judge(generator: GeneratorRef, setting: Setting, means: Means) -> EvaluationReport:
    """Judge a generator; the same report however many workers there are, but for `seconds`.

    Raises:
        VideogenError: the data, the generator or the weights cannot be used.
    """
    started = time.monotonic()
    features = take_features(generator, setting, means)
    return report_of(generator, setting, features, started)


def report_of(
    generator: GeneratorRef, setting: Setting, features: Mapping[Role, Columns], started: float
) -> EvaluationReport:
    """The report of features that were taken; `started` is when, by `time.monotonic`.

    Raises:
        EvaluationError: there are too few of them, or they are not finite.
    """
    metrics, yardsticks = _measure(features, setting)
    return EvaluationReport(
        metrics=metrics,
        yardsticks=yardsticks,
        protocol=setting.protocol,
        checkpoint_manifest_sha256=generator.manifest_sha256,
        model=generator.model,
        notes=(*setting.notes, *_cautions(setting.num_clips)),
        seconds=time.monotonic() - started,
    )


def _measure(
    features: Mapping[Role, Columns], setting: Setting
) -> tuple[dict[str, float], dict[str, float]]:
    real, fake = features["real"]["i3d"], features["fake"]["i3d"]
    metrics = {"fvd": frechet_distance(real, fake), "kvd": kernel_distance(real, fake)}
    spread = mean_pairwise_distance(real)
    if spread > 0:
        metrics["diversity"] = mean_pairwise_distance(fake) / spread
    yardsticks: dict[str, float] = {
        role: frechet_distance(real, features[role]["i3d"])
        for role in YARDSTICKS
        if role != "floor" or setting.reals.disjoint
    }
    return metrics, yardsticks


def _cautions(num: int) -> tuple[str, ...]:
    if num >= _TRUSTED_CLIPS:
        return ()
    caution = (
        f"FVD is biased upwards at N = {num}: compare it with the yardsticks and with reports of "
        "the same protocol only"
    )
    return (caution,)
