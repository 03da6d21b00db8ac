"""The resumable loader: batches of real windows, in an order that one integer of state decides.

Reading, verifying, decoding and scaling happen in threads (no process is forked once S3 or Ray
have threads), some batches ahead of the step and bounded in bytes.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from videogen.data.loading.background import Background
from videogen.data.loading.order import Share
from videogen.data.loading.windows import Windows

_AHEAD_BYTES = 256 << 20
_FEWEST_AHEAD, _MOST_AHEAD = 2, 8
_MOST_THREADS = 8
_CORES_A_THREAD = 4
_CLOSE_TIMEOUT_S = 20.0
"""Longer than the store's client goes on asking a server that is gone."""


@dataclass(frozen=True)
class Batch:
    """Windows of real clips."""

    frames: Float[Tensor, "b t c h w"]
    """In [-1, 1]; in memory the channels come last, as they are decoded."""
    times: Float[Tensor, "b t"]
    """In frames of the dataset's rate, from each window's first."""
    labels: Int[Tensor, " b"] | None = None
    """Classes of the clips; None where they are not learned."""


@dataclass(frozen=True)
class _Reading:
    """A batch that threads are filling."""

    frames: Tensor
    """(b t h w c): float where it stays on the CPU; uint8, pinned, where it goes to a device."""
    parts: list[Future[None]]


class _Buffers:
    """Memory of batches that are gone, for those to come.

    Fresh memory of that size comes page by page from the kernel, which takes as long as scaling
    the frames that are written to it.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.float32]] = []
        (self._idle,) = _references([np.empty(0, dtype=np.float32)])

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of which nobody else has so much as a view; its content is anything."""
        for index, count in enumerate(_references(self._arrays)):
            # A tensor of it, and every view, holds a reference until the last of them is gone.
            if count == self._idle and self._arrays[index].shape == shape:
                return self._arrays[index]
        array = np.empty(shape, dtype=np.float32)
        self._arrays.append(array)
        return array


def _references(arrays: list[NDArray[np.float32]]) -> list[int]:
    """How many each has; Pythons differ in how many those of the list and the call are."""
    return [sys.getrefcount(array) for array in arrays]


class Loader:
    """An endless iterator over a worker's batches, read ahead by threads; a context manager."""

    def __init__(
        self,
        windows: Windows,
        share: Share,
        device: torch.device,
        *,
        clips_seen: int = 0,
        threads: int | None = None,
    ) -> None:
        """Begin with the step after `clips_seen`; batches are moved to `device`.

        `threads` None is one on a core, and more where the step leaves cores free.
        """
        self._windows = windows
        self._share = share
        self._device = device
        self._times = windows.shape.times.to(device)
        self._next_clips_seen = clips_seen
        self._num_threads = threads or _default_threads(device)
        self._threads = Background("loader", self._num_threads)
        self._ahead: deque[_Reading] = deque()
        self._buffers = _Buffers()
        if share.global_batch > len(windows):
            windows.warn(
                f"a step takes train.global_batch_size ({share.global_batch:,}) clips, and there "
                f"are {len(windows):,} to train on: it shows each about "
                f"{share.global_batch / len(windows):.1f} times; add sources, or lower it"
            )

    def __enter__(self) -> Self:
        """Begin to read."""
        item_bytes = int(np.prod(self._windows.item_shape)) * 4
        batches = _AHEAD_BYTES // max(item_bytes * self._share.size, 1)
        for _ in range(min(max(batches, _FEWEST_AHEAD), _MOST_AHEAD)):
            self._submit()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading, and end all threads."""
        self._threads.stop()
        self._windows.stop()  # readers wait for it
        self._threads.join(_CLOSE_TIMEOUT_S)
        self._windows.stop()  # once more, for what they asked for meanwhile
        self._windows.join(_CLOSE_TIMEOUT_S)
        self._ahead.clear()

    def __iter__(self) -> Iterator[Batch]:
        """Itself."""
        return self

    def __next__(self) -> Batch:
        """The next batch. Raises what reading it raised."""
        reading = self._ahead.popleft()
        for part in reading.parts:
            part.result()
        self._submit()
        if self._device.type == "cpu":
            clips = rearrange(reading.frames, "b t h w c -> b t c h w")
        else:
            clips = to_unit_range(reading.frames.to(self._device, non_blocking=True))
        return Batch(clips, self._times.expand(len(clips), -1))

    def describe(self) -> str:
        """What is read, and how, on one line."""
        threads = f"{self._num_threads} thread{'s' * (self._num_threads > 1)}"
        return f"{self._windows.describe()}, {threads} ahead of the step"

    def _submit(self) -> None:
        samples = self._share.samples(self._next_clips_seen)
        self._next_clips_seen += self._share.global_batch
        self._windows.ask(samples)
        shape = (len(samples), *self._windows.item_shape)
        fill: Callable[[range, NDArray[Any], threading.Event], None]
        if self._device.type == "cpu":
            frames, fill = torch.from_numpy(self._buffers.take(shape)), self._fill_floats
        else:
            frames, fill = torch.empty(shape, dtype=torch.uint8, pin_memory=True), self._fill_bytes
        parts = np.array_split(np.arange(len(samples)), min(self._num_threads, len(samples)))
        stopping = self._threads.stopping
        self._ahead.append(
            _Reading(
                frames,
                [
                    self._threads.submit(
                        fill,
                        samples[part[0] : part[-1] + 1],
                        frames.numpy()[part[0] : part[-1] + 1],
                        stopping,
                    )
                    for part in parts
                ],
            )
        )

    def _fill_floats(
        self, samples: range, into: NDArray[np.float32], stopping: threading.Event
    ) -> None:
        item = np.empty(self._windows.item_shape, dtype=np.uint8)
        for sample, frames in zip(samples, into, strict=True):
            if stopping.is_set():
                return
            self._windows.read(sample, item)
            # As `to_unit_range`; numpy, because torch would start threads of its own in this one.
            np.divide(item, np.float32(127.5), out=frames, dtype=np.float32)
            np.subtract(frames, np.float32(1.0), out=frames)

    def _fill_bytes(
        self, samples: range, into: NDArray[np.uint8], stopping: threading.Event
    ) -> None:
        for sample, frames in zip(samples, into, strict=True):
            if stopping.is_set():
                return
            self._windows.read(sample, frames)


def _default_threads(device: torch.device) -> int:
    """On a CPU most cores are the step's; beside an accelerator all are the loader's."""
    cores = torch.get_num_threads()
    share = cores // _CORES_A_THREAD if device.type == "cpu" else cores
    return min(max(share, 1), _MOST_THREADS)


def to_unit_range(frames: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t c h w"]:
    """uint8 as [-1, 1], by a view with the channels where they are wanted."""
    return rearrange(frames.to(torch.float32).div_(127.5).sub_(1.0), "b t h w c -> b t c h w")
