"""What the loop and a policy's process say to each other: messages of a fixed form, read strictly on both sides.

A question holds the measured state and the readings. An answer is a few bytes of one form, whatever the policy does; nothing in it is ever
executed, so a policy that has gone wrong can say nothing worse than nonsense.
"""

import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np

from intersection.detection import Channel, Readings
from intersection.observation import Observation
from intersection.state import Display, IntersectionState
from models.manifest import Departure

LARGEST = 1 << 16
"""No message is longer, in bytes."""

LONGEST_WORDS = 200
"""No words of an answer are longer, in bytes."""

NO_STAGE = -1
"""In an answer: nothing is proposed."""

_HEAD = struct.Struct("<III")
_ANSWER = struct.Struct("<IBhfH")


class Kind(IntEnum):
    """What an answer is."""

    LOADED = 0
    """The bundle may run; it answers no question."""

    MISSING = 1
    REFUSED = 2
    PROPOSED = 3
    RAISED = 4
    NOT_FINITE = 5


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as it came."""

    number: int
    """Of the question."""

    kind: Kind
    stage: int = NO_STAGE
    departure: Departure | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What came is no answer."""

    why: str


Message: TypeAlias = Told | Unreadable


def question(number: int, observation: Observation) -> bytes:
    """Write a question; `number` tells its answer from those to older ones."""
    state, readings = observation.state, observation.readings
    masks = (readings.vehicles, readings.pedestrians, readings.discharged)
    plain = json.dumps([*masks, *(value.value if isinstance(value, Display) else value for value in state)]).encode()
    return b"".join(
        (
            _HEAD.pack(number, len(plain), len(readings.valid)),
            plain,
            np.asarray(readings.values, "<f4").tobytes(),
            np.asarray(readings.valid, bool).tobytes(),
        )
    )


def asked(message: bytes) -> tuple[int, Observation]:
    """Read a question. It comes from the loop, which is trusted to have written it.

    Raises:
        ValueError: it is cut.
    """
    try:
        number, length, detectors = _HEAD.unpack_from(message)
        at = _HEAD.size
        vehicles, pedestrians, discharged, *plain = json.loads(message[at : at + length])
        state = IntersectionState._make([*(tuple(value) if isinstance(value, list) else value for value in plain[:-1]), Display(plain[-1])])
        at += length
        size = len(Channel) * detectors
        values = np.frombuffer(message, "<f4", size, at).reshape(len(Channel), detectors).copy()
        valid = np.frombuffer(message, bool, detectors, at + 4 * size).copy()
    except (struct.error, TypeError) as error:
        raise ValueError(f"a question that is cut: {error}") from error
    return number, Observation(state, Readings(values, valid, vehicles, pedestrians, discharged))


def answer(told: Told) -> bytes:
    """Write an answer."""
    distance, outside = told.departure or Departure(float("nan"), 0)
    return _ANSWER.pack(told.number, told.kind, told.stage, distance, min(outside, 0xFFFF)) + told.words.encode()[:LONGEST_WORDS]


def heard(message: bytes) -> Message:
    """Read an answer, or say why it is none."""
    if not _ANSWER.size <= len(message) <= _ANSWER.size + LONGEST_WORDS:
        return Unreadable(f"{len(message)} bytes")
    number, kind, stage, distance, outside = _ANSWER.unpack_from(message)
    if kind not in tuple(Kind):
        return Unreadable(f"kind {kind}")
    departure = None if np.isnan(distance) else Departure(distance, outside)
    words = message[_ANSWER.size :].decode("utf-8", "replace")
    return Told(number, Kind(kind), stage, departure, "".join(letter if letter.isprintable() else "?" for letter in words))
