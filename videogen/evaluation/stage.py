"""The stage evaluate: a checkpoint's generator against the data, with yardsticks beside it."""

from videogen.artifacts import DatasetRef, EvaluationReport, GeneratorRef
from videogen.config.run import RunConfig
from videogen.config.section import digest_of
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.evaluation.features.taking import Means
from videogen.evaluation.judging import judge
from videogen.evaluation.report.publish import publish
from videogen.evaluation.report.showing import preview_of
from videogen.evaluation.setting import choose_setting
from videogen.execution.ray_session import Cluster
from videogen.progress import Progress
from videogen.storage.base import ObjectStore
from videogen.tracking import Tracker


def evaluate(  # noqa: PLR0913 - a stage's surroundings
    config: RunConfig,
    dataset: DatasetRef,
    generator: GeneratorRef,
    store: ObjectStore,
    tracker: Tracker,
    cluster: Cluster,
    progress: Progress,
    settings: Settings,
) -> EvaluationReport:
    """Judge a generator by `config.evaluate`; the same report however many workers there are.

    Features are taken by tasks on the cluster; those of the reals come from the store where an
    earlier evaluation of this snapshot and protocol left them.

    Raises:
        VideogenError: the data, the generator or the weights cannot be used.
    """
    storage = StorageConfig(root=store.root, endpoint_url=config.storage.endpoint_url)
    means = Means(store, storage, cluster, progress, settings)
    setting = choose_setting(store, dataset.dataset, dataset.snapshot, config.evaluate)
    report = judge(generator, setting, means)
    preview = preview_of(report, generator, setting, means)
    report = publish(report, preview, store, _place_of(report, generator.run_id), tracker)
    _log(report, tracker, generator.clips_seen)
    return report


def _place_of(report: EvaluationReport, run_id: str) -> str:
    """Where its files lie: by all that it says but the time, so no other report's take their place.

    Another evaluation of the same generator may measure otherwise, with newer code for instance.
    """
    said = report.model_dump(mode="json", exclude={"seconds", "previews"})
    return f"runs/{run_id}/evaluation/{digest_of(said)[:12]}"


def _log(report: EvaluationReport, tracker: Tracker, clips_seen: int) -> None:
    yardsticks = {f"yardsticks/{role}": value for role, value in report.yardsticks.items()}
    tracker.log_metrics(report.metrics | yardsticks, clips_seen)
