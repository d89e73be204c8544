"""The seam to SNMP: what may be asked of a cabinet, what may come back, and the twin in memory.

    SnmpTransport.get(instances) -> Values | Failure
    SnmpTransport.set(writes)    -> Accepted | Failure

A read that failed is never a value: an object that the cabinet does not have, or whose value cannot be, is a fault by its name, and a
message that did not come back is a `Failure`. Both are closed unions, to be matched to the end.

The pysnmp implementation is `field_adapters.snmp_manager`; an agent to speak to is `field_adapters.simulated.snmp_agent`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Protocol, TypeAlias

from field_adapters._errors import CredentialsError
from field_adapters.ntcip_objects import FORCE_OFF, Instance, Oid, Syntax, Write

# ---------------------------------------------------------------------------------------------------------------------------------
# Values on the wire


class Counter(int):
    """A Counter32: 0 to 2**32 - 1, then 0 again."""


class Gauge(int):
    """A Gauge32 or Unsigned32."""


class Ticks(int):
    """A TimeTicks: hundredths of a second."""


WireValue: TypeAlias = int | bytes | Oid
"""INTEGER, OCTET STRING or OBJECT IDENTIFIER; `Counter`, `Gauge` and `Ticks` are whole numbers with a type of their own."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value of a type that no object of ours has."""

    type_name: str


class Status(IntEnum):
    """The error-status of a response (RFC 3416, section 3; the first five are all that v1 knows)."""

    NO_ERROR = 0
    TOO_BIG = 1
    NO_SUCH_NAME = 2
    BAD_VALUE = 3
    READ_ONLY = 4
    GEN_ERR = 5
    NO_ACCESS = 6
    WRONG_TYPE = 7
    WRONG_LENGTH = 8
    WRONG_ENCODING = 9
    WRONG_VALUE = 10
    NO_CREATION = 11
    INCONSISTENT_VALUE = 12
    RESOURCE_UNAVAILABLE = 13
    COMMIT_FAILED = 14
    UNDO_FAILED = 15
    AUTHORIZATION_ERROR = 16
    NOT_WRITABLE = 17
    INCONSISTENT_NAME = 18


# ---------------------------------------------------------------------------------------------------------------------------------
# What comes back


@dataclass(frozen=True, slots=True)
class NoSuchObject:
    """The cabinet does not have this object, or not this row of it."""


@dataclass(frozen=True, slots=True)
class WrongType:
    """The cabinet answered with a value of another type."""

    got: str


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The cabinet answered with a value that the object cannot have."""

    value: int | bytes
    allowed: str


ObjectFault: TypeAlias = NoSuchObject | WrongType | OutOfRange
"""Why one object of an answer has no value."""


@dataclass(frozen=True, slots=True)
class Values:
    """An answer to a read. Each instance asked for is in exactly one of the three."""

    integers: Mapping[Instance, int]
    """Whole numbers within the range of their object; counters and ticks are among them."""

    octets: Mapping[Instance, bytes]
    """Octet strings no longer than their object allows."""

    faults: Mapping[Instance, ObjectFault]
    """What has no value, and why."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cabinet acknowledged all writes of a message. Whether they have an effect is for a read to say."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing came back before the deadline."""

    waited: float
    """In seconds."""

    sent: int
    """How many times the message was sent; 0 where the deadline had passed, or the link was busy until then."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The network, or the host, says that nobody is there; or the link is closed."""

    reason: str


@dataclass(frozen=True, slots=True)
class AuthFailure:
    """The cabinet does not accept our credentials, or cannot prove that it is itself. v1 and v2c stay silent instead."""

    reason: str


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """The cabinet understood and refused. A refused write changed nothing: a message is carried out whole or not at all."""

    status: Status
    index: int
    """Which part of the message it refused, from 1; 0 where it does not say."""

    instance: Instance | None
    """The same by name; None where it does not say."""


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """An answer to something else than was asked."""

    reason: str


Failure: TypeAlias = Timeout | Unreachable | AuthFailure | ErrorStatus | BadAnswer
"""Why a whole message came to nothing."""

ReadResult: TypeAlias = Values | Failure
WriteResult: TypeAlias = Accepted | Failure


