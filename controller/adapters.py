"""Makes the adapter that a cabinet.toml asks for."""

from typing import assert_never

from controller.settings import CabinetSettings, Modbus, Ntcip, SerialPort, Virtual
from field_adapters import modbus_link
from field_adapters._base import FieldAdapter
from field_adapters.modbus import ModbusAdapter
from field_adapters.modbus_link import Budget, ModbusLink, PymodbusWire
from field_adapters.modbus_profile import load_profile
from field_adapters.ntcip import NtcipAdapter, NtcipOptions
from field_adapters.ntcip_program import Unsuitable, program_of
from field_adapters.profiles import ntcip as ntcip_profiles
from field_adapters.snmp_manager import SnmpManager
from field_adapters.virtual import VirtualAdapter, VirtualCabinet
from intersection.errors import ConfigError
from intersection.phase import Tenths

ATTEMPTS = 2
"""How often a message that is not answered is sent within its time."""


async def adapter_of(cabinet: CabinetSettings, snmp: SnmpManager, now: Tenths) -> FieldAdapter:
    """Make a cabinet's adapter. Nothing is sent yet.

    Args:
        cabinet: what is asked for.
        snmp: the engine that all links over SNMP share.
        now: the instant, by the daemon's clock, in tenths of a second.

    Raises:
        ConfigError: the configuration cannot stand in such a cabinet.
        LinkError: its host cannot be found.
    """
    match cabinet.adapter:
        case Ntcip() as own:
            program = program_of(cabinet.config, own.method)
            if isinstance(program, Unsuitable):
                raise ConfigError(program.cause, source=str(cabinet.config_path), key="adapter.method", value=own.method.value)
            profile = ntcip_profiles.load(own.profile)
            agent = await snmp.connect(
                own.host, own.port, own.credentials, attempts=ATTEMPTS, objects_per_message=profile.objects_per_message
            )
            options = NtcipOptions(
                program=program,
                profile=profile,
                settle=own.settle,
                freshness=cabinet.freshness,
                backup_limit=own.backup_limit,
                identity=cabinet.commissioned.identity,
                flash=cabinet.ladder.flash_enabled,
            )
            return NtcipAdapter(agent, cabinet.config, options)
        case Modbus() as own:
            link = ModbusLink(_wire(own), Budget(deadline=0.09 * cabinet.poll_period))
            return ModbusAdapter(link, cabinet.config, load_profile(own.profile), identity=own.identity)
        case Virtual():
            return VirtualAdapter(VirtualCabinet(cabinet.config, now=now), cabinet.config, alone=True)
        case _:
            assert_never(cabinet.adapter)


def _wire(own: Modbus) -> PymodbusWire:
    link = own.link
    if isinstance(link, SerialPort):
        return modbus_link.serial(link.device, link.line, device_id=own.device_id)
    if link.tls is None:
        return modbus_link.tcp(link.host, link.port, device_id=own.device_id)
    context = modbus_link.client_context(authority=link.tls.authority, certificate=link.tls.certificate, key=link.tls.key)
    return modbus_link.tls(link.host, link.port, context=context, device_id=own.device_id)
