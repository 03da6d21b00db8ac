"""The evaluation of checkpoints while their training goes on: as `evaluate`'s, but quicker."""

from dataclasses import dataclass

from videogen.artifacts import DatasetRef, EvaluationReport, GeneratorRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.run import RunConfig
from videogen.config.sections import StorageConfig
from videogen.config.settings import Settings
from videogen.evaluation.features.taking import Means
from videogen.evaluation.features.workers import OneProcess
from videogen.evaluation.judging import judge
from videogen.evaluation.setting import choose_setting
from videogen.progress import silent
from videogen.storage.base import ObjectStore
from videogen.storage.connect import open_store


@dataclass(frozen=True)
class OnlineEvaluation:
    """Judges generators in whichever process calls it, on one thread; plain values, so it travels.

    Features of the real clips are taken by the first call of all, and are those that any other
    evaluation of this protocol finds in the store.
    """

    config: EvaluateConfig
    dataset: str
    snapshot: str
    storage: StorageConfig

    def __call__(self, generator: GeneratorRef, /) -> EvaluationReport:
        """The figures, without pictures.

        Raises:
            VideogenError: the data, the generator or the weights cannot be used.
        """
        store = open_store(self.storage)
        setting = choose_setting(store, self.dataset, self.snapshot, self.config)
        settings = Settings.from_environment()
        means = Means(store, self.storage, OneProcess(), silent, settings, is_idle=True)
        return judge(generator, setting, means)


def online_evaluation(
    config: RunConfig, dataset: DatasetRef, store: ObjectStore
) -> OnlineEvaluation | None:
    """What `train.online_evaluation` asks for, or None where it is unset.

    The protocol is that of `config.evaluate` with fewer clips, and near-copies are not looked for:
    features of thousands of training clips would take many times as long as all else.
    """
    asked = config.train.online_evaluation
    if asked is None:
        return None
    changes = {"num_clips": asked.num_clips, "training_clips": 0}
    return OnlineEvaluation(
        config=config.evaluate.model_copy(update=changes),
        dataset=dataset.dataset,
        snapshot=dataset.snapshot,
        storage=StorageConfig(root=store.root, endpoint_url=config.storage.endpoint_url),
    )
