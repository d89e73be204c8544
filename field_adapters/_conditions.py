"""What a cabinet tells of itself becomes the conditions that stand against us, for cabinets that are asked for stages."""

from collections.abc import Collection, Mapping

from field_adapters._base import Condition
from field_adapters.modbus_map import CabinetFault
from intersection.phase import Tenths
from intersection.state import Display

SEEN_FOR: Tenths = 100
"""How long a new start, or another writer, is told after it was seen, in tenths of a second."""

FROZEN: Tenths = 10
"""A cabinet whose own clock has not moved for this long does not tell what is, in tenths of a second."""

_OF_FAULT: Mapping[CabinetFault, Condition] = {
    CabinetFault.CONFLICT_MONITOR: Condition.CONFLICT_FLASH,
    CabinetFault.LAMP: Condition.LAMP_POWER_LOST,
    CabinetFault.CLOCK: Condition.CLOCK_OFF,
    CabinetFault.PREEMPT: Condition.PREEMPT,
    CabinetFault.STOP_TIME: Condition.STOP_TIME,
    CabinetFault.MANUAL: Condition.LOCAL_MANUAL,
}


def standing(faults: Collection[CabinetFault], display: Display, *, locked_out: bool, expired: bool) -> dict[Condition, str]:
    """Say what stands at a cabinet.

    Args:
        faults: what it says is wrong.
        display: what its lamps show as a whole.
        locked_out: whether its key is turned against us.
        expired: whether it follows its own plan although a request of ours should stand.
    """
    found = {_OF_FAULT[fault]: fault.name.lower().replace("_", " ") for fault in faults if fault in _OF_FAULT}
    if locked_out:
        found[Condition.LOCAL_LOCK_OUT] = "its key is turned"
    if display is Display.FLASH and Condition.CONFLICT_FLASH not in found:
        found[Condition.FLASH] = ""
    if display is Display.DARK:
        found[Condition.LAMP_POWER_LOST] = "dark"
    if expired and display is Display.NORMAL:
        found[Condition.BACKUP_EXPIRED] = "it follows its own plan again"
    return found


class Told:
    """What is seen at one poll, and would be forgotten at the next."""

    def __init__(self) -> None:
        self._seen: dict[Condition, tuple[Tenths, str]] = {}

    def see(self, condition: Condition, words: str, now: Tenths) -> None:
        """Remember what has just been seen."""
        self._seen[condition] = (now, words)

    def standing(self, now: Tenths) -> dict[Condition, str]:
        """Give what was seen not long ago."""
        self._seen = {condition: seen for condition, seen in self._seen.items() if now - seen[0] < SEEN_FOR}
        return {condition: words for condition, (_, words) in self._seen.items()}

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()


class Pulse:
    """Whether a cabinet's own clock moves; one that stands still answers with what was."""

    def __init__(self) -> None:
        self._moved: tuple[Tenths, Tenths | None] | None = None

    def beats(self, clock: Tenths | None, now: Tenths) -> bool:
        """Take in what the clock says now, or None where it says nothing."""
        if self._moved is None or clock is None or clock != self._moved[1]:
            self._moved = (now, clock)
        return now - self._moved[0] < FROZEN
