"""Names the objects of NTCIP 1202 that we read and the few that we write, and says which writes exist.

Derived from NTCIP 1202 v02 and v03. Copyright by AASHTO / ITE / NEMA. Used by permission.

Meanings are in our own words. OIDs are given below asc (1.3.6.1.4.1.1206.4.2.1): a scalar ends in `.0`, a column in its row, and a table
of two indices in both. Phases are numbered 1 to 16 and reported eight to a byte: group 1 holds 1 to 8, group 2 holds 9 to 16, the
lowest number in the lowest bit.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass
from enum import Enum, IntEnum
from functools import partial
from types import MappingProxyType
from typing import TypeAlias, final

from field_adapters._errors import ForbiddenWriteError

Oid: TypeAlias = tuple[int, ...]
"""An object identifier, such as (1, 3, 6, 1, 2, 1, 1, 3, 0)."""

ASC: Oid = (1, 3, 6, 1, 4, 1, 1206, 4, 2, 1)
"""The branch of actuated signal controllers."""

PHASES = 16
"""Phases that a cabinet of NTCIP 1202 has at most, as we speak it."""

GROUPS = 2
"""Groups of eight phases."""


# ---------------------------------------------------------------------------------------------------------------------------------
# What an object is


class Access(Enum):
    """What the standard lets a manager do with an object. What we do is less: see `Write`."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"


class Syntax(Enum):
    """How a value is encoded on the wire."""

    INTEGER = "INTEGER"
    OCTETS = "OCTET STRING"
    COUNTER = "Counter32"
    TICKS = "TimeTicks"


class Unit(Enum):
    """What one step of a value is."""

    SECOND = "s"
    TENTH = "0.1 s"
    HUNDREDTH = "0.01 s"
    MINUTE = "min"
    HALF_PERCENT = "0.5 %"
    VEHICLE = "vehicles"
    BITS = "bit mask"
    NUMBER = "number"
    CODE = "code"
    TEXT = "text"


class IndexKind(Enum):
    """What the rows of a table are."""

    SCALAR = "nothing"
    PHASE = "phase"
    PHASE_GROUP = "group of eight phases"
    DETECTOR = "detector"
    DETECTOR_GROUP = "group of eight detectors"
    PATTERN = "pattern"
    SPLIT_AND_PHASE = "split and phase"
    SEQUENCE_AND_RING = "sequence and ring"
    RING = "ring"
    PREEMPT = "preemption"
    CHANNEL = "channel"
    OVERLAP = "overlap"
    OUTPUT = "special function"
    GROUP = "group of eight"


