"""A control loop without a cabinet, for tests of what operators ask: a ladder, a clock that a test sets, and a memory of records."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.control_socket import Commands, Recent, Status, status_of
from controller.events import Checked, Event, Started, Tick
from controller.explanation import Explanation
from controller.explanation import explain as explained
from controller.journal import Record, Stamp
from controller.mode import LadderSettings, LadderState, Objection, initial, objection, step
from field_adapters._base import PlanStep
from intersection.errors import ConfigError
from intersection.phase import Tenths

UP: tuple[Event, ...] = (Started(), Checked(), Tick(), Tick())
"""What brings a ladder to ADAPTIVE."""


class Operated:
    """The commands of one cabinet."""

    def __init__(self, name: str, *events: Event, settings: LadderSettings | None = None) -> None:
        self.name, self.settings = name, settings or LadderSettings()
        self.instant: Tenths = 1_000
        self.state: LadderState = initial(self.instant)
        self.recent = Recent(most=2_000)
        self.street: dict[str, Any] = {}
        self.plan_step: PlanStep | None = None
        self.cycles_left = 0
        self.fails = False
        for event in events or UP:
            self.happen(event)

    def happen(self, event: Event) -> None:
        """Let something happen at the instant."""
        self.state = step(self.state, event, self.instant, self.settings)

    def now(self) -> Tenths:
        """See `Commands`."""
        return self.instant

    def status(self) -> Status:
        """See `Commands`."""
        if self.fails:
            raise RuntimeError("a bug")
        return status_of(
            self.name,
            self.state,
            self.instant,
            self.settings,
            plan_step=self.plan_step,
            cycles_left=self.cycles_left,
            **self.street,
        )

    def explain(self) -> Explanation:
        """See `Commands`."""
        return explained(self.state, self.instant, self.settings)

    def events(self, since: Stamp) -> Sequence[Record]:
        """See `Commands`."""
        return self.recent.since(since)

    def submit(self, event: Event) -> Objection | None:
        """See `Commands`."""
        against = objection(self.state, event, self.instant, self.settings)
        if against is None:
            self.happen(event)
        return against


class Corridor:
    """The daemon of some cabinets."""

    def __init__(self, *loops: Operated) -> None:
        self.loops = {loop.name: loop for loop in loops}
        self.reloads = 0

    @property
    def cabinets(self) -> Mapping[str, Commands]:
        """See `Daemon`."""
        return self.loops

    async def reload(self) -> str:
        """See `Daemon`; the second time the file is wrong."""
        self.reloads += 1
        if self.reloads > 1:
            raise ConfigError("the file is wrong", source="cabinet.toml")
        return "nothing has changed"
