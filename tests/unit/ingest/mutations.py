"""Seeded damage to bytes: what disks, networks and crashed writers do to files, and worse."""

import random
import struct
from collections.abc import Callable

_HEADER_BYTES = 2048
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, other: bytes, seed: int) -> bytes:
    """One to three kinds of damage, the same for the same seed; `other` is of another file."""
    draw = random.Random(seed)  # noqa: S311 - repeatable damage
    for _ in range(draw.choice((1, 1, 2, 3))):
        data = draw.choice(_KINDS)(data, other, draw)
    return data


def _flip_bits(data: bytes, _: bytes, draw: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(draw.choice((1, 10, 100))):
        spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
    return bytes(spoiled)


def _spoil_header(data: bytes, _: bytes, draw: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(draw.choice((1, 4, 16))):
        spoiled[draw.randrange(min(_HEADER_BYTES, len(spoiled)))] = draw.randrange(256)
    return bytes(spoiled)


def _set_number(data: bytes, _: bytes, draw: random.Random) -> bytes:
    """An extreme value where a header may have a size, a count or a time."""
    spoiled = bytearray(data)
    for _ in range(draw.choice((1, 1, 4))):
        value = struct.pack(draw.choice("<>") + "I", draw.choice(_EXTREMES))
        start = draw.randrange(min(_HEADER_BYTES, len(spoiled)))
        spoiled[start : start + draw.choice((2, 4))] = value[: draw.choice((2, 4))]
    return bytes(spoiled)


def _truncate(data: bytes, _: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(1, len(data))]


def _lose_start(data: bytes, _: bytes, draw: random.Random) -> bytes:
    return data[draw.randrange(1, len(data)) :]


def _zero(data: bytes, _: bytes, draw: random.Random) -> bytes:
    start, end = _part(data, draw)
    return data[:start] + bytes(end - start) + data[end:]


def _cut_out(data: bytes, _: bytes, draw: random.Random) -> bytes:
    start, end = _part(data, draw)
    return (data[:start] + data[end:]) or data


def _repeat(data: bytes, _: bytes, draw: random.Random) -> bytes:
    start, end = _part(data, draw)
    return data[:end] + data[start:end] * draw.choice((1, 3)) + data[end:]


def _insert_noise(data: bytes, _: bytes, draw: random.Random) -> bytes:
    start, _ = _part(data, draw)
    return data[:start] + draw.randbytes(draw.choice((1, 188, 4096))) + data[start:]


def _mix(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """The start of one file and the end of another."""
    return data[: draw.randrange(1, len(data))] + other[draw.randrange(len(other)) :]


def _append(data: bytes, other: bytes, _: random.Random) -> bytes:
    return data + other


def _part(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(data))
    return start, min(len(data), start + draw.choice((1, 16, 512, 8192)))


_KINDS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    *(_flip_bits, _flip_bits, _spoil_header, _spoil_header, _set_number, _set_number),
    *(_truncate, _lose_start, _zero, _cut_out, _repeat, _insert_noise, _mix, _append),
)
