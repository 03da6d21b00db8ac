"""What generators are judged on: windows of real clips, and the protocol that they stand for."""

from dataclasses import dataclass, replace

from videogen.artifacts import GeneratorRef, Protocol
from videogen.config.evaluate import EvaluateConfig
from videogen.data.snapshots.clip_table import ClipRow
from videogen.data.snapshots.snapshot import load_snapshot
from videogen.errors import EvaluationError
from videogen.evaluation.clips.reals import RealClip, Reals, choose_reals, choose_training, in_order
from videogen.evaluation.extractors.weights import EXTRACTOR, I3D_KINETICS
from videogen.evaluation.protocol_name import ProtocolName
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class Setting:
    """The same for every generator that is to be compared."""

    dataset: str
    config: EvaluateConfig
    reals: Reals
    training: tuple[RealClip, ...]
    """Among which near-copies are looked for; where the reals are of the train split, they are
    the first of these."""
    protocol: Protocol
    notes: tuple[str, ...]

    @property
    def num_clips(self) -> int:
        """N: of the fakes, the reals and each yardstick."""
        return len(self.reals.a)


def choose_setting(
    store: ObjectStore, dataset: str, snapshot: str, config: EvaluateConfig
) -> Setting:
    """What `config` asks for, from the clips of a snapshot.

    Raises:
        EvaluationError: fewer than two clips are long enough.
        VideogenError: the snapshot cannot be read.
    """
    found = load_snapshot(store, dataset, snapshot)
    if config.training_clips and config.split != "train":
        ordered = replace(found, clips=in_order(found.clips, config.seed))
    else:  # ordering a million clips takes seconds
        ordered = replace(found, clips=in_order(found.table(config.split), config.seed))
    reals = choose_reals(ordered.table(config.split), config)
    training, notes = choose_training(ordered.table("train"), config)
    protocol = _protocol(config, reals, snapshot, len(training))
    return Setting(dataset, config, reals, training, protocol, (*reals.notes, *notes))


def require_same_frames(setting: Setting, generator: GeneratorRef) -> None:
    """Raises `EvaluationError` where a generator's frames have another size than the data's."""
    data = (setting.protocol.height, setting.protocol.width)
    made = (generator.height, generator.width)
    if data != made:
        raise EvaluationError(
            f"generator {generator.model or generator.prefix} makes frames of {made[0]}x{made[1]}, "
            f"dataset {setting.dataset} has {data[0]}x{data[1]}: evaluate on the data it was "
            "trained on"
        )


def _protocol(config: EvaluateConfig, reals: Reals, snapshot: str, num_training: int) -> Protocol:
    num, shown = len(reals.a), _one_size(reals)
    return Protocol(
        name=str(ProtocolName(num, config.num_frames, config.frame_stride)),
        extractor=EXTRACTOR,
        extractor_sha256=I3D_KINETICS.member_sha256,
        num_real=num,
        num_fake=num,
        num_frames=config.num_frames,
        frame_stride=config.frame_stride,
        height=shown.height,
        width=shown.width,
        split=config.split,
        seed=config.seed,
        snapshot=snapshot,
        covariance=config.covariance,
        frame_codec=reals.codec,
        precision=config.precision,
        neighbours=config.neighbours,
        num_training=num_training,
        extractors={one.name: one.sha256 for one in config.extractors},
    )


def _one_size(reals: Reals) -> ClipRow:
    """A clip that stands for all. Raises `EvaluationError` where another has another size."""
    first = reals.a[0].row
    for clip in (*reals.a, *reals.b):
        if (clip.row.height, clip.row.width) != (first.height, first.width):
            raise EvaluationError(
                f"clip {clip.row.clip_id} has frames of {clip.row.height}x{clip.row.width}, others "
                f"have {first.height}x{first.width}: ingest the dataset anew at one resolution"
            )
    return first