def judged(instance: Instance, received: WireValue | Foreign | None) -> int | bytes | ObjectFault:
    """Take a received value for what its object allows it to be, or say why it is none.

    Args:
        instance: what was asked for.
        received: what came back; None where the cabinet has no such object.
    """
    known = instance.object
    if received is None:
        return NoSuchObject()
    if not isinstance(received, int | bytes) or _SYNTAXES.get(type(received)) is not known.syntax:
        return WrongType(_type_name(received))
    if isinstance(received, bytes):
        return received if known.lowest <= len(received) <= known.highest else OutOfRange(received, known.allowed)
    number = int(received)
    exists = known.lowest <= number <= known.highest if known.codes is None else any(number == code for code in known.codes)
    return number if exists else OutOfRange(number, known.allowed)


_SYNTAXES: Mapping[type, Syntax] = MappingProxyType(
    {int: Syntax.INTEGER, bytes: Syntax.OCTETS, Counter: Syntax.COUNTER, Ticks: Syntax.TICKS}
)


def _type_name(value: WireValue | Foreign) -> str:
    if isinstance(value, Foreign):
        return value.type_name
    syntax = _SYNTAXES.get(type(value))
    if syntax is not None:
        return syntax.value
    return "Gauge32" if isinstance(value, Gauge) else "OBJECT IDENTIFIER"


def sorted_out(received: Mapping[Instance, WireValue | Foreign | None]) -> Values:
    """Judge every part of an answer."""
    integers: dict[Instance, int] = {}
    octets: dict[Instance, bytes] = {}
    faults: dict[Instance, ObjectFault] = {}
    for instance, value in received.items():
        match judged(instance, value):
            case int(number):
                integers[instance] = number
            case bytes(text):
                octets[instance] = text
            case fault:
                faults[instance] = fault
    return Values(integers, octets, faults)


# ---------------------------------------------------------------------------------------------------------------------------------
# Who asks


class Version(Enum):
    """The versions of SNMP that prove nothing and hide nothing."""

    V1 = "v1"
    V2C = "v2c"


@dataclass(frozen=True, kw_only=True, slots=True)
class Community:
    """The word of v1 and v2c, readable by anyone on the way.

    Raises:
        CredentialsError: `insecure` is not given, or the word is empty.
    """

    name: str = field(repr=False)
    version: Version
    insecure: bool = False
    """Says that someone has decided to do without authentication and privacy, on an isolated network."""

    def __post_init__(self) -> None:
        if not self.insecure:
            raise CredentialsError(
                f"SNMP {self.version.value} has neither authentication nor privacy",
                key="insecure",
                value=self.insecure,
                allowed="true, for a cabinet on an isolated network that speaks nothing better",
            )
        if not self.name:
            raise CredentialsError("a community has a name", key="community", allowed="at least one character")


class AuthProtocol(Enum):
    """How a v3 message is authenticated: HMAC with SHA-2 (RFC 7860). MD5 and SHA-1 are not offered."""

    SHA256 = "SHA-256"
    SHA384 = "SHA-384"
    SHA512 = "SHA-512"


class PrivProtocol(Enum):
    """How a v3 message is encrypted: AES (RFC 3826; 256 bits by the Blumenthal draft, as net-snmp has it). DES is not offered."""

    AES128 = "AES-128"
    AES256 = "AES-256"


