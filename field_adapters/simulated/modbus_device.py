"""A simulated cabinet on Modbus: keeps every promise that docs/modbus-map.md asks of a device.

`ModbusDevice` is a bank of registers over a signal that is timed by the same `machine` as everywhere, with a gate of its own: whatever is
requested, the device's own `review` against its own configuration decides. It acknowledges, refuses with a code, counts its watchdog down
on the clock that it is given, and then runs its own plan. It stands on a street as a `SimulatedCabinet`, and faults can be ordered at it.

What it does not imitate: the delays of a real device, lamps, and detectors (whoever owns the street reports them).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from field_adapters.modbus_link import ExceptionCode
from field_adapters.modbus_map import DISPLAYS, CabinetFault, DetectorFault, DetectorValue, Program, Refusal, RegisterMap, is_newer
from field_adapters.modbus_profile import LARGEST_WORD, Block, Mode, Profile, Table, crc16
from field_adapters.simulated import orders
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.detection import Channel, DetectorKind, Readings, empty_readings
from intersection.observation import Observation
from intersection.phase import Tenths
from intersection.policy import FixedTime
from intersection.shield import Amended, Granted, Proposal, Reason, Refused, review
from intersection.state import FOREVER, FREE, NEVER, NO_STAGE, Display, IntersectionState, Interval, PedInterval, PhaseState
from intersection.tables import bits

SECOND: Tenths = 10

DETECTOR_FREE = DetectorValue(occupied_now=False, count=0, occupied=0, since=LARGEST_WORD)
"""A detector on which no vehicle has ever stood."""


class ModbusDevice:
    """The cabinet: its signal, its watchdog, and what it says on the wire."""

    def __init__(
        self,
        config: IntersectionConfig,
        profile: Profile,
        *,
        watchdog: Tenths = 50,
        own_pattern: int = FREE,
        stage: int = 0,
        identity: int = 0,
        now: Tenths = 0,
    ) -> None:
        """Start up in a stage, running its own plan.

        Args:
            config: the signal that the cabinet controls.
            profile: the map that it speaks.
            watchdog: how long it follows a heartbeat, in tenths of a second.
            own_pattern: the plan that it runs by itself; FREE leaves it to calls and bounds.
            stage: the stage in which it starts.
            identity: the number of its database.
            now: the instant of the start, in tenths of a second.
        """
        self.config, self.tables = config, config.tables
        self.map = RegisterMap(profile=profile, program=Program.of(config.tables, detectors=len(config.detectors), identity=identity))
        self.watchdog, self.own_pattern = watchdog, own_pattern
        self.faults: set[CabinetFault] = set()
        self.detectors: list[DetectorValue | DetectorFault] = [DETECTOR_FREE] * len(config.detectors)
        self._plans = {pattern.number: FixedTime(config, pattern.number) for pattern in config.patterns}
        self._readings = empty_readings(config.detectors)
        self._boot = 0
        self._locked_out = False
        self._by_hand = False
        self._preempt: int | None = None
        self._stopped = False
        self._refuses = self._ignores = self._another_writes = False
        self._frozen: list[tuple[Block, tuple[int, ...]]] | None = None
        self.state = machine.start(self.tables, stage, now)
        self.restart(stage)

    # --- what the technician and the street do -------------------------------------------------------------------------------------
    def restart(self, stage: int = 0) -> None:
        """Lose power and start anew: nothing that was requested before holds."""
        self._boot = self._boot % LARGEST_WORD + 1
        self._born = self.state.now
        self._mode, self._wanted, self._plan, self._until = Mode.RELEASED, NO_STAGE, FREE, self.state.now
        self._acknowledged = self._refused = self._heartbeat = 0
        self._refusal: Refusal | None = None
        self._written = (0,) * self.map.profile.request.size
        self.state = machine.start(self.tables, stage, self.state.now)

    def set_local(self, local: bool) -> None:
        """Turn the key that locks remote requests out: they end at once, and are refused while it is turned."""
        self._locked_out = local
        if local:
            self._let_go(Mode.RELEASED)

    def show(self, display: Display) -> None:
        """Go to flash or dark, or from there through a start-up back to normal."""
        if display is Display.NORMAL:
            self.state = machine.start(self.tables, 0, self.state.now)
        else:
            self.state = machine.show(self.state, display)
            self._let_go(Mode.RELEASED)

    def place_calls(self, vehicles: int, pedestrians: int = 0, discharged: int = 0) -> None:
        """Take in calls, as masks of groups (see `machine.place_calls`)."""
        self.state = machine.place_calls(self.state, self.tables, vehicles, pedestrians, discharged)

    def order(self, order: orders.CabinetOrder) -> orders.UnsupportedOrder | None:  # noqa: C901, PLR0912  # one line for each order
        """Carry an order out at once, or say why not."""
        match order:
            case orders.FreezeStatus(on):
                self._frozen = self._shown() if on else None
            case orders.Reboot():
                self.restart()
            case orders.RefuseRequests(on):
                self._refuses = on
            case orders.IgnoreRequests(on):
                self._ignores = on
                self._wanted = NO_STAGE
            case orders.Flash(on):
                self.show(Display.FLASH if on else Display.NORMAL)
            case orders.ConflictFlash():
                self.faults.add(CabinetFault.CONFLICT_MONITOR)
                self.show(Display.FLASH)
            case orders.ResetMonitor():
                self.faults.discard(CabinetFault.CONFLICT_MONITOR)
                self.show(Display.NORMAL)
            case orders.LampsDark(on):
                self._fault(CabinetFault.LAMP, on=on)
                self.show(Display.DARK if on else Display.NORMAL)
            case orders.Preempt(on, number):
                self._fault(CabinetFault.PREEMPT, on=on)
                self._preempt = (number - 1) % len(self.tables.stages) if on else None
            case orders.Police(on) | orders.Manual(on):
                self._fault(CabinetFault.MANUAL, on=on)
                self._by_hand = on
            case orders.LockOut(on):
                self.set_local(on)
            case orders.StopTime(on):
                self._fault(CabinetFault.STOP_TIME, on=on)
                self._stopped = on
            case orders.AnotherWriter(on):
                self._another_writes = on
            case orders.ChangeIdentity(number):
                self.map = replace(self.map, program=replace(self.map.program, identity=number))
            case orders.JumpClock():
                return orders.UnsupportedOrder("this map tells no time of day")
            case orders.SetBackupTime():
                return orders.UnsupportedOrder("its watchdog's time is fixed")
            case orders.EditTiming() | orders.ChangeSequence():
                return orders.UnsupportedOrder("its database cannot be edited while it runs")
            case _:
                assert_never(order)
        return None

    def _fault(self, fault: CabinetFault, *, on: bool) -> None:
        """Begin or end something that goes before every request."""
        if on:
            self.faults.add(fault)
            self._let_go(Mode.RELEASED)
        else:
            self.faults.discard(fault)

    # --- as a simulated cabinet ----------------------------------------------------------------------------------------------------
    @property
    def now(self) -> Tenths:
        """The cabinet's time, in tenths of a second."""
        return self.state.now

    def sense(self, readings: Readings, elapsed: Tenths) -> None:
        """See `SimulatedCabinet`."""
        self.detectors = [
            _detected(before, readings, at, elapsed, is_button=detector.kind is DetectorKind.PUSH_BUTTON)
            for at, (before, detector) in enumerate(zip(self.detectors, self.config.detectors, strict=True))
        ]
        self.place_calls(readings.vehicles, readings.pedestrians, readings.discharged)

    def next_change(self) -> Tenths:
        """See `SimulatedCabinet`. While it follows a request or a plan of its own, that may be any tenth."""
        return FOREVER if self._stopped or self.state.display is not Display.NORMAL else self.state.now + 1

    def indications(self) -> dict[int, PhaseState]:
        """See `SimulatedCabinet`."""
        return {group.number: shown for group, shown in zip(self.tables.groups, machine.phase_states(self.state, self.tables), strict=True)}

    def advance(self, now: Tenths) -> None:
        """Let time pass until an instant, in tenths of a second. Raises ValueError where it would run backwards."""
        if now < self.state.now:
            raise ValueError(f"time runs forward: from {self.state.now} to {now} tenths of a second")
        if self._stopped:
            self.state = _later(self.state, now - self.state.now)
            return
        while self.state.now < now:
            step = self.state.now + 1 if self._is_waiting() else self.state.now // SECOND * SECOND + SECOND
            marks = (step, now, self.state.arrives, self._until)
            self._act(min(mark for mark in marks if mark > self.state.now))
            if self._follows() and self._until <= self.state.now:
                self._let_go(Mode.EXPIRED)
            if self._another_writes and self.state.now % SECOND == 0:
                self._write_as_another()

    def _follows(self) -> bool:
        """Whether a request is being carried out."""
        return self._mode in (Mode.STAGE, Mode.PLAN)

    def _is_waiting(self) -> bool:
        """Whether a requested stage may begin at any tenth of a second, as soon as the gate allows it."""
        return self._wanted != NO_STAGE and self.state.target == NO_STAGE

    def _act(self, until: Tenths) -> None:
        """Do what is proposed, as far as the device's own gate allows it, and let time pass."""
        if self.state.display is not Display.NORMAL:
            self.state = self.state._replace(now=until)
            return
        proposal = self._proposal()
        verdict = None if proposal is None else review(proposal, self.state, self.tables)
        command = None if verdict is None or isinstance(verdict, Refused) else verdict.command
        heading = self.state.target
        if heading == NO_STAGE:
            heading = self.state.stage if command is None else command.stage
        if self._wanted == heading or (self._wanted == self.state.stage and self.state.target == NO_STAGE):
            self._wanted = NO_STAGE  # a request is for one arrival: what the gate does after it is not undone
        self.state = machine.advance(self.state, command, until, self.tables)

    def _proposal(self) -> Proposal | None:
        """Say what is to be done: a preemption, a request, a plan, or nothing but what runs."""
        if self._preempt is not None:
            return Proposal(stage=self._preempt)
        if self._by_hand:
            return None
        match self._mode:
            case Mode.STAGE:
                return None if self._wanted == NO_STAGE else Proposal(stage=self._wanted)
            case Mode.PLAN:
                plan = self._plans.get(self._plan)
            case Mode.RELEASED | Mode.EXPIRED | Mode.LOCAL:
                plan = self._plans.get(self.own_pattern)
            case _:
                assert_never(self._mode)
        return Proposal() if plan is None else plan.propose(Observation(self.state, self._readings))

    def _let_go(self, mode: Mode) -> None:
        self._mode, self._wanted, self._plan, self._until = mode, NO_STAGE, FREE, self.state.now

    def _write_as_another(self) -> None:
        """Ask for the next stage, as somebody else would who has read the map as well."""
        self._acknowledged = self._acknowledged % LARGEST_WORD + 1
        self._mode, self._until = Mode.STAGE, self.state.now + self.watchdog
        self._wanted = (self.state.stage + 1) % len(self.tables.stages)

    # --- the bank ------------------------------------------------------------------------------------------------------------------
    def read(self, table: Table, address: int, count: int) -> tuple[int, ...] | ExceptionCode:
        """Give cells that lie within one block."""
        for block, cells in self._shown():
            if block.table is table and block.address <= address and address + count <= block.address + block.size:
                return cells[address - block.address : address - block.address + count]
        return ExceptionCode.ILLEGAL_ADDRESS

    def write(self, table: Table, address: int, cells: Sequence[int]) -> ExceptionCode | None:
        """Take a whole request block in; a part of one, or anything else, is refused as a write."""
        request = self.map.profile.request
        if self._refuses:
            return ExceptionCode.DEVICE_FAILURE
        if table is not request.table or address != request.address or len(cells) != request.size:
            return ExceptionCode.ILLEGAL_ADDRESS
        self._written = tuple(cells)
        values = request.take(cells)
        refusal = self._judge(values)
        sequence = values.get("sequence", 0)
        if refusal is None:
            self._acknowledged, self._refused, self._refusal = sequence, 0, None
            self._obey(values)
        else:
            self._refused, self._refusal = sequence, refusal
        return None

    def _judge(self, values: dict[str, int]) -> Refusal | None:
        """Say why a request is not carried out, or None. A release needs least: it is possible whenever the block is whole."""
        request = self.map.profile.request
        if "crc" in values and values["crc"] != crc16(self._written[:-1]):
            return Refusal.CHECKSUM
        if any(field.value is not None and values[name] != field.value for name, field in request.fields.items()):
            return Refusal.WRONG_MAP
        if "sequence" in values and not is_newer(values["sequence"], self._acknowledged):
            return Refusal.STALE_SEQUENCE
        mode = self._asked(values)
        if mode is Mode.RELEASED:
            return None
        if mode is None:
            return Refusal.UNKNOWN_MODE
        late = self._judge_age(values)
        if late is not None:
            return late
        if self._locked_out or self._by_hand or self._stopped or self._preempt is not None:
            return Refusal.LOCAL
        if self.state.display is not Display.NORMAL:
            return Refusal.FLASH
        fresh = values["heartbeat"] != self._heartbeat
        if "sequence" in values and (values["heartbeat"] == 0 or not (fresh or self._follows())):
            return Refusal.HEARTBEAT
        if not 1 <= values.get("hold", 1) <= self.map.profile.limits.max_hold:
            return Refusal.HOLD
        return self._judge_target(mode, values)

    def _judge_age(self, values: dict[str, int]) -> Refusal | None:
        if "not_after" not in values:
            return None
        if values["boot"] != self._boot:
            return Refusal.WRONG_BOOT
        left = values["not_after"] - self._clock() & 0xFFFFFFFF
        if left > 0x7FFFFFFF:
            return Refusal.EXPIRED
        return Refusal.TOO_FAR if left > self.map.profile.limits.validity else None

    def _judge_target(self, mode: Mode, values: dict[str, int]) -> Refusal | None:
        if mode is Mode.PLAN:
            return None if values["target"] in self._plans else Refusal.UNKNOWN_PLAN
        stage = self._stage(values)
        if stage is None:
            return Refusal.UNKNOWN_STAGE
        if values.get("clear", 0) & ~self.tables.green[stage]:
            return Refusal.CLEAR
        verdict = review(Proposal(stage=stage), self.state, self.tables)
        match verdict:
            case Refused() | Amended(reason=Reason.PROHIBITED_MOVE):
                return Refusal.CONFLICT
            case Granted() | Amended():
                return None
            case _:
                assert_never(verdict)

    def _obey(self, values: dict[str, int]) -> None:
        """Carry an accepted request out. Only a new heartbeat winds the watchdog up."""
        mode = self._asked(values)
        fresh = values["heartbeat"] != self._heartbeat
        if mode is Mode.RELEASED or mode is None:
            self._let_go(Mode.RELEASED)
            return
        if fresh:
            self._heartbeat = values["heartbeat"]
            self._until = self.state.now + min(self.watchdog, values.get("hold", self.watchdog))
        elif self._until <= self.state.now:  # a map without sequences repeats itself, and what it repeats does not count
            return
        self._mode = mode
        stage = self._stage(values)
        self._plan = values["target"] if mode is Mode.PLAN else FREE
        self._wanted = NO_STAGE if mode is Mode.PLAN or stage is None or self._ignores else stage
        self._act(self.state.now)

    def _asked(self, values: dict[str, int]) -> Mode | None:
        return next((mode for mode, number in self.map.profile.request_modes.items() if number == values["mode"]), None)

    def _stage(self, values: dict[str, int]) -> int | None:
        stages = self.tables.green
        if "target" in values:
            return values["target"] - 1 if 1 <= values["target"] <= len(stages) else None
        return stages.index(values["groups"]) if values["groups"] in stages else None

    def _clock(self) -> Tenths:
        return self.state.now - self._born & 0xFFFFFFFF

    def _shown(self) -> list[tuple[Block, tuple[int, ...]]]:
        """Give every block with what it holds now, or held when the status was frozen."""
        if self._frozen is not None:
            return self._frozen
        values = self._status()
        profile = self.map.profile
        shown = [(profile.request, self._written)]
        shown += [(block, block.put(values)) for block in profile.status if block.table is not profile.request.table]
        layout = profile.detectors
        for at, page in enumerate(self.map.pages):
            cells = [0] * page.size
            for own, detector in enumerate(self.detectors[at * layout.per_page : (at + 1) * layout.per_page]):
                start = layout.first + own * layout.stride
                one = Block(table=page.table, address=0, size=layout.stride, fields=layout.fields)
                cells[start : start + layout.stride] = one.put(_of_detector(detector))
            head = page.put({"clock": self._clock()})
            for field in page.fields.values():
                cells[field.at : field.at + field.size] = head[field.at : field.at + field.size]
            if "crc" in page.fields:
                cells[-1] = crc16(cells[:-1])
            shown.append((page, tuple(cells)))
        return shown

    def _status(self) -> dict[str, int]:
        state, program = self.state, self.map.program
        groups = machine.phase_states(state, self.tables)
        lamps = {interval: sum(1 << at for at, group in enumerate(groups) if group.interval is interval) for interval in Interval}
        walks = {
            interval: sum(1 << at for at in bits(program.pedestrians) if groups[at].pedestrian is interval) for interval in PedInterval
        }
        mode = Mode.LOCAL if self._locked_out else self._mode
        numbers = {shown: number for number, shown in self.map.profile.status_modes.items()}
        faults = set(self.faults)
        if any(isinstance(detector, DetectorFault) for detector in self.detectors):
            faults.add(CabinetFault.DETECTOR)
        return {
            "boot": self._boot,
            "clock": self._clock(),
            "acknowledged": self._acknowledged,
            "refused": self._refused,
            "refusal": 0 if self._refusal is None else self._refusal.code,
            "mode": numbers.get(mode, numbers[Mode.RELEASED]),
            "watchdog": max(0, self._until - state.now) if self._follows() else 0,
            "heartbeat": self._heartbeat,
            "stage": 0 if state.display is not Display.NORMAL else state.stage + 1,
            "target": 0 if state.target == NO_STAGE or state.display is not Display.NORMAL else state.target + 1,
            "plan": self._plan if mode is Mode.PLAN else self.own_pattern if mode is not Mode.STAGE else FREE,
            "elapsed": min(state.now - state.arrived, LARGEST_WORD),
            "display": DISPLAYS.index(state.display),
            "faults": sum(1 << fault.value for fault in faults),
            "detectors": program.detectors,
            "identity": program.identity,
            "greens": lamps[Interval.GREEN],
            "yellows": lamps[Interval.YELLOW_CHANGE],
            "reds": lamps[Interval.RED] | lamps[Interval.RED_CLEARANCE],
            "red_clears": lamps[Interval.RED_CLEARANCE],
            "walks": walks[PedInterval.WALK],
            "ped_clears": walks[PedInterval.PED_CLEARANCE],
            "dont_walks": walks[PedInterval.DONT_WALK],
            "calls": state.calls,
            "ped_calls": state.ped_calls,
            "protected": sum(1 << at for at, group in enumerate(groups) if group.protected),
        }


