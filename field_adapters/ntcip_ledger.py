"""Keeps what we know to stand at a cabinet, and tells whose it is when something else stands there.

A datagram may come late, or twice, and a message without an answer may have been carried out or not. So what was sent lately may turn up
again without anybody else having written.
"""

from field_adapters._base import Condition
from field_adapters.ntcip_requests import NOTHING, Requests

REMEMBERED = 8
"""Messages of ours of which a copy may come late."""

COPIES = 2
"""How many late copies there may be of a message each time that it is sent: what comes more often, somebody else writes."""


class Ledger:
    """What stands at one cabinet. Nothing is known at first."""

    def __init__(self) -> None:
        self.standing: Requests | None = None
        """What we know to stand there; None where we cannot know, so that it is written anew."""

        self._sent: dict[Requests, int] = {}
        """What was sent lately, in order, and how many copies of it may yet come."""

        self._found: Requests | None = None

    def wrote(self, requests: Requests) -> None:
        """Note what was acknowledged and read back."""
        self._send(requests)
        self.standing = requests

    def unsure(self, requests: Requests) -> None:
        """Note what was sent and may stand there now, or later."""
        self._send(requests)
        self.standing = None

    def _send(self, requests: Requests) -> None:
        self._found = NOTHING
        if requests != NOTHING:
            self._sent[requests] = min(self._sent.pop(requests, 0) + COPIES, REMEMBERED)
            if len(self._sent) > REMEMBERED:
                del self._sent[next(iter(self._sent))]

    def forget(self) -> None:
        """Start anew: what stands there next is taken for what a former life of ours, or of the cabinet, has left."""
        self.standing = self._found = None
        self._sent.clear()

    def judge(self, seen: Requests, *, expired: bool) -> tuple[Condition, str] | None:
        """Take in what stands there, and say whose it is where we do not know it.

        Args:
            seen: what was read.
            expired: whether the cabinet says that its backup time has run out.
        """
        ours = self.standing
        if self._found is None:
            self._found = seen
        if ours is not None and ours.may_be(seen):
            return None
        self.standing = None
        if seen == NOTHING and (ours is None or expired):
            return None if ours is None else (Condition.BACKUP_EXPIRED, "")
        copied = next((sent for sent, copies in self._sent.items() if copies and sent.may_be(seen)), None)
        if copied is not None:
            self._sent[copied] -= ours is not None
            return (Condition.REQUEST_LEFT_BEHIND, words(seen)) if ours == NOTHING else None
        return None if seen == self._found and ours is None else (Condition.ANOTHER_WRITER, words(seen))


def words(requests: Requests) -> str:
    """Say what stands there in a few words."""
    by_phase = {
        "omit": requests.omit,
        "ped omit": requests.ped_omit,
        "hold": requests.hold,
        "force-off": requests.force_off,
        "call": requests.veh_call,
        "ped call": requests.ped_call,
    }
    said = [f"{name} {', '.join(map(str, sorted(phases)))}" for name, phases in by_phase.items() if phases]
    return "; ".join([*said, f"pattern {requests.pattern}"])