_BYTE = (1, 255)
_BOUNDS: Mapping[IndexKind, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        IndexKind.SCALAR: (),
        IndexKind.PHASE: ((1, PHASES),),
        IndexKind.PHASE_GROUP: ((1, GROUPS),),
        IndexKind.DETECTOR: (_BYTE,),
        IndexKind.DETECTOR_GROUP: ((1, 32),),
        IndexKind.PATTERN: ((1, 253),),
        IndexKind.SPLIT_AND_PHASE: (_BYTE, (1, PHASES)),
        IndexKind.SEQUENCE_AND_RING: (_BYTE, (1, 16)),
        IndexKind.RING: ((1, 16),),
        IndexKind.PREEMPT: (_BYTE,),
        IndexKind.CHANNEL: (_BYTE,),
        IndexKind.OVERLAP: (_BYTE,),
        IndexKind.OUTPUT: (_BYTE,),
        IndexKind.GROUP: ((1, 32),),
    }
)
"""The lowest and highest number of each index."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class NtcipObject:
    """One object of the standard: a scalar, or a column of a table. There is one of each, below; a copy equals nothing."""

    name: str
    """As the standard spells it."""

    oid: Oid
    """Without the instance."""

    meaning: str
    """In our words."""

    index: IndexKind = IndexKind.SCALAR
    access: Access = Access.READ_ONLY
    syntax: Syntax = Syntax.INTEGER

    lowest: int = 0
    """The lowest value; of octets, the shortest length."""

    highest: int = 255
    """The highest value; of octets, the greatest length."""

    unit: Unit = Unit.NUMBER
    codes: type[IntEnum] | None = None
    """The only values that exist, where they are an enumeration."""

    instances: tuple[int, ...] = (0,)
    """Of a scalar: the last numbers of its OID. The standard has 0; some firmware answers elsewhere (see the profiles)."""

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.codes is not None:
            return ", ".join(str(code.value) for code in self.codes)
        return f"{self.lowest} to {self.highest}" + (" octets" if self.syntax is Syntax.OCTETS else "")

    def at(self, *rows: int) -> "Instance":
        """Name one instance: the row or rows of a column, nothing for a scalar.

        Raises:
            ValueError: the object has no such row.
        """
        return Instance(self, rows or self.instances[:1])

    def groups(self) -> tuple["Instance", ...]:
        """Name the instances of all phase groups, lowest first."""
        return tuple(self.at(group) for group in range(1, GROUPS + 1))

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, repr=False)
class Instance:
    """One value that a cabinet holds: an object and its row."""

    object: NtcipObject
    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        kind = self.object.index
        if kind is IndexKind.SCALAR:
            known = len(self.rows) == 1 and self.rows[0] in self.object.instances
        else:
            bounds = _BOUNDS[kind]
            known = len(self.rows) == len(bounds) and all(low <= row <= high for row, (low, high) in zip(self.rows, bounds, strict=True))
        if not known:
            raise ValueError(f"{self.object.name} has no row {'.'.join(map(str, self.rows))}; it is indexed by {kind.value}")

    @property
    def oid(self) -> Oid:
        """The whole OID."""
        return self.object.oid + self.rows

    def __repr__(self) -> str:
        return ".".join((self.object.name, *map(str, self.rows)))


# ---------------------------------------------------------------------------------------------------------------------------------
# Codes


class ControlStatus(IntEnum):
    """unitControlStatus: who moves the cabinet. 9 and 10 are of v03."""

    OTHER = 1
    SYSTEM_CONTROL = 2
    SYSTEM_STANDBY = 3
    BACKUP_MODE = 4
    MANUAL = 5
    TIMEBASE = 6
    INTERCONNECT = 7
    INTERCONNECT_BACKUP = 8
    REMOTE_MANUAL_CONTROL = 9
    LOCAL_MANUAL_CONTROL = 10


class FlashStatus(IntEnum):
    """unitFlashStatus: whether the cabinet flashes, and why."""

    OTHER = 1
    NOT_FLASH = 2
    AUTOMATIC = 3
    LOCAL_MANUAL = 4
    FAULT_MONITOR = 5
    MMU = 6
    STARTUP = 7
    PREEMPT = 8


class FreeStatus(IntEnum):
    """localFreeStatus: whether the cabinet runs free, and why."""

    OTHER = 1
    NOT_FREE = 2
    COMMAND_FREE = 3
    TRANSITION_FREE = 4
    INPUT_FREE = 5
    COORD_FREE = 6
    BAD_PLAN = 7
    BAD_CYCLE_TIME = 8
    SPLIT_OVERRUN = 9
    INVALID_OFFSET = 10
    FAILED = 11


class PreemptState(IntEnum):
    """preemptState: how far a preemption has come."""

    OTHER = 1
    NOT_ACTIVE = 2
    NOT_ACTIVE_WITH_CALL = 3
    ENTRY_STARTED = 4
    TRACK_SERVICE = 5
    DWELL = 6
    LINK_ACTIVE = 7
    EXIT_STARTED = 8
    MAX_PRESENCE = 9


class Startup(IntEnum):
    """phaseStartup: in which interval a phase begins when the cabinet starts."""

    OTHER = 1
    PHASE_NOT_ON = 2
    GREEN_WALK = 3
    GREEN_NO_WALK = 4
    YELLOW_CHANGE = 5
    RED_CLEAR = 6


class PedestrianClear(IntEnum):
    """unitAutoPedestrianClear: whether pedestrian clearance is timed under manual control."""

    DISABLE = 1
    ENABLE = 2


class CorrectionMode(IntEnum):
    """coordCorrectionMode: how the cabinet gets into step."""

    OTHER = 1
    DWELL = 2
    SHORTWAY = 3
    ADD_ONLY = 4


class MaximumMode(IntEnum):
    """coordMaximumMode: which maximum green counts within a pattern."""

    OTHER = 1
    MAXIMUM_1 = 2
    MAXIMUM_2 = 3
    MAX_INHIBIT = 4


class ForceMode(IntEnum):
    """coordForceMode: whether unused time of a split goes to the coordinated phase (floating) or to the next (fixed)."""

    OTHER = 1
    FLOATING = 2
    FIXED = 3


class SplitMode(IntEnum):
    """splitMode: what a split makes of its phase."""

    OTHER = 1
    NONE = 2
    MINIMUM_RECALL = 3
    MAXIMUM_RECALL = 4
    PEDESTRIAN_RECALL = 5
    MAXIMUM_AND_PEDESTRIAN_RECALL = 6
    OMITTED = 7


class ChannelType(IntEnum):
    """channelControlType: what drives a channel. 5 and 6 are of v03."""

    OTHER = 1
    PHASE_VEHICLE = 2
    PHASE_PEDESTRIAN = 3
    OVERLAP = 4
    PEDESTRIAN_OVERLAP = 5
    QUEUE_JUMP = 6


class OverlapType(IntEnum):
    """overlapType: how the parents of an overlap are read."""

    OTHER = 1
    NORMAL = 2
    MINUS_GREEN_YELLOW = 3


# ---------------------------------------------------------------------------------------------------------------------------------
# The table

_TABLE: dict[str, NtcipObject] = {}


def _known(entry: NtcipObject) -> NtcipObject:
    _TABLE[entry.name] = entry
    return entry


def _entry(
    access: Access,
    name: str,
    place: Oid,
    meaning: str,
    *,
    index: IndexKind = IndexKind.SCALAR,
    lowest: int = 0,
    highest: int = 255,
    unit: Unit = Unit.NUMBER,
    codes: type[IntEnum] | None = None,
    syntax: Syntax = Syntax.INTEGER,
    instances: tuple[int, ...] = (0,),
) -> NtcipObject:
    return _known(
        NtcipObject(
            name=name,
            oid=ASC + place,
            meaning=meaning,
            index=index,
            access=access,
            syntax=syntax,
            lowest=lowest if codes is None else min(codes),
            highest=highest if codes is None else max(codes),
            unit=unit,
            codes=codes,
            instances=instances,
        )
    )


_status = partial(_entry, Access.READ_ONLY)
_setting = partial(_entry, Access.READ_WRITE)

# Phases: asc.1
_P, _G = IndexKind.PHASE, IndexKind.PHASE_GROUP
MAX_PHASES = _status("maxPhases", (1, 1), "phases that this cabinet has")
PHASE_WALK = _setting("phaseWalk", (1, 2, 1, 2), "walk interval", index=_P, unit=Unit.SECOND)
PHASE_PEDESTRIAN_CLEAR = _setting("phasePedestrianClear", (1, 2, 1, 3), "pedestrian clearance", index=_P, unit=Unit.SECOND)
PHASE_MINIMUM_GREEN = _setting("phaseMinimumGreen", (1, 2, 1, 4), "shortest green", index=_P, unit=Unit.SECOND)
PHASE_PASSAGE = _setting("phasePassage", (1, 2, 1, 5), "green that one vehicle adds", index=_P, unit=Unit.TENTH)
PHASE_MAXIMUM_1 = _setting("phaseMaximum1", (1, 2, 1, 6), "longest green from a conflicting call on", index=_P, unit=Unit.SECOND)
PHASE_MAXIMUM_2 = _setting("phaseMaximum2", (1, 2, 1, 7), "longest green when the second maximum is chosen", index=_P, unit=Unit.SECOND)
PHASE_YELLOW_CHANGE = _setting("phaseYellowChange", (1, 2, 1, 8), "yellow after green", index=_P, unit=Unit.TENTH)
PHASE_RED_CLEAR = _setting("phaseRedClear", (1, 2, 1, 9), "red after yellow before a conflicting start", index=_P, unit=Unit.TENTH)
PHASE_RED_REVERT = _setting("phaseRedRevert", (1, 2, 1, 10), "shortest red before the same phase returns", index=_P, unit=Unit.TENTH)
PHASE_ADDED_INITIAL = _setting(
    "phaseAddedInitial", (1, 2, 1, 11), "initial green that each waiting vehicle adds", index=_P, unit=Unit.TENTH
)
PHASE_MAXIMUM_INITIAL = _setting("phaseMaximumInitial", (1, 2, 1, 12), "longest initial green", index=_P, unit=Unit.SECOND)
PHASE_STARTUP = _setting("phaseStartup", (1, 2, 1, 20), "interval in which the phase starts up", index=_P, unit=Unit.CODE, codes=Startup)
PHASE_OPTIONS = _setting(
    "phaseOptions", (1, 2, 1, 21), "bit 0 enabled, 6 minimum, 7 maximum, 8 pedestrian recall", index=_P, highest=65535, unit=Unit.BITS
)
PHASE_RING = _setting("phaseRing", (1, 2, 1, 22), "ring of the phase; 0 where it has none", index=_P)
PHASE_CONCURRENCY = _setting(
    "phaseConcurrency", (1, 2, 1, 23), "phases that may run with this one, an octet each", index=_P, syntax=Syntax.OCTETS
)
MAX_PHASE_GROUPS = _status("maxPhaseGroups", (1, 3), "bytes that the phases of this cabinet fill", lowest=1)

PHASE_REDS = _status("phaseStatusGroupReds", (1, 4, 1, 2), "phases that show red", index=_G, unit=Unit.BITS)
PHASE_YELLOWS = _status("phaseStatusGroupYellows", (1, 4, 1, 3), "phases that show yellow", index=_G, unit=Unit.BITS)
PHASE_GREENS = _status("phaseStatusGroupGreens", (1, 4, 1, 4), "phases that show green", index=_G, unit=Unit.BITS)
PHASE_DONT_WALKS = _status("phaseStatusGroupDontWalks", (1, 4, 1, 5), "phases that show don't walk", index=_G, unit=Unit.BITS)
PHASE_PED_CLEARS = _status("phaseStatusGroupPedClears", (1, 4, 1, 6), "phases in pedestrian clearance", index=_G, unit=Unit.BITS)
PHASE_WALKS = _status("phaseStatusGroupWalks", (1, 4, 1, 7), "phases that show walk", index=_G, unit=Unit.BITS)
PHASE_VEH_CALLS = _status("phaseStatusGroupVehCalls", (1, 4, 1, 8), "phases at which a vehicle calls", index=_G, unit=Unit.BITS)
PHASE_PED_CALLS = _status("phaseStatusGroupPedCalls", (1, 4, 1, 9), "phases at which a pedestrian calls", index=_G, unit=Unit.BITS)
PHASE_ONS = _status("phaseStatusGroupPhaseOns", (1, 4, 1, 10), "phases that are being served", index=_G, unit=Unit.BITS)
PHASE_NEXTS = _status(
    "phaseStatusGroupPhaseNexts", (1, 4, 1, 11), "phases committed to follow; may be none while a green runs", index=_G, unit=Unit.BITS
)

PHASE_OMIT = _setting("phaseControlGroupPhaseOmit", (1, 5, 1, 2), "phases not to be served", index=_G, unit=Unit.BITS)
PED_OMIT = _setting("phaseControlGroupPedOmit", (1, 5, 1, 3), "phases whose pedestrians are not to be served", index=_G, unit=Unit.BITS)
HOLD = _setting("phaseControlGroupHold", (1, 5, 1, 4), "phases to stay green, past gap and maximum", index=_G, unit=Unit.BITS)
FORCE_OFF = _setting(
    "phaseControlGroupForceOff",
    (1, 5, 1, 5),
    "phases to end once they may; the cabinet clears a bit when its green ends",
    index=_G,
    unit=Unit.BITS,
)
VEH_CALL = _setting("phaseControlGroupVehCall", (1, 5, 1, 6), "phases to be called as by a vehicle", index=_G, unit=Unit.BITS)
PED_CALL = _setting("phaseControlGroupPedCall", (1, 5, 1, 7), "phases to be called as by a pedestrian", index=_G, unit=Unit.BITS)

# Detectors: asc.2
_D, _DG = IndexKind.DETECTOR, IndexKind.DETECTOR_GROUP
MAX_VEHICLE_DETECTORS = _status("maxVehicleDetectors", (2, 1), "vehicle detectors that this cabinet has")
DETECTOR_OPTIONS = _setting("vehicleDetectorOptions", (2, 2, 1, 2), "bit 0 volume, 1 occupancy, 7 call", index=_D, unit=Unit.BITS)
DETECTOR_CALL_PHASE = _setting("vehicleDetectorCallPhase", (2, 2, 1, 4), "phase that the detector calls; 0 none", index=_D)
DETECTOR_SWITCH_PHASE = _setting("vehicleDetectorSwitchPhase", (2, 2, 1, 5), "phase that it calls instead while that is green", index=_D)
DETECTOR_DELAY = _setting(
    "vehicleDetectorDelay", (2, 2, 1, 6), "how long a vehicle stands before it calls", index=_D, highest=65535, unit=Unit.TENTH
)
DETECTOR_EXTEND = _setting("vehicleDetectorExtend", (2, 2, 1, 7), "how long a call outlasts the vehicle", index=_D, unit=Unit.TENTH)
DETECTOR_NO_ACTIVITY = _setting("vehicleDetectorNoActivity", (2, 2, 1, 9), "silence that is a failure", index=_D, unit=Unit.MINUTE)
DETECTOR_MAX_PRESENCE = _setting("vehicleDetectorMaxPresence", (2, 2, 1, 10), "presence that is a failure", index=_D, unit=Unit.MINUTE)
DETECTOR_FAIL_TIME = _setting(
    "vehicleDetectorFailTime", (2, 2, 1, 12), "green that a failed detector asks for; 255 is maximum recall", index=_D, unit=Unit.SECOND
)
DETECTOR_ALARMS = _status(
    "vehicleDetectorAlarms", (2, 2, 1, 13), "bit 0 no activity, 1 presence, 2 erratic, 3 communication, 4 configuration, 7 other",
    index=_D, unit=Unit.BITS,
)  # fmt: skip
MAX_DETECTOR_GROUPS = _status("maxVehicleDetectorStatusGroups", (2, 3), "bytes that the detectors of this cabinet fill")
DETECTORS_ACTIVE = _status("vehicleDetectorStatusGroupActive", (2, 4, 1, 2), "detectors with a vehicle on them", index=_DG, unit=Unit.BITS)
DETECTORS_ALARMED = _status("vehicleDetectorStatusGroupAlarms", (2, 4, 1, 3), "detectors with an alarm", index=_DG, unit=Unit.BITS)
VOLUME_OCCUPANCY_SEQUENCE = _status("volumeOccupancySequence", (2, 5, 1), "number of the report, one more each period, modulo 256")
VOLUME_OCCUPANCY_PERIOD = _setting("volumeOccupancyPeriod", (2, 5, 2), "time that a report covers", unit=Unit.SECOND)
ACTIVE_VOLUME_OCCUPANCY_DETECTORS = _status("activeVolumeOccupancyDetectors", (2, 5, 3), "detectors in a report")
DETECTOR_VOLUME = _status("detectorVolume", (2, 5, 4, 1, 1), "vehicles in the last period; 255 is an overflow", index=_D, unit=Unit.VEHICLE)
DETECTOR_OCCUPANCY = _status(
    "detectorOccupancy", (2, 5, 4, 1, 2), "share of the last period occupied; above 200 a fault code", index=_D, unit=Unit.HALF_PERCENT
)
MAX_PED_DETECTORS = _status("maxPedestrianDetectors", (2, 6), "pedestrian detectors that this cabinet has")
PED_DETECTOR_CALL_PHASE = _setting("pedestrianDetectorCallPhase", (2, 7, 1, 2), "phase whose walk it calls; 0 none", index=_D)
PED_DETECTOR_ALARMS = _status("pedestrianDetectorAlarms", (2, 7, 1, 6), "as vehicleDetectorAlarms", index=_D, unit=Unit.BITS)
PED_DETECTORS_ACTIVE = _status(
    "pedestrianDetectorStatusGroupActive", (2, 9, 1, 2), "push buttons that are pressed (v03)", index=_DG, unit=Unit.BITS
)

# The unit: asc.3
UNIT_STARTUP_FLASH = _setting("unitStartUpFlash", (3, 1), "flash after power comes back", unit=Unit.SECOND)
UNIT_AUTO_PED_CLEAR = _setting(
    "unitAutoPedestrianClear", (3, 2), "pedestrian clearance under manual control", unit=Unit.CODE, codes=PedestrianClear
)
UNIT_BACKUP_TIME = _setting(
    "unitBackupTime", (3, 3), "time without a request after which the cabinet goes back to its own plan; 0 never",
    highest=65535, unit=Unit.SECOND, instances=(0, 1),
)  # fmt: skip
UNIT_RED_REVERT = _setting("unitRedRevert", (3, 4), "shortest red before any phase returns", unit=Unit.TENTH)
UNIT_CONTROL_STATUS = _status("unitControlStatus", (3, 5), "who moves the cabinet", unit=Unit.CODE, codes=ControlStatus)
UNIT_FLASH_STATUS = _status("unitFlashStatus", (3, 6), "whether it flashes, and why", unit=Unit.CODE, codes=FlashStatus)
UNIT_ALARM_STATUS_2 = _status(
    "unitAlarmStatus2", (3, 7), "bit 0 power restart, 1 low battery, 2 response, 3 external start, 4 stop time, 5 offset", unit=Unit.BITS
)
UNIT_ALARM_STATUS_1 = _status(
    "unitAlarmStatus1", (3, 8), "bits 0 to 3 cycle and coordination, 4 MMU flash, 5 local flash, 6 free, 7 coordinated", unit=Unit.BITS
)
SHORT_ALARM_STATUS = _status(
    "shortAlarmStatus",
    (3, 9),
    "bit 0 preempt, 1 flash, 2 cycle zero, 3 override, 4 coordination, 5 detector, 6 and 7 alarms",
    unit=Unit.BITS,
)
UNIT_CONTROL = _setting("unitControl", (3, 10), "dimming, interconnect, walk rest, non-actuated, recall", unit=Unit.BITS)
SPECIAL_FUNCTION_STATE = _setting(
    "specialFunctionOutputState", (3, 14, 1, 2), "an output for signs and the like (deprecated)", index=IndexKind.OUTPUT, highest=1
)
SPECIAL_FUNCTION_CONTROL = _setting(
    "specialFunctionOutputControl", (3, 14, 1, 3), "an output for signs and the like", index=IndexKind.OUTPUT, highest=1
)
UNIT_USER_BACKUP_TIME = _setting(
    "unitUserDefinedBackupTime", (3, 19), "backup time of the objects that the agency lists (v03)", highest=65535, unit=Unit.SECOND
)

# Coordination: asc.4 and asc.5
_PATTERN, _SPLIT = IndexKind.PATTERN, IndexKind.SPLIT_AND_PHASE
COORD_OPERATIONAL_MODE = _setting("coordOperationalMode", (4, 1), "0 automatic, 1 to 253 pattern by hand, 254 free, 255 flash")
COORD_CORRECTION_MODE = _setting("coordCorrectionMode", (4, 2), "how it gets into step", unit=Unit.CODE, codes=CorrectionMode)
COORD_MAXIMUM_MODE = _setting("coordMaximumMode", (4, 3), "maximum green within a pattern", unit=Unit.CODE, codes=MaximumMode)
COORD_FORCE_MODE = _setting("coordForceMode", (4, 4), "who gets unused time", unit=Unit.CODE, codes=ForceMode)
MAX_PATTERNS = _status("maxPatterns", (4, 5), "patterns that this cabinet has", highest=253)
PATTERN_CYCLE_TIME = _setting("patternCycleTime", (4, 7, 1, 2), "cycle", index=_PATTERN, unit=Unit.SECOND)
PATTERN_OFFSET_TIME = _setting("patternOffsetTime", (4, 7, 1, 3), "offset", index=_PATTERN, unit=Unit.SECOND)
PATTERN_SPLIT_NUMBER = _setting("patternSplitNumber", (4, 7, 1, 4), "set of splits", index=_PATTERN)
PATTERN_SEQUENCE_NUMBER = _setting("patternSequenceNumber", (4, 7, 1, 5), "order of the phases", index=_PATTERN)
MAX_SPLITS = _status("maxSplits", (4, 8), "sets of splits that this cabinet has")
SPLIT_TIME = _setting("splitTime", (4, 9, 1, 3), "split, clearances included", index=_SPLIT, unit=Unit.SECOND)
SPLIT_MODE = _setting("splitMode", (4, 9, 1, 4), "recall or omission", index=_SPLIT, unit=Unit.CODE, codes=SplitMode)
SPLIT_COORD_PHASE = _setting("splitCoordPhase", (4, 9, 1, 5), "1 where the phase is coordinated", index=_SPLIT, highest=1)
COORD_PATTERN_STATUS = _status("coordPatternStatus", (4, 10), "pattern that runs; 254 free, 255 flash")
LOCAL_FREE_STATUS = _status("localFreeStatus", (4, 11), "whether it runs free, and why", unit=Unit.CODE, codes=FreeStatus)
COORD_CYCLE_STATUS = _status("coordCycleStatus", (4, 12), "place in the cycle", highest=65535, unit=Unit.SECOND)
COORD_SYNC_STATUS = _status("coordSyncStatus", (4, 13), "time since the system reference", highest=65535, unit=Unit.SECOND)
SYSTEM_PATTERN_CONTROL = _setting("systemPatternControl", (4, 14), "0 none asked for, 1 to 253 pattern, 254 free, 255 flash")
SYSTEM_SYNC_CONTROL = _setting(
    "systemSyncControl", (4, 15), "place in the cycle to take up; 255 by the cabinet's own time base", unit=Unit.SECOND
)
TIMEBASE_ACTION_STATUS = _status("timebaseAscActionStatus", (5, 4), "action that the cabinet's own schedule runs; 0 none")

# Preemption, rings, channels, overlaps: asc.6 to asc.9
_PREEMPT, _RING, _GROUP = IndexKind.PREEMPT, IndexKind.RING, IndexKind.GROUP
_CHANNEL, _OVERLAP = IndexKind.CHANNEL, IndexKind.OVERLAP
MAX_PREEMPTS = _status("maxPreempts", (6, 1), "preemptions that this cabinet has")
PREEMPT_STATE = _status("preemptState", (6, 2, 1, 16), "how far it has come", index=_PREEMPT, unit=Unit.CODE, codes=PreemptState)
PREEMPT_CONTROL_STATE = _setting("preemptControlState", (6, 3, 1, 2), "1 asks for a preemption", index=_PREEMPT, highest=1)
MAX_RINGS = _status("maxRings", (7, 1), "rings that this cabinet has")
MAX_SEQUENCES = _status("maxSequences", (7, 2), "orders of phases that this cabinet has")
SEQUENCE_DATA = _setting(
    "sequenceData", (7, 3, 1, 3), "phases of a ring in their order, an octet each", index=IndexKind.SEQUENCE_AND_RING, syntax=Syntax.OCTETS
)
RING_STOP_TIME = _setting("ringControlGroupStopTime", (7, 5, 1, 2), "rings whose timing is stopped", index=_GROUP, unit=Unit.BITS)
RING_OMIT_RED_CLEAR = _setting("ringControlGroupOmitRedClear", (7, 5, 1, 8), "rings that skip red clearance", index=_GROUP, unit=Unit.BITS)
RING_STATUS = _status(
    "ringStatus",
    (7, 6, 1, 1),
    "bits 0 to 2 interval (0 minimum green ... 6 red rest), 3 gap out, 4 max out, 5 force-off",
    index=_RING,
    unit=Unit.CODE,
)
MAX_CHANNELS = _status("maxChannels", (8, 1), "channels that this cabinet has")
CHANNEL_SOURCE = _setting("channelControlSource", (8, 2, 1, 2), "phase or overlap that drives it; 0 none", index=_CHANNEL)
CHANNEL_TYPE = _setting("channelControlType", (8, 2, 1, 3), "what drives it", index=_CHANNEL, unit=Unit.CODE, codes=ChannelType)
CHANNEL_REDS = _status("channelStatusGroupReds", (8, 4, 1, 2), "channels that show red", index=_GROUP, unit=Unit.BITS)
CHANNEL_YELLOWS = _status("channelStatusGroupYellows", (8, 4, 1, 3), "channels that show yellow", index=_GROUP, unit=Unit.BITS)
CHANNEL_GREENS = _status("channelStatusGroupGreens", (8, 4, 1, 4), "channels that show green", index=_GROUP, unit=Unit.BITS)
MAX_OVERLAPS = _status("maxOverlaps", (9, 1), "overlaps that this cabinet has")
OVERLAP_TYPE = _setting("overlapType", (9, 2, 1, 2), "how its parents are read", index=_OVERLAP, unit=Unit.CODE, codes=OverlapType)
OVERLAP_PARENTS = _setting(
    "overlapIncludedPhases", (9, 2, 1, 3), "phases in which it is green, an octet each", index=_OVERLAP, syntax=Syntax.OCTETS
)
OVERLAP_TRAIL_GREEN = _setting("overlapTrailGreen", (9, 2, 1, 5), "green after its parents'", index=_OVERLAP, unit=Unit.SECOND)
OVERLAP_TRAIL_YELLOW = _setting("overlapTrailYellow", (9, 2, 1, 6), "yellow after that", index=_OVERLAP, unit=Unit.TENTH)
OVERLAP_TRAIL_RED = _setting("overlapTrailRed", (9, 2, 1, 7), "red clearance after that", index=_OVERLAP, unit=Unit.TENTH)
OVERLAP_REDS = _status("overlapStatusGroupReds", (9, 4, 1, 2), "overlaps that show red", index=_GROUP, unit=Unit.BITS)
OVERLAP_YELLOWS = _status("overlapStatusGroupYellows", (9, 4, 1, 3), "overlaps that show yellow", index=_GROUP, unit=Unit.BITS)
OVERLAP_GREENS = _status("overlapStatusGroupGreens", (9, 4, 1, 4), "overlaps that show green", index=_GROUP, unit=Unit.BITS)

# Who the cabinet is and what time it has: RFC 3418 and NTCIP 1201
SYSTEM_DESCRIPTION = _known(
    NtcipObject(name="sysDescr", oid=(1, 3, 6, 1, 2, 1, 1, 1), meaning="maker, model and firmware", syntax=Syntax.OCTETS, unit=Unit.TEXT)
)
SYSTEM_UP_TIME = _known(
    NtcipObject(
        name="sysUpTime",
        oid=(1, 3, 6, 1, 2, 1, 1, 3),
        meaning="time since its agent started; falls when the cabinet reboots",
        syntax=Syntax.TICKS,
        highest=2**32 - 1,
        unit=Unit.HUNDREDTH,
    )
)
GLOBAL_TIME = _known(
    NtcipObject(
        name="globalTime",
        oid=(1, 3, 6, 1, 4, 1, 1206, 4, 2, 6, 3, 1),
        meaning="its clock, since the beginning of 1970 in UTC",
        access=Access.READ_WRITE,
        syntax=Syntax.COUNTER,
        highest=2**32 - 1,
        unit=Unit.SECOND,
    )
)

OBJECTS: Mapping[str, NtcipObject] = MappingProxyType(_TABLE)
"""Every object above, by the standard's name."""


