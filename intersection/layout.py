"""Lays the observation vectors of different signals out alike, so that one policy can serve them all."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from intersection.detection import Values
from intersection.errors import ConfigError
from intersection.observation import ObservationSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The sizes of the blocks of an observation vector that many signals share.

    The blocks are those of `ObservationSpec`. Each begins at the same index for every signal; what a signal lacks is 0 there, and in
    the last block, which tells what detectors work, that means: no such detector.

        >>> Layout.covering([Layout(stages=2, groups=8, channels=3, detectors=4), Layout(stages=5, groups=6, channels=3, detectors=4)])
        Layout(stages=5, groups=8, channels=3, detectors=4)

    Raises:
        ConfigError: a size is out of its range.
    """

    stages: int
    groups: int
    channels: int
    """Values of a detector; the same for all signals, since it is the observation kind that says which."""

    detectors: int

    def __post_init__(self) -> None:
        for key, least in (("stages", 1), ("groups", 1), ("channels", 0), ("detectors", 0)):
            if getattr(self, key) < least:
                raise ConfigError("a size is out of its range", key=f"layout.{key}", value=getattr(self, key), allowed=f"{least} or more")

    @classmethod
    def of(cls, spec: ObservationSpec) -> Self:
        """Give the layout that just fits one signal."""
        tables = spec.config.tables
        return cls(stages=len(tables.stages), groups=tables.size, channels=len(spec.kind.channels), detectors=len(spec.detectors))

    @classmethod
    def covering(cls, layouts: Iterable["Layout"]) -> Self:
        """Give the smallest layout that all of the given ones fit into.

        Raises:
            ConfigError: there are none, or they are of observation kinds with different numbers of channels.
        """
        every = list(layouts)
        channels = sorted({layout.channels for layout in every})
        if len(channels) != 1:
            raise ConfigError("one layout holds one kind of observation", key="layout.channels", value=channels, allowed="one number")
        return cls(
            stages=max(layout.stages for layout in every),
            groups=max(layout.groups for layout in every),
            channels=channels[0],
            detectors=max(layout.detectors for layout in every),
        )

    @property
    def size(self) -> int:
        """The length of a padded vector."""
        return sum(self.blocks)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The lengths of the blocks, in the order of `ObservationSpec`."""
        return (self.stages, 1) + (self.groups,) * 8 + (self.detectors,) * (self.channels + 1)

    def pad(self, vector: Values, spec: ObservationSpec, out: Values | None = None) -> Values:
        """Spread a signal's vector over this layout.

        Args:
            vector: float32, shape (spec.size,), as `encode` made it.
            spec: the signal's own layout.
            out: float32, shape (self.size,), zero wherever this signal has nothing; made where it is None.

        Returns:
            float32, shape (self.size,), each value in 0..1.

        Raises:
            ConfigError: the signal does not fit.
        """
        if out is None:
            out = np.zeros(self.size, np.float32)
        out[self.places(Layout.of(spec))] = vector
        return out

    def places(self, own: "Layout") -> NDArray[np.intp]:
        """Tell at which index each value of a smaller layout stands in this one.

        Returns:
            Integers, shape (own.size,), ascending.

        Raises:
            ConfigError: the other layout does not fit.
        """
        return _places(own, self)


@lru_cache(maxsize=1024)
def _places(own: Layout, shared: Layout) -> NDArray[np.intp]:
    for key in ("stages", "groups", "detectors"):
        if getattr(own, key) > getattr(shared, key):
            raise ConfigError(
                "a signal does not fit into the layout", key=f"layout.{key}", value=getattr(own, key), allowed=f"0..{getattr(shared, key)}"
            )
    if own.channels != shared.channels:
        raise ConfigError(
            "a signal does not fit into the layout", key="layout.channels", value=own.channels, allowed=f"just {shared.channels}"
        )
    starts = np.cumsum((0, *shared.blocks[:-1]))
    places = np.concatenate([start + np.arange(length) for start, length in zip(starts, own.blocks, strict=True)])
    places.flags.writeable = False
    return places
