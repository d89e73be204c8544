"""A cabinet without a wire, for tests of what cabinets stand on."""

from field_adapters.simulated.orders import CabinetOrder, Flash, UnsupportedOrder
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import Readings
from intersection.phase import Tenths
from intersection.shield import Proposal, Refused, due, review
from intersection.state import NO_STAGE, Display, PhaseState


class PlainCabinet:
    """Carries out through the gate what is requested, and goes on with it."""

    def __init__(self, config: IntersectionConfig, stage: int = 0, now: Tenths = 0) -> None:
        self.tables = config.tables
        self.state = machine.start(self.tables, stage, now)
        self.sensed: list[tuple[Tenths, Readings, Tenths]] = []

    @property
    def now(self) -> Tenths:
        """The cabinet's time."""
        return self.state.now

    def request(self, stage: int) -> None:
        """Ask for a stage, as over a wire."""
        verdict = review(Proposal(stage=stage), self.state, self.tables)
        if not isinstance(verdict, Refused):
            self.state = machine.advance(self.state, verdict.command, self.now, self.tables)

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """Keep the readings, and place their calls."""
        self.sensed.append((self.now, readings, elapsed))
        self.state = machine.place_calls(self.state, self.tables, readings.vehicles, readings.pedestrians, readings.discharged)

    def advance(self, until: Tenths) -> None:
        """Let time pass."""
        if self.state.display is Display.NORMAL:
            self.state = machine.advance(self.state, None, until, self.tables)
        else:
            self.state = self.state._replace(now=until)

    def next_change(self) -> Tenths:
        """Find the next instant at which the machine or the gate acts."""
        change = machine.next_change(self.state, self.tables)
        return change if self.state.target != NO_STAGE else min(change, max(due(self.state, self.tables), self.now + 1))

    def indications(self) -> dict[int, PhaseState]:
        """Say what is shown."""
        states = machine.phase_states(self.state, self.tables)
        return {group.number: state for group, state in zip(self.tables.groups, states, strict=True)}

    def order(self, order: CabinetOrder) -> UnsupportedOrder | None:
        """Flash, and nothing else."""
        if not isinstance(order, Flash):
            return UnsupportedOrder("this cabinet has a flasher only")
        self.state = machine.show(self.state, Display.FLASH if order.on else Display.NORMAL)
        return None
