"""A simulated cabinet on Modbus: keeps every promise that docs/modbus-map.md asks of a device.

`ModbusDevice` is a bank of registers over a `RequestedSignal`. It acknowledges, refuses with a code, counts its watchdog down on the clock
that it is given, and then runs its own plan.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from field_adapters.modbus_link import ExceptionCode
from field_adapters.modbus_map import DISPLAYS, CabinetFault, DetectorFault, DetectorValue, Program, Refusal, RegisterMap, is_newer
from field_adapters.modbus_profile import LARGEST_WORD, Block, Mode, Profile, Table, crc16
from field_adapters.simulated.requested import RequestedSignal
from intersection import machine
from intersection.config import IntersectionConfig
from intersection.phase import Tenths
from intersection.state import FREE, NO_STAGE, Display, Interval, PedInterval
from intersection.tables import bits


class ModbusDevice(RequestedSignal):
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
        self.map = RegisterMap(profile=profile, program=Program.of(config.tables, detectors=len(config.detectors), identity=identity))
        self._frozen: list[tuple[Block, tuple[int, ...]]] | None = None
        super().__init__(config, watchdog=watchdog, own_pattern=own_pattern, stage=stage, now=now)

    # --- what happens to it --------------------------------------------------------------------------------------------------------
    def _forget(self) -> None:
        self._acknowledged = self._refused = self._heartbeat = 0
        self._refusal: Refusal | None = None
        self._written = (0,) * self.map.profile.request.size

    def _freeze(self, *, on: bool) -> None:
        self._frozen = self._shown() if on else None

    def _change_identity(self, number: int) -> None:
        self.map = replace(self.map, program=replace(self.map.program, identity=number))

    def _write_as_another(self) -> None:
        request, stage = self.map.profile.request, self._next_stage()
        values = {
            "boot": self._boot,
            "sequence": self._acknowledged % LARGEST_WORD + 1,
            "mode": self.map.profile.request_modes[Mode.STAGE],
            "target": stage + 1,
            "groups": self.tables.green[stage],
            "hold": self.map.profile.limits.max_hold,
            "not_after": self._clock(),
            "heartbeat": 1 - self._heartbeat if request.table.is_bits else self._heartbeat % LARGEST_WORD + 1,
        }
        self.write(request.table, request.address, request.put(values))

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
        hindered = self.objection(Mode.STAGE, self.state.stage)
        if hindered in (Refusal.LOCAL, Refusal.FLASH):
            return hindered
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
            return self.objection(mode, values["target"])
        stage = self._stage(values)
        if stage is None:
            return Refusal.UNKNOWN_STAGE
        if values.get("clear", 0) & ~self.tables.green[stage]:
            return Refusal.CLEAR
        return self.objection(mode, stage)

    def _obey(self, values: dict[str, int]) -> None:
        """Carry an accepted request out. Only a new heartbeat winds the watchdog up."""
        mode = self._asked(values)
        fresh = values["heartbeat"] != self._heartbeat
        if mode is Mode.RELEASED or mode is None:
            self._let_go(Mode.RELEASED)
            return
        if fresh:
            self._heartbeat = values["heartbeat"]
            self.wind_up(values.get("hold", self.watchdog))
        elif self._until <= self.state.now:  # a map without sequences repeats itself, and what it repeats does not count
            return
        stage = self._stage(values)
        self.follow(mode, values["target"] if mode is Mode.PLAN or stage is None else stage)

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
                cells[start : start + layout.stride] = one.put(_of_detector(detector, counts="count" in layout.fields))
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


def _of_detector(detector: DetectorValue | DetectorFault, *, counts: bool) -> dict[str, int]:
    """Write down what a detector says. One that does not count shows a vehicle also where it has just passed: nobody would know of it."""
    match detector:
        case DetectorFault():
            return {"state": max(detector.value, 2)}
        case DetectorValue(occupied_now, count, occupied, since):
            return {
                "state": int(occupied_now or (not counts and since is not None and since <= 1)),
                "count": (count or 0) & LARGEST_WORD,
                "occupied": (occupied or 0) & LARGEST_WORD,
                "since": min(since or 0, LARGEST_WORD),
            }
        case _:
            assert_never(detector)
