"""A whole loop on a cabinet in memory: its clock is a `FakeClock`, its street says what a test wants, its policy answers by a script."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from controller import journal
from controller.detectors import Limits, Watch
from controller.events import Event, Fault, Order, Ordered, OrderGiven
from controller.fixed_time import Follower, Plans
from controller.loop import CabinetLoop, Parts
from controller.mode import LadderSettings, LadderState, Objection, initial
from controller.policy_source import Answer, InProcess
from controller.ticker import TENTH, FakeClock, Ticker
from controller.watchdog import Standing
from field_adapters._base import Applied, Failed, Opened, Poll, Released, Wanted, Withheld
from field_adapters.modbus_profile import Mode as Following
from field_adapters.simulated import orders
from field_adapters.virtual import VirtualAdapter, VirtualCabinet
from intersection.compatibility import Stage
from intersection.config import IntersectionConfig
from intersection.detection import Detector, DetectorKind, Readings
from intersection.phase import Tenths
from intersection.plan import Pattern, Schedule
from intersection.policy import Hold
from intersection.sensed import sensed
from intersection.state import NO_STAGE, IntersectionState
from tests.intersection.documents import signal

MAIN, LEFT, SIDE = range(3)
DAY = Pattern(number=7, name="day", cycle=600, sequence=("main", "side"), splits=(300, 300))
TIMES: dict[str, Any] = {"red_clearance": 10, "max_green": 400, "max_wait": 900, "ped_max_wait": 900}

CONFIG = signal(
    Stage(name="main", protected=frozenset({1, 2})),
    Stage(name="main left", protected=frozenset({2, 3})),
    Stage(name="side", protected=frozenset({4})),
    timings={1: TIMES, 2: TIMES, 3: TIMES, 4: TIMES | {"walk": 50, "ped_clearance": 60}},
    conflicts=[(1, 3), (1, 4), (2, 4), (3, 4)],
    detectors=(
        *(Detector(id=f"loop {at}", kind=DetectorKind.STOP_BAR, phases=(at,)) for at in range(1, 5)),
        Detector(id="button", kind=DetectorKind.PUSH_BUTTON, phases=(4,)),
    ),
    patterns=(DAY,),
)
BUTTON = 4
"""The place of the push button among the detectors."""

LADDER = LadderSettings(clean_time=100, rejoin_time=20, fixed_time_bound=600, flash_enabled=True)
"""As in the field, and ten times as fast or more."""

ERA = 1_800_000_000.0
"""The time on the wall when a trial's clock is at 0, in seconds since 1970 UTC."""

PATIENCE = 5.0
"""Seconds within which a cabinet in memory answers even on a busy machine."""


def wall_of(instant: Tenths) -> journal.Stamp:
    """Say when an instant of a trial is on the wall."""
    return round(10 * ERA) + instant


class ScriptedAdapter(VirtualAdapter):
    """An adapter in memory that answers as a test wants where its cabinet would not."""

    def __init__(self, cabinet: VirtualCabinet, config: IntersectionConfig) -> None:
        super().__init__(cabinet, config)
        self.reads = self.opens = 0
        self.opening: asyncio.Event | None = None
        """What a look at the cabinet waits for."""

        self.opened: list[Opened | Failed] = []
        self.applied: list[Applied | Withheld | Failed] = []
        self.released: list[Released | Failed] = []
        self.clock: float | None = None
        self.mute = False
        """Whether no readings of detectors come."""

        self.lamps: dict[str, Any] = {}
        """What is told in the place of what is shown."""

        self.lamps_when_asked: dict[str, Any] = {}
        """The same, as soon as anything was asked for."""

    async def open(self, now: Tenths, deadline: float) -> Opened | Failed:
        """See `FieldAdapter`."""
        self.opens += 1
        if self.opening is not None:
            await self.opening.wait()
        opened = await super().open(now, deadline)
        return self.opened.pop(0) if self.opened else opened

    async def read(self, now: Tenths, deadline: float, *, detectors: bool) -> Poll | Failed:
        """See `FieldAdapter`."""
        self.reads += 1
        poll = await super().read(now, deadline, detectors=detectors)
        if isinstance(poll, Failed):
            return poll
        readings = None if self.mute else poll.readings
        return replace(poll, clock=self.clock, readings=readings, report=poll.report._replace(**self.lamps))

    async def apply(self, wanted: Wanted, state: IntersectionState, now: Tenths, deadline: float) -> Applied | Withheld | Failed:
        """See `FieldAdapter`."""
        self.lamps |= self.lamps_when_asked
        return self.applied.pop(0) if self.applied else await super().apply(wanted, state, now, deadline)

    async def release(self, now: Tenths, deadline: float) -> Released | Failed:
        """See `FieldAdapter`."""
        return self.released.pop(0) if self.released else await super().release(now, deadline)