def _of_detector(detector: DetectorValue | DetectorFault) -> dict[str, int]:
    match detector:
        case DetectorFault():
            return {"state": max(detector.value, 2)}
        case DetectorValue(occupied_now, count, occupied, since):
            return {
                "state": int(occupied_now),
                "count": (count or 0) & LARGEST_WORD,
                "occupied": (occupied or 0) & LARGEST_WORD,
                "since": min(since or 0, LARGEST_WORD),
            }
        case _:
            assert_never(detector)


def _detected(
    before: DetectorValue | DetectorFault, readings: Readings, at: int, elapsed: Tenths, *, is_button: bool
) -> DetectorValue | DetectorFault:
    """Add what a detector says now to its totals."""
    if not readings.valid[at]:
        return DetectorFault.OPEN_LOOP
    was = before if isinstance(before, DetectorValue) else DETECTOR_FREE
    count, share = float(readings.values[Channel.COUNT, at]), float(readings.values[Channel.OCCUPANCY, at])
    stood = elapsed * int(count > 0) if is_button else round(share * elapsed)
    on = count > 0 if is_button else elapsed > 0 and stood >= elapsed
    since = 0 if on else 1 if count > 0 or stood > 0 else min((was.since or 0) + elapsed, LARGEST_WORD)
    return DetectorValue(
        occupied_now=on,
        count=(was.count or 0) + round(count) & LARGEST_WORD,
        occupied=(was.occupied or 0) + stood & LARGEST_WORD,
        since=max(since, int(not on)),
    )


def _later(state: IntersectionState, by: Tenths) -> IntersectionState:
    """Let time pass that does not count: every instant moves along with it."""

    def moved(instant: Tenths) -> Tenths:
        return instant if instant in (NEVER, FOREVER) else instant + by

    def all_moved(instants: tuple[Tenths, ...]) -> tuple[Tenths, ...]:
        return tuple(map(moved, instants))

    return state._replace(
        now=state.now + by,
        arrived=moved(state.arrived),
        left=moved(state.left),
        arrives=moved(state.arrives),
        began=all_moved(state.began),
        ended=all_moved(state.ended),
        called=all_moved(state.called),
        ped_called=all_moved(state.ped_called),
        walked=all_moved(state.walked),
        oldest=moved(state.oldest),
    )
