"""A cabinet with three stages over four groups, and what it says when all is well."""

from collections.abc import Mapping

from field_adapters.modbus_map import Cells, Program, Reading, RegisterMap, Status, decode_status
from field_adapters.modbus_profile import load_profile

PROGRAM = Program(stages=(0b0011, 0b0100, 0b1001), groups=4, pedestrians=0b0010, plans=frozenset({1, 7}), detectors=2, identity=0xABCD_1234)
OURS = RegisterMap(profile=load_profile("phasewise_v1"), program=PROGRAM)
COILS = RegisterMap(profile=load_profile("coil_groups"), program=PROGRAM)

WELL: Mapping[str, int] = {
    "boot": 4,
    "clock": 70_000,
    "acknowledged": 8,
    "refused": 0,
    "refusal": 0,
    "mode": 2,
    "watchdog": 40,
    "heartbeat": 5,
    "stage": 1,
    "target": 0,
    "plan": 0,
    "elapsed": 120,
    "display": 0,
    "faults": 0,
    "detectors": 2,
    "identity": 0xABCD_1234,
    "greens": 0b0011,
    "yellows": 0,
    "reds": 0b1100,
    "red_clears": 0b1000,
    "walks": 0b0010,
    "ped_clears": 0,
    "dont_walks": 0,
    "calls": 0b0100,
    "ped_calls": 0,
    "protected": 0b0001,
}
COILS_WELL: Mapping[str, int] = {
    "mode": 1,
    "display": 0,
    "greens": 0b0100,
    "yellows": 0b0001,
    "reds": 0b1010,
    "echo_mode": 1,
    "echo_heartbeat": 1,
    "echo_groups": 0b0100,
}


def read(to: RegisterMap = OURS, /, **changed: int) -> Reading:
    """Decode what a cabinet says when all is well, but for what is changed."""
    values = {**(WELL if to is OURS else COILS_WELL), **changed}
    return decode_status([Cells(block.put(values)) for block in to.profile.status], to)


def status(to: RegisterMap = OURS, /, **changed: int) -> Status:
    """Decode what must be a status."""
    reading = read(to, **changed)
    assert isinstance(reading, Status), reading
    return reading