class Trial:
    """One cabinet's daemon, tick by tick."""

    def __init__(
        self,
        *,
        config: IntersectionConfig = CONFIG,
        ladder: LadderState | None = None,
        settings: LadderSettings = LADDER,
        script: Sequence[Answer] = (),
        now: Tenths = 1_000,
        watchdog: Tenths = 50,
        cabinet: VirtualCabinet | None = None,
        limits: Limits | None = None,
        **parts: Any,
    ) -> None:
        """Make a loop that has never run, unless it is given where its ladder stood; `parts` replace some of its `Parts`."""
        self.clock, self.config = FakeClock(now * TENTH), config
        self.cabinet = cabinet if cabinet is not None else VirtualCabinet(config, watchdog=watchdog, now=now)
        self.adapter = ScriptedAdapter(self.cabinet, config)
        self.wish = Hold(MAIN)
        """What the policy wants."""

        self.policy = InProcess(self.wish, len(config.stages), script)
        self.records: list[journal.Record] = []
        self.saved: list[LadderState] = []
        self.elsewhere: dict[Fault, str] = {}
        self.waiting: set[int] = set()
        """The loops on which somebody stands, by their places; the button, while somebody presses it."""

        self.broken: set[int] = set()
        self.beats = aiter(Ticker(self.clock))
        self._readings: Readings | None = None
        made = Parts(
            name="trial",
            config=config,
            adapter=self.adapter,
            policy=self.policy,
            plan=Follower(Plans(config, Schedule())) if config.patterns else None,
            others=self._others,
            watch=Watch(detectors=config.detectors, groups=config.tables.index, limits=limits or Limits()),
            ladder=settings,
            answer_within=PATIENCE,
            think_within=PATIENCE,
        )
        self.loop = CabinetLoop(
            replace(made, **parts),
            ladder or initial(now),
            now=now,
            wall=lambda: ERA + self.clock.now() / (10 * TENTH),
            append=self.records.append,
            save=self.saved.append,
        )

    def _others(self) -> Standing:
        return self.elsewhere

    @property
    def now(self) -> Tenths:
        """The instant."""
        return self.clock.now() // TENTH

    @property
    def mode(self) -> str:
        """The mode, in the operator's word."""
        return self.loop.ladder.mode.value

    @property
    def causes(self) -> dict[Fault, bool]:
        """The faults that the ladder reckons with, and whether each waits for a person."""
        return {cause.fault: cause.latched for cause in self.loop.ladder.causes}

    @property
    def followed(self) -> bool:
        """Whether the cabinet follows a request."""
        return self.cabinet.following in (Following.STAGE, Following.PLAN)

    async def tick(self, times: int = 1) -> None:
        """Let the street and the daemon go on by some ticks."""
        for _ in range(times):
            beat = await anext(self.beats)
            self.cabinet.advance(self.now)
            if self.now % 10 == 0:
                self._sense()
            await self.loop.tick(beat, self.now)

    def _sense(self) -> None:
        config = self.config
        counts = [float(at in self.waiting) for at in range(len(config.detectors))]
        stood = [10 * (at in self.waiting and at != BUTTON) for at in range(len(config.detectors))]
        valid = [at not in self.broken for at in range(len(config.detectors))]
        self._readings = sensed(config, counts, stood, valid, over=10, before=self._readings)
        self.cabinet.sense(self._readings, 10)

    async def until(self, mode: str, most: int = 300) -> int:
        """Go on until a mode, and tell how many ticks that took. It must come."""
        for took in range(most):
            if self.mode == mode:
                return took
            await self.tick()
        if self.mode == mode:
            return most
        raise AssertionError(f"{mode} has not come in {most} ticks: {self.mode}, {self.causes}")

    async def stands(self, stage: int, most: int = 300) -> int:
        """Go on until the cabinet shows a stage in full, and tell how many ticks that took. It must come."""
        for took in range(most):
            if self.cabinet.state.stage == stage and self.cabinet.state.target == NO_STAGE:
                return took
            await self.tick()
        raise AssertionError(f"stage {stage} has not come in {most} ticks")

    def order(self, order: orders.CabinetOrder) -> None:
        """Let something happen at the cabinet."""
        assert self.cabinet.order(order) is None

    def force(self, what: Ordered, lasts: Tenths | None = 600) -> Objection | None:
        """Let a person order something, for some time."""
        expires = None if lasts is None else self.now + lasts
        return self.submit(OrderGiven(Order(what=what, operator="Ada", reason="roadworks", expires=expires)))

    def submit(self, event: Event) -> Objection | None:
        """Let a person ask for something."""
        return self.loop.submit(event)

    def told(self, kind: type[journal.Record]) -> list[Any]:
        """Give what was journalled of one kind."""
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def modes(self) -> list[tuple[str, str]]:
        """The changes of mode that were journalled, each once."""
        return [(each.before, each.after) for each in self.told(journal.ModeChange) if each.before != each.after]
