"""Whom the loop asks what to do, and the answers that there are.

A policy is never trusted to answer: it may be late, hang, die, fail, or say what nobody can do. Each of these is a value, and costs one
decision. `controller.policy_process` runs a bundle in a process of its own; `InProcess` is its twin, for trials and lockstep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

from controller.events import Fault
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import Policy
from intersection.shield import Proposal
from models.errors import NotFiniteFault
from models.manifest import Departure

FAR: float = 3.0
"""An observation further than this from what training saw is none that the policy knows, in units of what one in a thousand reached."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """It answered in time."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Loading:
    """It is not ready yet; nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Late:
    """It did not answer within its deadline."""


@dataclass(frozen=True, slots=True)
class Hung:
    """It has not answered for so long that it was ended."""


@dataclass(frozen=True, slots=True)
class Died:
    """Its process has ended."""

    cause: str


@dataclass(frozen=True, slots=True)
class Raised:
    """It failed with an error."""

    words: str


@dataclass(frozen=True, slots=True)
class NotFinite:
    """It was given, or gave, something that is no number."""

    words: str


@dataclass(frozen=True, slots=True)
class Garbage:
    """Its answer cannot be read."""

    words: str


@dataclass(frozen=True, slots=True)
class IllegalStage:
    """It asked for a stage that there is not."""

    stage: int


@dataclass(frozen=True, slots=True)
class Unfamiliar:
    """The traffic is unlike anything that it was trained on."""

    departure: Departure


@dataclass(frozen=True, slots=True)
class BundleMissing:
    """There is no bundle to load."""

    words: str


@dataclass(frozen=True, slots=True)
class BundleRefused:
    """Its bundle may not run here."""

    words: str


Answer: TypeAlias = (
    Proposed | Loading | Late | Hung | Died | Raised | NotFinite | Garbage | IllegalStage | Unfamiliar | BundleMissing | BundleRefused
)


def fault_of(answer: Answer) -> tuple[Fault, str] | None:  # one line for each answer
    """Say which fault an answer is, with its detail; None where it is none."""
    match answer:
        case Proposed() | Loading():
            return None
        case Late():
            return Fault.POLICY_LATE, ""
        case Hung():
            return Fault.POLICY_HUNG, ""
        case Died(cause):
            return Fault.POLICY_DIED, cause
        case Raised(words):
            return Fault.POLICY_RAISED, words
        case NotFinite(words):
            return Fault.POLICY_NOT_FINITE, words
        case Garbage(words):
            return Fault.POLICY_GARBAGE, words
        case IllegalStage(stage):
            return Fault.POLICY_ILLEGAL_STAGE, f"stage {stage}"
        case Unfamiliar(departure):
            return Fault.POLICY_OUT_OF_DISTRIBUTION, f"{departure.distance:.1f} times as far as is usual"
        case BundleMissing(words):
            return Fault.BUNDLE_MISSING, words
        case BundleRefused(words):
            return Fault.BUNDLE_REFUSED, words
        case _:
            assert_never(answer)


def judged(proposal: Proposal, departure: Departure | None, stages: int) -> Answer:
    """Judge a proposal that came back.

    Args:
        proposal: what it proposes.
        departure: how far the observation lay from what training saw; None where nobody knows.
        stages: how many there are.
    """
    if proposal.stage is not None and not 0 <= proposal.stage < stages:
        return IllegalStage(proposal.stage)
    if departure is not None and not departure.distance <= FAR:
        return Unfamiliar(departure)
    return Proposed(proposal)


def asked(policy: Policy, observation: Observation, stages: int) -> Answer:
    """Ask a policy that lives here. Whatever it raises is an answer."""
    try:
        proposal = policy.propose(observation)
        departure = getattr(policy, "departure", None)
    except NotFiniteFault as fault:
        return NotFinite(str(fault))
    except Exception as error:  # noqa: BLE001  # a policy may fail in any way: that is what the plan is for
        return Raised(f"{type(error).__name__}: {error}")
    return judged(proposal, departure, stages)


class PolicySource(Protocol):
    """Whom the loop asks."""

    async def ask(self, observation: Observation, now: Tenths, deadline: float) -> Answer:
        """Ask what would be good now.

        Args:
            observation: what is known of the street.
            now: the instant, in tenths of a second.
            deadline: when an answer must be there, by the event loop's clock, in seconds.
        """
        ...

    def close(self) -> None:
        """End it; twice is once."""
        ...


class InProcess:
    """The in-memory twin: a policy in the loop's own process. A policy that hangs hangs the loop; `stages` are of its signal.

    `script` stages answers in place of the policy's own, one for each question, until it is used up.
    """

    def __init__(self, policy: Policy, stages: int, script: Sequence[Answer] = ()) -> None:
        self._policy, self._stages = policy, stages
        self.script = list(script)

    async def ask(self, observation: Observation, now: Tenths, deadline: float) -> Answer:
        """See `PolicySource`."""
        return self.script.pop(0) if self.script else asked(self._policy, observation, self._stages)

    def close(self) -> None:
        """See `PolicySource`."""
