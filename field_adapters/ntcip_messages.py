"""Sends a cabinet what is to stand there, reads it back, and winds up its backup time."""

from collections.abc import Sequence
from typing import NamedTuple

from field_adapters import ntcip_objects as mib
from field_adapters import ntcip_requests as ask_for
from field_adapters._base import Failed, Trouble
from field_adapters.ntcip_ledger import Ledger, words
from field_adapters.ntcip_objects import FREE, Instance
from field_adapters.ntcip_requests import Requests
from field_adapters.ntcip_status import Status, is_free, missing, phases_of, read_back
from field_adapters.ntcip_survey import Surveyed
from field_adapters.snmp import Accepted, AuthFailure, ErrorStatus, Failure, SnmpTransport, Timeout, Unreachable, Values
from intersection.phase import Tenths
from intersection.state import IntersectionState


class Turn(NamedTuple):
    """One call of `FieldAdapter.apply`, and what is known by then."""

    surveyed: Surveyed
    status: Status
    state: IntersectionState
    decided: Tenths
    now: Tenths
    deadline: float


class Messages:
    """What goes to one cabinet, and what is known to stand there."""

    def __init__(self, link: SnmpTransport) -> None:
        self._link = link
        self.ledger = Ledger()
        self.free = False
        """Whether it was last seen to run free."""

        self.greens: frozenset[int] = frozenset()
        """The phases that were last seen to be green."""

        self.asked_free: Tenths | None = None
        """Since when it has been told to run free; None while it has not."""

        self._wound: Tenths = 0
        self._decided: Tenths | None = None

    async def get(self, instances: Sequence[Instance], deadline: float) -> Values | Failed:
        """Read instances."""
        answer = await self._link.get(instances, deadline)
        return answer if isinstance(answer, Values) else _failed(answer, read=True)

    async def stand(self, requests: Requests, turn: Turn) -> Failed | None:
        """See to it that exactly these requests stand at the cabinet: write them where others do, else renew them where it is time."""
        if self.ledger.standing == requests:
            return await self.renew(requests, turn)
        if requests.pattern != FREE:
            self.asked_free = None
        elif self.asked_free is None:
            self.asked_free = turn.now
        seen = await self.write(requests, turn.surveyed, turn.deadline)
        if isinstance(seen, Failed):
            return seen
        self._wind(turn)
        return None if requests.may_be(seen) else Failed(Trouble.REQUEST_NOT_ECHOED, words(seen))

    async def renew(self, requests: Requests | None, turn: Turn) -> Failed | None:
        """Wind up the cabinet's backup time where a third of it has passed, by a decision that has not done so yet."""
        due = turn.now - self._wound >= turn.surveyed.backup // 3
        if requests is None or not due or (self._decided is not None and turn.decided <= self._decided):
            return None
        sent = await self._link.set(ask_for.renewal(requests, turn.surveyed.known.groups), turn.deadline)
        if not isinstance(sent, Accepted):
            return _failed(sent)
        self._wind(turn)
        return None

    async def force(self, forced: Requests, turn: Turn) -> Failed | None:
        """Send the force-offs once; whether they were carried out without an answer, the street will tell."""
        sent = await self._link.set(ask_for.force_writes(forced, turn.surveyed.known.groups), turn.deadline)
        if isinstance(sent, Accepted):
            self.ledger.wrote(forced)
            self._wind(turn)
            return None
        if not isinstance(sent, ErrorStatus):
            self.ledger.unsure(forced)
        return _failed(sent)

    async def write(self, requests: Requests, surveyed: Surveyed | None, deadline: float) -> Requests | Failed:
        """Write all requests, and read back what stands there.

        Args:
            requests: all that is to stand there.
            surveyed: what is known of the cabinet; None where it has not been looked at.
            deadline: when an answer must be there.
        """
        known = surveyed.known if surveyed is not None else None
        groups = known.groups if known is not None else mib.GROUPS
        sent = await self._link.set(ask_for.writes(requests, groups), deadline)
        if not isinstance(sent, ErrorStatus):
            self.ledger.unsure(requests)
        if not isinstance(sent, Accepted):
            return _failed(sent)
        asked = read_back(groups, known)
        values = await self.get(asked, deadline)
        if isinstance(values, Failed):
            return values
        if gap := missing(values, asked):
            return Failed(Trouble.REPLY_GARBLED, gap)
        seen = ask_for.requests_of({at: values.integers[at] for at in ask_for.instances(groups)})
        self.free, self.greens = is_free(values.integers), phases_of(values.integers, mib.PHASE_GREENS)
        if requests.may_be(seen):
            self.ledger.wrote(requests)
        return seen

    def close(self) -> None:
        """Let go of the link."""
        self._link.close()

    def _wind(self, turn: Turn) -> None:
        self._wound, self._decided = turn.now, turn.decided


def _failed(failure: Failure, *, read: bool = False) -> Failed:
    """Say what came of a message in the words of the seam."""
    if isinstance(failure, Timeout | Unreachable | AuthFailure):
        return Failed(Trouble.LINK_LOST, str(failure))
    refused = isinstance(failure, ErrorStatus) and not read
    return Failed(Trouble.REQUEST_REFUSED if refused else Trouble.REPLY_GARBLED, str(failure))
