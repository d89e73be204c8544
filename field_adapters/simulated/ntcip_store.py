"""What a simulated NTCIP controller says on the wire: its objects, each read from it at the instant at which it is asked for."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeAlias

from field_adapters import ntcip_objects as asc
from field_adapters.ntcip_objects import Instance, NtcipObject, Oid, Syntax, masks_of, phases_in
from field_adapters.ntcip_program import OutputKind
from field_adapters.simulated import orders
from field_adapters.simulated.ntcip_controller import SECOND, NtcipController
from field_adapters.simulated.ntcip_reports import PERIOD
from field_adapters.simulated.ntcip_rings import Requests
from field_adapters.snmp import Counter, Refusal, Status, Ticks, WireValue
from intersection import machine
from intersection.state import NO_STAGE, Display
from intersection.tables import bits

Get: TypeAlias = Callable[[], int | bytes]

_CONTROLS = {
    asc.PHASE_OMIT: "omit",
    asc.PED_OMIT: "ped_omit",
    asc.HOLD: "hold",
    asc.FORCE_OFF: "force_off",
    asc.VEH_CALL: "veh_call",
    asc.PED_CALL: "ped_call",
}

_PREEMPTS = range(1, 5)

_MINIMUM_GREEN, _EXTENSION, _GREEN_REST, _YELLOW, _RED_CLEARANCE, _RED_REST = 0, 1, 3, 4, 5, 6
"""The intervals of ringStatus."""

_OPEN_LOOP = 212
"""The occupancy code of a loop that is open."""


class _Asked(NamedTuple):
    """What stands in all control objects."""

    requests: Requests
    pattern: int
    sync: int
    preempts: frozenset[int]


class NtcipStore:
    """The objects of one controller; see `field_adapters.snmp.ObjectStore`. It takes the orders that the controller takes."""

    def __init__(self, controller: NtcipController, *, heeded: int = asc.GROUPS) -> None:
        """Say what a controller says.

        Args:
            controller: the controller.
            heeded: how many groups of eight phases it heeds requests for; some firmware takes those for phases 9 to 16 and does nothing.
        """
        self.controller, self._heeded = controller, heeded
        self._get: dict[Oid, tuple[NtcipObject, Get]] = {}
        self._frozen: dict[Oid, WireValue] | None = None
        for instance, get in [*self._unit(), *self._phases(), *self._detectors(), *self._coordination(), *self._rings(), *self._overlaps()]:
            self._get[instance.oid] = instance.object, get
        self._order = sorted(self._get)
        self._writable = {
            *(instance.oid for control in _CONTROLS for instance in control.groups()),
            asc.SYSTEM_PATTERN_CONTROL.at().oid,
            asc.SYSTEM_SYNC_CONTROL.at().oid,
            *(asc.PREEMPT_CONTROL_STATE.at(number).oid for number in _PREEMPTS),
        }
        self._instance = {instance.oid: (control, group) for control in _CONTROLS for group, instance in enumerate(control.groups(), 1)}

    # --- as a store ----------------------------------------------------------------------------------------------------------------
    def read(self, oid: Oid) -> WireValue | None:
        """See `ObjectStore`."""
        if self._frozen is not None and oid not in self._writable:
            return self._frozen.get(oid)
        found = self._get.get(oid)
        return None if found is None else _typed(found[0], found[1]())

    def next(self, oid: Oid) -> Oid | None:
        """See `ObjectStore`."""
        at = bisect_right(self._order, oid)
        return self._order[at] if at < len(self._order) else None

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """See `ObjectStore`: all of a message, or nothing."""
        own = self.controller
        asked = _Asked(own.requests, own.pattern, own.sync, own.preempts)
        for index, (oid, value) in enumerate(writes, 1):
            answer = self._status(oid, value) or self._with(asked, oid, value)
            if isinstance(answer, Status):
                return Refusal(index, answer)
            asked = answer
        own.request(asked.requests, asked.pattern, sync=asked.sync, preempts=asked.preempts)
        return None

    def _status(self, oid: Oid, value: WireValue) -> Status | None:
        """Say why an object does not take a value of any kind, or of this one."""
        if oid not in self._get:
            return Status.NO_CREATION
        if oid not in self._writable:
            return Status.NOT_WRITABLE
        if type(value) is not int:
            return Status.WRONG_TYPE
        if not 0 <= value <= self._get[oid][0].highest:
            return Status.WRONG_VALUE
        return Status.GEN_ERR if self.controller.trouble.refuses else None

    def _with(self, asked: _Asked, oid: Oid, value: WireValue) -> _Asked | Status:
        """Add one write to what is asked."""
        if not isinstance(value, int):
            return Status.WRONG_TYPE
        if oid in self._instance:
            control, group = self._instance[oid]
            if group > self._heeded:
                return asked
            name = _CONTROLS[control]
            others = frozenset(phase for phase in getattr(asked.requests, name) if (phase - 1) // 8 + 1 != group)
            return asked._replace(requests=replace(asked.requests, **{name: others | phases_in(value, group)}))
        if oid == asc.SYSTEM_SYNC_CONTROL.at().oid:
            return asked._replace(sync=value)
        if oid[:-1] == asc.PREEMPT_CONTROL_STATE.oid:
            return asked._replace(preempts=asked.preempts | {oid[-1]} if value else asked.preempts - {oid[-1]})
        known = {0, asc.FREE, asc.FLASH, *(pattern.number for pattern in self.controller.config.patterns)}
        return asked._replace(pattern=value) if value in known else Status.BAD_VALUE

    def order(self, order: orders.CabinetOrder) -> orders.UnsupportedOrder | None:
        """Carry an order out at once, or say why not."""
        if isinstance(order, orders.FreezeStatus):
            self._frozen = {oid: _typed(entry, get()) for oid, (entry, get) in self._get.items()} if order.on else None
            return None
        return self.controller.order(order)

    # --- its objects ---------------------------------------------------------------------------------------------------------------
    def _unit(self) -> Iterable[tuple[Instance, Get]]:
        own = self.controller
        trouble = own.trouble
        yield asc.SYSTEM_DESCRIPTION.at(), self._description
        yield asc.SYSTEM_UP_TIME.at(), lambda: 10 * (own.now - own.born)
        yield asc.GLOBAL_TIME.at(), lambda: max(0, int(own.wall_at_zero + own.now / 10))
        yield asc.UNIT_STARTUP_FLASH.at(), lambda: 0
        yield asc.UNIT_AUTO_PED_CLEAR.at(), lambda: 1
        yield asc.UNIT_BACKUP_TIME.at(), lambda: own.backup // 10
        yield asc.UNIT_RED_REVERT.at(), lambda: 0
        yield asc.UNIT_CONTROL_STATUS.at(), self._control_status
        yield asc.UNIT_FLASH_STATUS.at(), self._flash_status
        yield asc.UNIT_ALARM_STATUS_2.at(), lambda: 16 * trouble.stopped + 32 * (not own.is_free and not own.in_step)
        yield asc.UNIT_ALARM_STATUS_1.at(), lambda: 16 * trouble.monitor + 32 * trouble.flash + 64 * own.is_free + 128 * (not own.is_free)
        yield asc.SHORT_ALARM_STATUS.at(), self._short_alarms
        yield asc.UNIT_CONTROL.at(), lambda: 0
        yield asc.MAX_PREEMPTS.at(), lambda: 4
        for number in _PREEMPTS:
            yield asc.PREEMPT_STATE.at(number), partial(self._preempt_state, number)
            yield asc.PREEMPT_CONTROL_STATE.at(number), partial(lambda number: number in own.preempts, number)

    def _description(self) -> bytes:
        return f"Phasewise simulated ASC, cabinet {self.controller.identity}".encode()

    def _short_alarms(self) -> int:
        own = self.controller
        alarms = own.preempting is not None, own.state.display is Display.FLASH, not all(own.report.valid), own.trouble.stopped
        return sum(bit * on for bit, on in zip((1, 2, 32, 128), alarms, strict=True))

    def _preempt_state(self, number: int) -> int:
        own, state = self.controller, asc.PreemptState
        if own.preempting != number:
            return state.NOT_ACTIVE_WITH_CALL if number in own.preempts else state.NOT_ACTIVE
        arrived = own.state.target == NO_STAGE and own.state.stage == (number - 1) % len(own.tables.stages)
        return state.DWELL if arrived else state.ENTRY_STARTED

    def _control_status(self) -> int:
        own, status = self.controller, asc.ControlStatus
        if own.trouble.manual or own.trouble.police:
            return status.LOCAL_MANUAL_CONTROL if own.trouble.manual else status.MANUAL
        if own.trouble.locked_out:
            return status.OTHER
        if own.in_backup:
            return status.BACKUP_MODE
        return status.SYSTEM_CONTROL if own.pattern else status.TIMEBASE

    def _flash_status(self) -> int:
        own, status = self.controller, asc.FlashStatus
        if own.trouble.monitor:
            return status.MMU
        if own.state.display is not Display.FLASH:
            return status.NOT_FLASH
        return status.LOCAL_MANUAL if own.trouble.flash else status.AUTOMATIC

    def _phases(self) -> Iterable[tuple[Instance, Get]]:
        own = self.controller
        yield asc.MAX_PHASES.at(), lambda: 16
        yield asc.MAX_PHASE_GROUPS.at(), lambda: 2
        for phase, times in own.program.times.items():
            edited = own.trouble.edited
            yield asc.PHASE_WALK.at(phase), partial(lambda t: t.walk, times)
            yield asc.PHASE_PEDESTRIAN_CLEAR.at(phase), partial(lambda t: t.ped_clear, times)
            yield asc.PHASE_MINIMUM_GREEN.at(phase), partial(lambda t, p, e: e.get(p, 10 * t.min_green) // 10, times, phase, edited)
            yield asc.PHASE_PASSAGE.at(phase), lambda: own.passage
            yield asc.PHASE_MAXIMUM_1.at(phase), partial(lambda t: t.max_green, times)
            yield asc.PHASE_MAXIMUM_2.at(phase), partial(lambda t: t.max_green, times)
            yield asc.PHASE_YELLOW_CHANGE.at(phase), partial(lambda t: t.yellow, times)
            yield asc.PHASE_RED_CLEAR.at(phase), partial(lambda t: t.red, times)
            yield asc.PHASE_RED_REVERT.at(phase), lambda: 0
            yield asc.PHASE_ADDED_INITIAL.at(phase), lambda: 0
            yield asc.PHASE_MAXIMUM_INITIAL.at(phase), lambda: 0
            yield asc.PHASE_STARTUP.at(phase), partial(lambda p: 4 if p in own.program.stages[0] else 2, phase)
            yield asc.PHASE_OPTIONS.at(phase), partial(own.options_of, phase)
            yield asc.PHASE_RING.at(phase), partial(own.program.ring_of, phase)
            yield asc.PHASE_CONCURRENCY.at(phase), partial(lambda p: bytes(sorted(own.program.concurrent(p))), phase)
        shown: dict[NtcipObject, Callable[[], frozenset[int]]] = {
            asc.PHASE_REDS: lambda: own.program.phases - own.phases_green - self._yellow(),
            asc.PHASE_YELLOWS: self._yellow,
            asc.PHASE_GREENS: lambda: own.phases_green,
            asc.PHASE_DONT_WALKS: lambda: own.program.phases - self._walking(2) - self._walking(3),
            asc.PHASE_PED_CLEARS: lambda: self._walking(3),
            asc.PHASE_WALKS: lambda: self._walking(2),
            asc.PHASE_VEH_CALLS: own.vehicle_calls,
            asc.PHASE_PED_CALLS: own.ped_calls,
            asc.PHASE_ONS: lambda: own.phases_on if own.state.display is Display.NORMAL else frozenset(),
            asc.PHASE_NEXTS: self._nexts,
        }
        for entry, of in shown.items():
            for group, instance in enumerate(entry.groups(), 1):
                yield instance, partial(lambda of, group: masks_of(of())[group - 1], of, group)
        for control, name in _CONTROLS.items():
            for group, instance in enumerate(control.groups(), 1):
                yield instance, partial(lambda name, group: masks_of(getattr(own.requests, name))[group - 1], name, group)

    def _yellow(self) -> frozenset[int]:
        """The phases whose vehicles see yellow."""
        own = self.controller
        if own.state.display is not Display.NORMAL or own.state.target == NO_STAGE:
            return frozenset()
        yellows = machine.lamps(own.state, own.tables).yellows
        return frozenset(phase for phase in own.phases_on - own.phases_green if own.groups_of(phase) & yellows)

    def _walking(self, which: int) -> frozenset[int]:
        """The phases whose pedestrians see walk (2) or clearance (3)."""
        own = self.controller
        if own.state.display is not Display.NORMAL:
            return frozenset()
        mask = machine.lamps(own.state, own.tables)[which] & own.tables.green[own.state.stage]
        return frozenset(phase for phase in own.phases_on if own.groups_of(phase) & mask)

    def _nexts(self) -> frozenset[int]:
        own = self.controller
        if own.state.target == NO_STAGE or own.state.display is not Display.NORMAL:
            return frozenset()
        return own.program.stages[own.state.target] - own.phases_on

    def _detectors(self) -> Iterable[tuple[Instance, Get]]:
        own = self.controller
        loops, buttons = own.report.loops, own.report.buttons
        names = [detector.id for detector in own.config.detectors]
        yield asc.MAX_VEHICLE_DETECTORS.at(), lambda: len(loops)
        yield asc.MAX_DETECTOR_GROUPS.at(), lambda: -(-len(loops) // 8)
        yield asc.MAX_PED_DETECTORS.at(), lambda: len(buttons)
        yield asc.VOLUME_OCCUPANCY_SEQUENCE.at(), lambda: own.report.sequence
        yield asc.VOLUME_OCCUPANCY_PERIOD.at(), lambda: PERIOD // SECOND
        yield asc.ACTIVE_VOLUME_OCCUPANCY_DETECTORS.at(), lambda: len(loops)
        for number, at in loops:
            yield asc.DETECTOR_OPTIONS.at(number), lambda: 0x83
            yield asc.DETECTOR_CALL_PHASE.at(number), partial(lambda at: own.program.calls.get(names[at], 0), at)
            yield asc.DETECTOR_ALARMS.at(number), partial(lambda at: 0 if own.report.valid[at] else 8, at)
            yield asc.DETECTOR_VOLUME.at(number), partial(lambda at: own.report.volumes[at], at)
            yield asc.DETECTOR_OCCUPANCY.at(number), partial(self._occupancy, at)
        for number, at in buttons:
            yield asc.PED_DETECTOR_CALL_PHASE.at(number), partial(lambda at: own.program.calls.get(names[at], 0), at)
            yield asc.PED_DETECTOR_ALARMS.at(number), partial(lambda at: 0 if own.report.valid[at] else 8, at)
        for entry, some in ((asc.DETECTORS_ACTIVE, loops), (asc.PED_DETECTORS_ACTIVE, buttons)):
            for group in range(1, -(-len(some) // 8) + 1):
                yield entry.at(group), partial(lambda some, group: _byte(some, group, own.report.active), some, group)
        for group in range(1, -(-len(loops) // 8) + 1):
            yield asc.DETECTORS_ALARMED.at(group), partial(lambda group: _byte(loops, group, [not ok for ok in own.report.valid]), group)

    def _occupancy(self, at: int) -> int:
        report = self.controller.report
        return round(200 * report.shares[at]) if report.valid[at] else _OPEN_LOOP

    def _coordination(self) -> Iterable[tuple[Instance, Get]]:
        own = self.controller
        yield asc.COORD_OPERATIONAL_MODE.at(), lambda: 0
        yield asc.COORD_CORRECTION_MODE.at(), lambda: 2
        yield asc.COORD_MAXIMUM_MODE.at(), lambda: 4
        yield asc.COORD_FORCE_MODE.at(), lambda: 3
        yield asc.MAX_PATTERNS.at(), lambda: max((pattern.number for pattern in own.config.patterns), default=0)
        yield asc.MAX_SPLITS.at(), lambda: len(own.config.patterns)
        for at, pattern in enumerate(own.config.patterns, 1):
            yield asc.PATTERN_CYCLE_TIME.at(pattern.number), partial(lambda p: min(255, p.cycle // 10), pattern)
            yield asc.PATTERN_OFFSET_TIME.at(pattern.number), partial(lambda p: min(255, p.offset // 10), pattern)
            yield asc.PATTERN_SPLIT_NUMBER.at(pattern.number), partial(lambda at: at, at)
            yield asc.PATTERN_SEQUENCE_NUMBER.at(pattern.number), lambda: 1
            names = [stage.name for stage in own.config.stages]
            splits = dict.fromkeys(own.program.phases, 0)
            for name, split in zip(pattern.sequence, pattern.splits, strict=True):
                for phase in own.program.stages[names.index(name)]:
                    splits[phase] += split // SECOND
            for phase, seconds in splits.items():
                yield asc.SPLIT_TIME.at(at, phase), partial(lambda seconds: min(255, seconds), seconds)
                yield asc.SPLIT_MODE.at(at, phase), partial(lambda used: 2 if used else 7, seconds > 0)
                coordinated = phase in own.program.stages[names.index(pattern.sequence[0])]
                yield asc.SPLIT_COORD_PHASE.at(at, phase), partial(int, coordinated)
        yield asc.COORD_PATTERN_STATUS.at(), self._pattern_status
        yield asc.LOCAL_FREE_STATUS.at(), self._free_status
        yield asc.COORD_CYCLE_STATUS.at(), self._cycle
        yield asc.COORD_SYNC_STATUS.at(), self._cycle
        yield asc.SYSTEM_PATTERN_CONTROL.at(), lambda: own.pattern
        yield asc.SYSTEM_SYNC_CONTROL.at(), lambda: own.sync
        yield asc.TIMEBASE_ACTION_STATUS.at(), lambda: 1 if own.own_pattern else 0

    def _pattern_status(self) -> int:
        own = self.controller
        return asc.FLASH if own.state.display is Display.FLASH else own.running_pattern or asc.FREE

    def _free_status(self) -> int:
        own, status = self.controller, asc.FreeStatus
        if not own.is_free:
            return status.NOT_FREE
        return status.COMMAND_FREE if own.pattern == asc.FREE else status.COORD_FREE

    def _cycle(self) -> int:
        own = self.controller
        pattern = next((each for each in own.config.patterns if each.number == own.running_pattern), None)
        return 0 if pattern is None else pattern.position(own.now) // 10

    def _rings(self) -> Iterable[tuple[Instance, Get]]:
        own = self.controller
        yield asc.MAX_RINGS.at(), lambda: len(own.program.rings)
        yield asc.MAX_SEQUENCES.at(), lambda: 1
        for ring in range(len(own.program.rings)):
            yield asc.SEQUENCE_DATA.at(1, ring + 1), partial(self._sequence, ring)
            yield asc.RING_STATUS.at(ring + 1), partial(self._ring_status, ring)
        yield asc.RING_STOP_TIME.at(1), lambda: 0xFF if own.trouble.stopped else 0
        yield asc.RING_OMIT_RED_CLEAR.at(1), lambda: 0

    def _sequence(self, ring: int) -> bytes:
        phases = self.controller.program.sequence(ring)
        return bytes(reversed(phases) if self.controller.trouble.sequence_changed else phases)

    def _ring_status(self, ring: int) -> int:
        """Minimum green (0), extension (1), rest (3), yellow (4), red clearance (5), red rest (6), and the bits of how a green ended."""
        own = self.controller
        phase = next((each for each in own.program.sequence(ring) if each in own.phases_on), None)
        if phase is None or own.state.display is not Display.NORMAL:
            return _RED_REST
        if phase not in own.phases_green:
            return (_YELLOW if phase in self._yellow() else _RED_CLEARANCE) + own.ended_by.get(phase, 0)
        began = max((own.state.began[group] for group in bits(own.groups_of(phase))), default=own.now)
        if own.now < began + SECOND * own.program.times[phase].min_green:
            return _MINIMUM_GREEN
        return _EXTENSION if own.has_demand else _GREEN_REST

    def _overlaps(self) -> Iterable[tuple[Instance, Get]]:
        own = self.controller
        numbered = [(at, output.number) for at, output in enumerate(own.program.outputs) if output.kind is OutputKind.OVERLAP]
        yield asc.MAX_OVERLAPS.at(), lambda: len(numbered)
        yield asc.MAX_CHANNELS.at(), lambda: len(own.program.outputs)
        for channel, output in enumerate(own.program.outputs, 1):
            yield asc.CHANNEL_SOURCE.at(channel), partial(lambda output: output.number, output)
            yield asc.CHANNEL_TYPE.at(channel), partial(lambda output: 4 if output.kind is OutputKind.OVERLAP else 2, output)
        for _, number in numbered:
            parents = own.program.overlaps[number - 1]
            yield asc.OVERLAP_TYPE.at(number), lambda: 2
            yield asc.OVERLAP_PARENTS.at(number), partial(lambda parents: bytes(sorted(parents)), parents)
            yield asc.OVERLAP_TRAIL_GREEN.at(number), lambda: 0
            yield asc.OVERLAP_TRAIL_YELLOW.at(number), lambda: 0
            yield asc.OVERLAP_TRAIL_RED.at(number), lambda: 0
        for entry, which in ((asc.OVERLAP_GREENS, 0), (asc.OVERLAP_YELLOWS, 1), (asc.OVERLAP_REDS, None)):
            for group in range(1, -(-len(numbered) // 8) + 1):
                yield entry.at(group), partial(lambda which, group: self._overlap_byte(numbered, which, group), which, group)

    def _overlap_byte(self, numbered: Sequence[tuple[int, int]], which: int | None, group: int) -> int:
        own = self.controller
        if own.state.display is not Display.NORMAL:
            return 0
        lamps = machine.lamps(own.state, own.tables)
        shown = ~(lamps.greens | lamps.yellows) if which is None else lamps[which]
        return sum(1 << (number - 1) % 8 for at, number in numbered if (number - 1) // 8 + 1 == group and shown >> at & 1)


def _byte(numbered: Sequence[tuple[int, int]], group: int, on: Sequence[bool]) -> int:
    return sum(1 << (number - 1) % 8 for number, at in numbered if (number - 1) // 8 + 1 == group and on[at])


def _typed(entry: NtcipObject, value: int | bytes) -> WireValue:
    if isinstance(value, bytes):
        return value
    if entry.syntax is Syntax.COUNTER:
        return Counter(value)
    return Ticks(value) if entry.syntax is Syntax.TICKS else int(value)
