"""What our manager and our agent share of pysnmp: an engine on a wire of our own, and our values in its types.

pysnmp's own carrier is left aside: it times in half seconds, hides what the network says about a dead peer, and lets whatever a garbled
datagram raises escape. `Wire` takes its place under the engine.
"""

import os
import time
from collections.abc import Callable
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias

from pyasn1.error import PyAsn1Error
from pysnmp.carrier.asyncio.dgram.udp import SNMP_UDP_DOMAIN, UdpTransportAddress
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.error import PySnmpError
from pysnmp.proto.api import v1, v2c

from field_adapters.ntcip_objects import Oid
from field_adapters.snmp import AuthProtocol, Counter, Foreign, Gauge, PrivProtocol, Ticks, UsmUser, WireValue

Engine: TypeAlias = SnmpEngine
Address: TypeAlias = tuple[str, int]

UDP: Oid = tuple(SNMP_UDP_DOMAIN)

TICK = 1.0
"""Seconds between two rounds of the engine's housekeeping."""

GARBLED = (PyAsn1Error, PySnmpError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What pysnmp and pyasn1 raise on datagrams that are not what they say they are."""

_AUTH = MappingProxyType(
    {
        AuthProtocol.SHA256: config.USM_AUTH_HMAC192_SHA256,
        AuthProtocol.SHA384: config.USM_AUTH_HMAC256_SHA384,
        AuthProtocol.SHA512: config.USM_AUTH_HMAC384_SHA512,
    }
)
_PRIV = MappingProxyType({PrivProtocol.AES128: config.USM_PRIV_CFB128_AES, PrivProtocol.AES256: config.USM_PRIV_CFB256_AES_BLUMENTHAL})


def random_engine_id() -> bytes:
    """Make an engine id that no other engine has (RFC 3411, SnmpEngineID, format 5, of pysnmp's enterprise)."""
    return bytes((0x80, 0x00, 0x4F, 0xB8, 0x05)) + os.urandom(12)


def new_engine(engine_id: bytes, *, boots: int = 1) -> Engine:
    """Make an engine that keeps nothing on disk.

    Args:
        engine_id: its identity.
        boots: how often it has started; a peer that knows a higher number takes it for a replay.
    """
    engine = SnmpEngine()
    identity, counted = engine.get_mib_builder().import_symbols("__SNMP-FRAMEWORK-MIB", "snmpEngineID", "snmpEngineBoots")
    identity.syntax = identity.syntax.clone(engine_id)
    counted.syntax = counted.syntax.clone(boots)
    engine.snmpEngineID = identity.syntax
    return engine


def add_community(engine: Engine, name: str, alias: str) -> None:
    """Let an engine know a community under a name of its own."""
    config.add_v1_system(engine, alias, name)


def add_user(engine: Engine, user: UsmUser) -> None:
    """Let an engine know a user of v3."""
    config.add_v3_user(
        engine,
        user.name,
        _AUTH[user.auth],
        user.auth_passphrase,
        _PRIV[user.priv],
        user.priv_passphrase,
        securityEngineId=None if user.engine_id is None else v2c.OctetString(user.engine_id),
    )


def remove_user(engine: Engine, user: UsmUser) -> None:
    """Let an engine forget a user, with the keys that it made for each peer."""
    config.delete_v3_user(engine, user.name, None if user.engine_id is None else v2c.OctetString(user.engine_id))


class Wire:
    """What an engine takes for its transport dispatcher: it hands datagrams over and counts time by being told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._senders: dict[Oid, Callable[[bytes, Address], None]] = {}
        self._ticks = 0
        self._receive: Callable[..., None]
        self._timer: Callable[[float], None]
        engine.register_transport_dispatcher(self)

    def attach(self, domain: Oid, send: Callable[[bytes, Address], None]) -> None:
        """Send what is meant for a domain by this function."""
        self._senders[domain] = send

    def detach(self, domain: Oid) -> None:
        """Forget a domain."""
        self._senders.pop(domain, None)

    def deliver(self, domain: Oid, address: Address, datagram: bytes) -> bool:
        """Hand a datagram to the engine; tell whether it could be read."""
        try:
            self._receive(self, domain, UdpTransportAddress(address), datagram)
        except GARBLED:
            return False
        return True

    def tick(self) -> None:
        """Let the engine forget what is old; to be called every `TICK` seconds."""
        self._ticks += 1
        self._timer(time.time())

    def close(self) -> None:
        """Part with the engine."""
        self._senders.clear()
        if self._engine.transport_dispatcher is not None:
            self._engine.unregister_transport_dispatcher()

    def register_recv_callback(self, callback: Callable[..., None], _name: object = None) -> None:
        """Take the engine's ear."""
        self._receive = callback

    def register_timer_callback(self, callback: Callable[[float], None]) -> None:
        """Take the engine's housekeeping."""
        self._timer = callback

    def unregister_recv_callback(self, _name: object = None) -> None:
        """Answer the engine, which lets go of us."""

    def unregister_timer_callback(self) -> None:
        """Answer the engine, which lets go of us."""

    def get_timer_resolution(self) -> float:
        """Return the seconds between two ticks."""
        return TICK

    def get_timer_ticks(self) -> int:
        """Return the ticks so far."""
        return self._ticks

    def send_message(self, message: bytes, domain: Oid, address: Address) -> None:
        """Send what the engine has written; nothing where its way is closed."""
        send = self._senders.get(tuple(domain))
        if send is not None:
            send(bytes(message), address)


# ---------------------------------------------------------------------------------------------------------------------------------
# Values

_READERS: MappingProxyType[Any, Callable[[Any], WireValue]] = MappingProxyType(
    {
        v2c.Integer32.tagSet: int,
        v2c.OctetString.tagSet: bytes,
        v2c.ObjectIdentifier.tagSet: tuple,
        v2c.Counter32.tagSet: lambda value: Counter(int(value)),
        v2c.Gauge32.tagSet: lambda value: Gauge(int(value)),
        v2c.TimeTicks.tagSet: lambda value: Ticks(int(value)),
    }
)

_ABSENT = (v2c.NoSuchObject.tagSet, v2c.NoSuchInstance.tagSet, v2c.EndOfMibView.tagSet)

_TYPE_NAMES = MappingProxyType({v2c.Null.tagSet: "NULL", v2c.IpAddress.tagSet: "IpAddress", v2c.Counter64.tagSet: "Counter64"})


def read_value(value: Any) -> WireValue | Foreign | None:  # noqa: ANN401  pysnmp's types are untyped
    """Read a value of pysnmp; None where it stands for an object that does not exist."""
    if value.tagSet in _ABSENT:
        return None
    reader = _READERS.get(value.tagSet)
    return reader(value) if reader is not None else Foreign(_TYPE_NAMES.get(value.tagSet, "unknown type"))


_V1_TYPES = MappingProxyType(
    {int: v1.Integer, bytes: v1.OctetString, tuple: v1.ObjectIdentifier, Counter: v1.Counter, Gauge: v1.Gauge, Ticks: v1.TimeTicks}
)
_V2_TYPES = MappingProxyType(
    {
        int: v2c.Integer32,
        bytes: v2c.OctetString,
        tuple: v2c.ObjectIdentifier,
        Counter: v2c.Counter32,
        Gauge: v2c.Gauge32,
        Ticks: v2c.TimeTicks,
    }
)


def written_value(value: WireValue, module: ModuleType) -> Any:  # noqa: ANN401
    """Write a value in the types of a version of the protocol, `v1` or `v2c`."""
    return (_V1_TYPES if module is v1 else _V2_TYPES)[type(value)](value)
