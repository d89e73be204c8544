import asyncio
import socket
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from controller.adapters import adapter_of
from controller.settings import Adapter, CabinetSettings, Modbus, Network, Ntcip, SerialPort, Tls, Virtual
from field_adapters import modbus_link
from field_adapters._base import Failed, Opened, Poll, Trouble
from field_adapters.modbus_link import Line
from field_adapters.modbus_profile import load_profile
from field_adapters.ntcip_program import Method
from field_adapters.simulated.modbus_device import ModbusDevice
from field_adapters.simulated.modbus_server import ModbusServer
from field_adapters.simulated.ntcip_controller import NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.snmp_agent import Right, SnmpAgent
from field_adapters.snmp import UsmUser
from field_adapters.snmp_manager import SnmpManager
from intersection.config import IntersectionConfig
from intersection.errors import ConfigError
from tests.field_adapters.ntcip_script import crossroads, dual_ring, suitable

USER = UsmUser(name="supervisor", auth_passphrase="correct horse", priv_passphrase="battery staple")
CONFIG = crossroads()
PATIENCE = 5.0

T = TypeVar("T")


def _cabinet(adapter: Adapter, config: IntersectionConfig = CONFIG) -> CabinetSettings:
    return CabinetSettings(name="main", config_path=Path("main.toml"), config=config, approved="", adapter=adapter)


def _run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


async def _opened(cabinet: CabinetSettings) -> Opened | Failed:
    """Make a cabinet's adapter, and look at whatever is there."""
    async with SnmpManager() as snmp:
        adapter = await adapter_of(cabinet, snmp, 0)
        opened = await adapter.open(0, asyncio.get_running_loop().time() + PATIENCE)
        adapter.close()
        return opened


def test_a_virtual_cabinet_lives_by_the_daemons_clock() -> None:
    """It stands on no street: its time is that of whoever reads it, from when it was made."""

    async def story() -> tuple[int, int]:
        async with SnmpManager() as snmp:
            adapter = await adapter_of(_cabinet(Virtual()), snmp, 700)
            deadline = asyncio.get_running_loop().time() + PATIENCE
            assert Opened(backup=50) == await adapter.open(700, deadline)
            first, second = [await adapter.read(now, deadline, detectors=True) for now in (701, 900)]
            assert isinstance(first, Poll)
            assert isinstance(second, Poll)
            return first.report.now, second.report.now

    assert (701, 900) == _run(story())


def test_an_ntcip_cabinet_is_reached_as_its_file_says() -> None:
    """Over SNMP, as that user, by that method."""
    store = NtcipStore(NtcipController(CONFIG, suitable(CONFIG, Method.STAGES)))

    async def story() -> Opened | Failed:
        async with SnmpAgent(store, users={USER: Right.WRITE}) as agent:
            host, port = agent.address
            return await _opened(_cabinet(Ntcip(host=host, port=port, credentials=USER)))

    opened = _run(story())

    assert isinstance(opened, Opened), opened
    assert {} == opened.conditions


def test_a_signal_that_no_ntcip_cabinet_can_run_is_refused_with_its_cause() -> None:
    """Pedestrians have no place in one ring of stages; that is the file's to mend, before anything is sent."""
    cabinet = _cabinet(Ntcip(host="127.0.0.1", credentials=USER, method=Method.STAGES), dual_ring())

    with pytest.raises(ConfigError, match=r"adapter\.method = 'stages'"):
        _run(_opened(cabinet))


@pytest.mark.parametrize(("identity", "trusted"), [(4_711, True), (4_712, False)])
def test_a_modbus_cabinet_is_reached_as_its_file_says_and_known_by_its_number(identity: int, trusted: bool) -> None:
    """Over TCP, with that map; one whose database has another number is another cabinet."""
    device = ModbusDevice(CONFIG, load_profile("phasewise_v1"), identity=4_711)

    async def story() -> Opened | Failed:
        server = ModbusServer(device)
        await server.listen()
        try:
            return await _opened(_cabinet(Modbus(link=Network(host="127.0.0.1", port=server.port, tls=None), identity=identity)))
        finally:
            await server.close()

    opened = _run(story())

    assert isinstance(opened, Opened), opened
    assert trusted is not bool(opened.conditions)


def test_a_serial_line_that_is_not_there_does_not_answer() -> None:
    """An adapter is made without it: a line that comes back is found by the next look."""
    opened = _run(_opened(_cabinet(Modbus(link=SerialPort(device=Path("/dev/no-such-line"), line=Line())))))

    assert isinstance(opened, Failed)
    assert Trouble.LINK_LOST is opened.trouble


def test_tls_uses_the_files_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context is made of them and of nothing else, and where nobody listens nothing is said."""
    files = Tls(authority=Path("ca.pem"), certificate=Path("box.pem"), key=Path("box.key"))
    asked: list[dict[str, Path]] = []

    def context(**named: Path) -> ssl.SSLContext:
        asked.append(named)
        return ssl.create_default_context()

    monkeypatch.setattr(modbus_link, "client_context", context)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        link = Network(host="127.0.0.1", port=nobody.getsockname()[1], tls=files)
        opened = _run(_opened(_cabinet(Modbus(link=link))))

    assert isinstance(opened, Failed)
    assert [{"authority": Path("ca.pem"), "certificate": Path("box.pem"), "key": Path("box.key")}] == asked
