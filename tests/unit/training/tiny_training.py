"""Training around a step of a few numbers, with a real store and a real pointer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from videogen.config.train import TrainConfig
from videogen.progress import ProgressEvent
from videogen.runs.pointer import take_pointer
from videogen.storage.local import LocalStore
from videogen.training.loop import train
from videogen.training.parallel import Parallel
from videogen.training.publisher import Outputs
from videogen.training.samples import SampleFiles
from videogen.training.session import RunIdentity, Session

CONFIG = TrainConfig(
    global_batch_size=7,
    total_clips=84,
    num_frames=2,
    log_interval_clips=14,
    sample_interval_clips=42,
    checkpoint_interval_clips=21,
    keep_checkpoints=2,
)
IDENTITY = RunIdentity(
    run_id="tiny",
    lease_token="mine",  # noqa: S106 - names an owner, opens nothing
    document={"train": {"learning_rate": {"start": 0.1}, "seed": 0}, "snapshot": "abc"},
    total_clips=CONFIG.total_clips,
    keep_checkpoints=CONFIG.keep_checkpoints,
)


class TinyStep:
    """A weight that follows the clips and torch's own noise, and a count that is no tensor."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.weight, self.ema, self.updates = torch.zeros(3), torch.zeros(3), 0
        self.score = 0.0

    def set_progress(self, clips_seen: int) -> None:
        self.score = abs(clips_seen - 30.0)

    def update_discriminator(
        self, real: Tensor, times: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        self.updates += 1
        return {"score": torch.tensor(self.score)}

    def update_generator(
        self, real: Tensor, times: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        self.weight.add_(real.mean() + torch.randn(3))
        return {"loss": self.weight.mean()}

    def update_ema(self, clips_seen: int) -> None:
        self.ema.lerp_(self.weight, 0.1)

    def state_dict(self) -> dict[str, Tensor | int]:
        return {"weight": self.weight, "ema.weight": self.ema, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        self.weight.copy_(state["weight"])
        self.ema.copy_(state["ema.weight"])
        self.updates = int(state["updates"])


@dataclass
class TinyBatch:
    frames: Tensor
    times: Tensor
    labels: Tensor | None = None


def batches(clips_seen: int) -> Iterator[TinyBatch]:
    while True:
        rows = [_clip(clips_seen + place) for place in range(CONFIG.global_batch_size)]
        yield TinyBatch(torch.stack(rows), torch.zeros(len(rows), 2))
        clips_seen += CONFIG.global_batch_size


def _clip(sample: int) -> Tensor:
    return torch.randn(2, 2, generator=torch.Generator().manual_seed(sample))


@dataclass
class Listener:
    """A channel that keeps what it is told, and asks for an end after some reports."""

    stop_after: int | None = None
    events: list[ProgressEvent] = field(default_factory=list)

    def tell(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.events) + 1 >= self.stop_after


def save_ema(state: Mapping[str, Tensor], directory: Path) -> None:
    save_file({"weight": state["ema.weight"]}, directory / "generator.safetensors")


def session_of(
    root: Path,
    identity: RunIdentity = IDENTITY,
    *,
    step: TinyStep | None = None,
    store: LocalStore | None = None,
    export: Callable[[Mapping[str, Tensor], Path], None] = save_ema,
    channel: Listener | None = None,
) -> Session:
    """A session that owns its run, in a directory."""
    root.mkdir(exist_ok=True)
    store = store or LocalStore(root / "store")
    take_pointer(store, identity.run_id, identity.lease_token)
    outputs = Outputs(export, lambda: np.zeros((4, 3, 8, 8, 3), np.uint8), SampleFiles(fps=8.0))
    return Session(
        identity,
        step or TinyStep(),
        Parallel(),
        store,
        outputs,
        channel or Listener(),
        Path(mkdtemp(prefix="work-", dir=root)),
    )


def run(
    root: Path,
    identity: RunIdentity = IDENTITY,
    *,
    stop_after: int | None = None,
    config: TrainConfig = CONFIG,
) -> tuple[int, int, TinyStep, list[ProgressEvent]]:
    """Train in the directory; clips seen before and after, the step, what was told."""
    step, listener = TinyStep(), Listener(stop_after)
    session = session_of(root, identity, step=step, channel=listener)
    before = session.restore()
    after = train(
        config, step, batches(before), session.hooks, parallel=Parallel(), clips_seen=before
    )
    session.close()
    return before, after, step, listener.events
