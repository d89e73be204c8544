"""The seam at which a policy stands, and the fallback as an ordinary policy."""

from typing import Protocol

from intersection.config import IntersectionConfig
from intersection.errors import ConfigError
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.shield import Proposal
from intersection.state import NO_STAGE
from intersection.tables import Tables


class Policy(Protocol):
    """Something that proposes. It never commands, and it sees only what a cabinet can know."""

    @property
    def period(self) -> Tenths:
        """How often it wants to be asked, in tenths of a second."""

    def propose(self, observation: Observation) -> Proposal:
        """Say what would be good now."""


class Hold:
    """The in-memory twin of a policy: proposes one stage for ever. It looks at nothing, so it shows what the gate does by itself."""

    def __init__(self, stage: int | None = None, period: Tenths = 50) -> None:
        self.stage, self._period = stage, period

    @property
    def period(self) -> Tenths:
        """How often it is asked, in tenths of a second."""
        return self._period

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage, or nothing."""
        return Proposal(stage=self.stage)


class FixedTime:
    """Follows a pattern by the clock: the plan that a street falls back to.

    It enters from whatever stage is running: an entry of the sequence with that stage, or the next that the clock will reach; a stage
    is left when its split ends, and one that the gate delayed is left at the next end that the clock gives.
    """

    def __init__(self, config: IntersectionConfig, pattern: int | None = None, reference: Tenths = 0) -> None:
        """Follow a pattern of the configuration.

        Args:
            config: the signal's configuration.
            pattern: the number of the pattern; the first one by default.
            reference: the instant from which the offset counts, in tenths of a second.

        Raises:
            ConfigError: the configuration has no such pattern.
        """
        found = next((p for p in config.patterns if pattern is None or p.number == pattern), None)
        if found is None:
            raise ConfigError(
                f"signal {config.name!r} has no such pattern",
                key="pattern",
                value=pattern,
                allowed=", ".join(str(p.number) for p in config.patterns) or "a configuration with a pattern",
            )
        self.pattern, self.reference = found, reference
        self.tables: Tables = config.tables
        by_name = {stage.name: at for at, stage in enumerate(config.stages)}
        self.stages = tuple(by_name[name] for name in found.sequence)

    @property
    def period(self) -> Tenths:
        """A second, the resolution of a plan."""
        return 10

    def propose(self, observation: Observation) -> Proposal:
        """Propose the stage at which the pattern stands now.

        A split begins with the change interval of the stage before, so the green of its stage begins later by that interval and
        ends with it: the green is left when the position reaches the end of the split less the change interval that follows.
        """
        state = observation.state
        running = state.stage if state.target == NO_STAGE else state.target
        position = self.pattern.position(state.now - self.reference)
        entry = self.pattern.stage_at(position)
        following = self.stages[(entry + 1) % len(self.stages)]
        leave_at = self.pattern.ends_at(entry) - self.tables.move(self.stages[entry], following).duration
        wanted = following if position >= leave_at else self.stages[entry]
        if state.target != NO_STAGE:
            wanted = running
        return Proposal(stage=wanted, pattern=self.pattern.number)