# ---------------------------------------------------------------------------------------------------------------------------------
# What values mean


def phases_in(mask: int, group: int) -> frozenset[int]:
    """Read which phases a byte of a group names.

    Raises:
        ValueError: not a byte, or not a group.
    """
    if not 0 <= mask <= 255:
        raise ValueError(f"mask {mask}: a group is one byte, 0 to 255")
    if not 1 <= group <= GROUPS:
        raise ValueError(f"group {group}: the {PHASES} phases fill groups 1 to {GROUPS}")
    return frozenset(8 * (group - 1) + bit + 1 for bit in range(8) if mask >> bit & 1)


def masks_of(phases: Iterable[int]) -> tuple[int, ...]:
    """Write phases as one byte a group, lowest group first: all sixteen, so that none is lost.

    Raises:
        ValueError: a phase that does not exist.
    """
    masks = [0] * GROUPS
    for phase in phases:
        if not 1 <= phase <= PHASES:
            raise ValueError(f"phase {phase}: phases are numbered 1 to {PHASES}")
        masks[(phase - 1) // 8] |= 1 << (phase - 1) % 8
    return tuple(masks)


def phases_of(masks: Iterable[int]) -> frozenset[int]:
    """Read which phases the bytes of all groups name, lowest group first."""
    return frozenset().union(*(phases_in(mask, group) for group, mask in enumerate(masks, start=1)))


class DetectorFault(Enum):
    """What the cabinet says is wrong with a detector, in its occupancy code (210 to 217), or that it cannot be told."""

    MAX_PRESENCE = "occupied longer than its limit"
    NO_ACTIVITY = "silent longer than its limit"
    OPEN_LOOP = "loop is open"
    SHORTED_LOOP = "loop is shorted"
    EXCESSIVE_CHANGE = "inductance changed too much"
    WATCHDOG = "its unit's watchdog failed"
    ERRATIC = "erratic counts"
    OTHER = "fault without a known code"
    OVERFLOW = "more vehicles than can be counted"


_OCCUPANCY_FAULTS = MappingProxyType(
    {
        210: DetectorFault.MAX_PRESENCE,
        211: DetectorFault.NO_ACTIVITY,
        212: DetectorFault.OPEN_LOOP,
        213: DetectorFault.SHORTED_LOOP,
        214: DetectorFault.EXCESSIVE_CHANGE,
        216: DetectorFault.WATCHDOG,
        217: DetectorFault.ERRATIC,
    }
)


def occupancy(raw: int) -> float | DetectorFault:
    """Read a detectorOccupancy: a share from 0 to 1 in steps of half a percent, or, above 200, what is wrong.

    Raises:
        ValueError: not a byte.
    """
    if not 0 <= raw <= 255:
        raise ValueError(f"occupancy {raw}: one byte, 0 to 255")
    if raw <= 200:
        return raw / 200
    return _OCCUPANCY_FAULTS.get(raw, DetectorFault.OTHER)


def volume(raw: int) -> int | DetectorFault:
    """Read a detectorVolume: vehicles from 0 to 254, or that there were more.

    Raises:
        ValueError: not a byte.
    """
    if not 0 <= raw <= 255:
        raise ValueError(f"volume {raw}: one byte, 0 to 255")
    return DetectorFault.OVERFLOW if raw == 255 else raw


# ---------------------------------------------------------------------------------------------------------------------------------
# What may be written

CONTROL_BYTES = (PHASE_OMIT, PED_OMIT, HOLD, FORCE_OFF, VEH_CALL, PED_CALL)
"""The six requests by phase. The cabinet zeroes them all in backup mode."""

FREE = 254
"""The pattern number of free operation."""

FLASH = 255
"""The pattern number of flash."""

_WRITABLE = frozenset((*CONTROL_BYTES, SYSTEM_PATTERN_CONTROL, SYSTEM_SYNC_CONTROL))

_REASONS = MappingProxyType(
    {
        RING_STOP_TIME: "it stops the timing that keeps the street safe",
        RING_OMIT_RED_CLEAR: "it takes away red clearance",
        UNIT_BACKUP_TIME: "how long the cabinet waits for us is the agency's decision",
        UNIT_USER_BACKUP_TIME: "how long the cabinet waits for us is the agency's decision",
        PREEMPT_CONTROL_STATE: "preemption belongs to railways and emergency vehicles",
        SPECIAL_FUNCTION_STATE: "special functions drive what we do not know",
        SPECIAL_FUNCTION_CONTROL: "special functions drive what we do not know",
        COORD_OPERATIONAL_MODE: "it belongs to the technician at the cabinet",
        GLOBAL_TIME: "the cabinet's clock is the agency's",
    }
)


def _refusal(instance: Instance, value: int, *, flash: bool) -> str:
    """Say why a write must not exist, or "" where it may."""
    entry = instance.object
    if entry not in _WRITABLE:
        ours = "the cabinet's database is the agency's" if entry.access is Access.READ_WRITE else "it is read-only"
        return _REASONS.get(entry, ours)
    if type(value) is not int or not entry.lowest <= value <= entry.highest:
        return f"its values are whole numbers from {entry.allowed}"
    asks_for_flash = entry is SYSTEM_PATTERN_CONTROL and value == FLASH
    if asks_for_flash and not flash:
        return "pattern 255 is flash, which is asked for by its own word only"
    if flash and not asks_for_flash:
        return "this is not flash"
    return ""


@final
@dataclass(frozen=True, slots=True)
class Write:
    """One value that a cabinet may be sent. No other can be made: anything that is not on the list is refused where it is written down.

    Raises:
        ForbiddenWriteError: the object is not a request, or the value is not one of its values.
    """

    instance: Instance
    value: int
    _: KW_ONLY
    flash: bool = False
    """Says that flash is meant; needed for pattern 255, and refused with anything else."""

    def __post_init__(self) -> None:
        if reason := _refusal(self.instance, self.value, flash=self.flash):
            raise ForbiddenWriteError(f"{self.instance} = {self.value}", reason)

    def __init_subclass__(cls) -> None:
        """Refuse heirs: one could make what this class does not."""
        raise TypeError("Write has no subclasses")

    def __str__(self) -> str:
        return f"{self.instance} = {self.value}"


def requests(control: NtcipObject, phases: AbstractSet[int]) -> tuple[Write, ...]:
    """Write a request for exactly these phases: every group, so that those not named are cleared.

    Raises:
        ForbiddenWriteError: `control` is not one of the six.
        ValueError: a phase that does not exist.
    """
    if control not in CONTROL_BYTES:
        raise ForbiddenWriteError(control.name, "it is no request by phase")
    return tuple(Write(instance, mask) for instance, mask in zip(control.groups(), masks_of(phases), strict=True))


def released() -> tuple[Write, ...]:
    """Write what lets go of a cabinet: no request for any phase, and no pattern asked for."""
    bytes_of_control = (write for control in CONTROL_BYTES for write in requests(control, frozenset()))
    return (*bytes_of_control, Write(SYSTEM_PATTERN_CONTROL.at(), 0))
