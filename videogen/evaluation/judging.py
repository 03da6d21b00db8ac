"""From a generator to its report: the figures, without the pictures."""

import time
from collections.abc import Mapping

from videogen.artifacts import ClosestPair, EvaluationReport, GeneratorRef
from videogen.evaluation.features.store import Columns, Role
from videogen.evaluation.features.taking import Means, take_features
from videogen.evaluation.measure import Closest, measure
from videogen.evaluation.setting import Setting


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
    found = measure(features, setting.protocol, disjoint=setting.reals.disjoint)
    return EvaluationReport(
        metrics=found.metrics,
        intervals=found.intervals,
        yardsticks=found.yardsticks,
        curves=found.curves,
        closest=tuple(_named(pair, setting) for pair in found.closest),
        protocol=setting.protocol,
        checkpoint_manifest_sha256=generator.manifest_sha256,
        model=generator.model,
        notes=(*setting.notes, *found.notes),
        seconds=time.monotonic() - started,
    )


def _named(pair: Closest, setting: Setting) -> ClosestPair:
    clip = setting.training[pair.training]
    return ClosestPair(
        fake=pair.fake, clip_id=clip.row.clip_id, start=clip.start, distance=pair.distance
    )