@dataclass(frozen=True, kw_only=True, slots=True)
class UsmUser:
    """A user of v3, always with authentication and privacy (authPriv).

    Raises:
        CredentialsError: a name that no user has, or a pass phrase of fewer than 8 octets (RFC 3414, section 11.2).
    """

    name: str
    auth_passphrase: str = field(repr=False)
    priv_passphrase: str = field(repr=False)
    auth: AuthProtocol = AuthProtocol.SHA256
    priv: PrivProtocol = PrivProtocol.AES128

    engine_id: bytes | None = None
    """Of the cabinet's agent, where it is known: any other that answers at the address is then refused."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name.encode()) <= 32:
            raise CredentialsError("a user's name cannot be this long", key="user", value=self.name, allowed="1 to 32 octets")
        for key, passphrase in (("auth_passphrase", self.auth_passphrase), ("priv_passphrase", self.priv_passphrase)):
            if len(passphrase.encode()) < 8:
                raise CredentialsError(f"{key} is too short", allowed="8 octets or more")
        if self.engine_id is not None and not 5 <= len(self.engine_id) <= 32:
            raise CredentialsError(
                "an engine id cannot be this long", key="engine_id", value=self.engine_id.hex(), allowed="5 to 32 octets"
            )


Credentials: TypeAlias = Community | UsmUser


# ---------------------------------------------------------------------------------------------------------------------------------
# The seam


class SnmpTransport(Protocol):
    """A link to one cabinet. Messages go out one at a time, in the order in which they were asked for.

    `deadline` is an instant of the event loop's clock (`loop.time()`), in seconds. Whatever is tried again is tried within it, and
    the answer is there when it passes. Being cancelled leaves nothing behind.
    """

    async def get(self, instances: Sequence[Instance], deadline: float) -> ReadResult:
        """Read instances.

        Raises:
            ValueError: nothing was asked for.
        """
        ...

    async def set(self, writes: Sequence[Write], deadline: float) -> WriteResult:
        """Write in one message, which the cabinet carries out whole or not at all. A force-off is never sent twice.

        Raises:
            ValueError: nothing to write, or two values for one instance.
        """
        ...

    def close(self) -> None:
        """Let go of the link; twice is once. What is asked afterwards is `Unreachable`."""
        ...


def checked_writes(writes: Sequence[Write]) -> None:
    """Refuse a message that says nothing, or two things at once.

    Raises:
        ValueError: nothing to write, or two values for one instance.
    """
    if not writes:
        raise ValueError("a message of no writes")
    instances = [write.instance for write in writes]
    if len(set(instances)) < len(instances):
        raise ValueError(f"two values for one object: {', '.join(map(str, writes))}")


def may_repeat(writes: Sequence[Write]) -> bool:
    """Tell whether a message that was not answered may be sent again: a force-off that comes late cuts the next green."""
    return not any(write.instance.object is FORCE_OFF and write.value for write in writes)


# ---------------------------------------------------------------------------------------------------------------------------------
# The other side


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a store does not take a message."""

    index: int
    """Which write it refuses, from 1."""

    status: Status


class ObjectStore(Protocol):
    """What an agent stands on: the objects of one device."""

    def read(self, oid: Oid) -> WireValue | None:
        """Return the value of an instance, or None where there is none."""
        ...

    def next(self, oid: Oid) -> Oid | None:
        """Return the first instance after an OID, in their order, or None at the end."""
        ...

    def write(self, writes: Sequence[tuple[Oid, WireValue]]) -> Refusal | None:
        """Carry out all writes, or none and say which one cannot be."""
        ...


class InMemorySnmp:
    """The twin of a link: asks an `ObjectStore` without a wire.

    It does not imitate loss, delay, the limits of a message's size, or credentials. `broken` stages a failure.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._closed = False
        self.broken: Failure | None = None
        """While this stands, it is what every message comes to, and the store is not asked."""

    async def get(self, instances: Sequence[Instance], deadline: float) -> ReadResult:
        """See `SnmpTransport`."""
        if not instances:
            raise ValueError("a read of nothing")
        return self._failure(deadline) or sorted_out({instance: self._store.read(instance.oid) for instance in instances})

    async def set(self, writes: Sequence[Write], deadline: float) -> WriteResult:
        """See `SnmpTransport`."""
        checked_writes(writes)
        if failure := self._failure(deadline):
            return failure
        refusal = self._store.write([(write.instance.oid, write.value) for write in writes])
        if refusal is None:
            return Accepted()
        return ErrorStatus(refusal.status, refusal.index, writes[refusal.index - 1].instance)

    def close(self) -> None:
        """See `SnmpTransport`."""
        self._closed = True

    def _failure(self, deadline: float) -> Failure | None:
        if self._closed:
            return Unreachable("the link is closed")
        if asyncio.get_running_loop().time() >= deadline:
            return Timeout(waited=0.0, sent=0)
        return self.broken
