"""The simulated NTCIP controller is understood by clients that nobody here wrote: net-snmp's snmpget, snmpwalk and snmpset."""

import asyncio
import os
import shutil
from collections.abc import Coroutine
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from field_adapters import ntcip_objects as asc
from field_adapters.ntcip_objects import Oid
from field_adapters.ntcip_program import Method
from field_adapters.simulated.ntcip_controller import NtcipController
from field_adapters.simulated.ntcip_store import NtcipStore
from field_adapters.simulated.snmp_agent import Right, SnmpAgent
from field_adapters.snmp import UsmUser
from tests.field_adapters.ntcip_script import crossroads, suitable

T = TypeVar("T")

MISSING = [tool for tool in ("snmpget", "snmpwalk", "snmpset") if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"net-snmp's {', '.join(MISSING)} missing (Debian: snmp)")

USER = UsmUser(name="supervisor", auth_passphrase="correct horse", priv_passphrase="battery staple")

V1 = ("-v1", "-c", "bench")
V2C = ("-v2c", "-c", "bench")
V3 = ("-v3", "-l", "authPriv", "-u", USER.name, "-a", "SHA-256", "-A", USER.auth_passphrase, "-x", "AES", "-X", USER.priv_passphrase)


class Bench:
    """A controller behind an agent, and net-snmp's tools to ask it."""

    def __init__(self) -> None:
        config = crossroads()
        self.controller = NtcipController(config, suitable(config, Method.STAGES))
        self.store = NtcipStore(self.controller)
        self.agent = SnmpAgent(self.store, communities={"bench": Right.WRITE}, users={USER: Right.WRITE})

    async def ask(self, tool: str, version: tuple[str, ...], *words: str) -> tuple[int, str]:
        """Run a tool; give its exit code and all that it says. Values come as bare numbers, or octets in hexadecimal."""
        host, port = self.agent.address
        command = (tool, *version, "-t", "2", "-r", "1", "-m", "", "-Onqetx", f"{host}:{port}", *words)
        with TemporaryDirectory() as folder:  # where the tools keep files of their own, and say so when they first make it
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, "SNMP_PERSISTENT_DIR": folder},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
        lines = [line for line in said.decode().splitlines() if not line.startswith("Created directory")]
        return process.returncode or 0, "\n".join(lines).strip()


def dotted(oid: Oid) -> str:
    """Write an OID as net-snmp does."""
    return "." + ".".join(map(str, oid))


def told(coroutine: Coroutine[Any, Any, T]) -> T:
    """Live through a story."""
    return asyncio.run(coroutine)


@pytest.mark.parametrize("version", [V1, V2C, V3], ids=["v1", "v2c", "v3"])
def test_snmpget_reads_what_it_shows(version: tuple[str, ...]) -> None:
    """The greens of both groups, and its age, in one message."""

    async def story() -> tuple[int, str]:
        bench = Bench()
        async with bench.agent:
            bench.controller.advance(100)
            oids = [dotted(instance.oid) for instance in (*asc.PHASE_GREENS.groups(), asc.SYSTEM_UP_TIME.at())]
            return await bench.ask("snmpget", version, *oids)

    code, said = told(story())

    assert (0, ["1", "0", "1000"]) == (code, [line.split(maxsplit=1)[1] for line in said.splitlines()])


@pytest.mark.parametrize("version", [V1, V3], ids=["v1", "v3"])
def test_snmpwalk_finds_every_object_in_order(version: tuple[str, ...]) -> None:
    """A walk of the branch of signal controllers ends, and names exactly the objects that are there."""

    async def story() -> tuple[list[str], list[str]]:
        bench = Bench()
        async with bench.agent:
            _, said = await bench.ask("snmpwalk", version, dotted(asc.ASC))
            walked = [line.split()[0] for line in said.splitlines() if line.startswith(dotted(asc.ASC))]
            there, oid = [], bench.store.next(asc.ASC)
            while oid is not None and oid[: len(asc.ASC)] == asc.ASC:
                there.append(dotted(oid))
                oid = bench.store.next(oid)
            return there, walked

    there, walked = told(story())

    assert there == walked


@pytest.mark.parametrize("version", [V1, V3], ids=["v1", "v3"])
def test_snmpset_moves_the_signal(version: tuple[str, ...]) -> None:
    """A call and a force-off in one message end the green at the instant at which they come in."""

    async def story() -> tuple[int, frozenset[int], frozenset[int]]:
        bench = Bench()
        async with bench.agent:
            bench.controller.advance(60)
            writes = [(asc.VEH_CALL.at(1), 2), (asc.PHASE_OMIT.at(1), 4), (asc.FORCE_OFF.at(1), 1)]
            code, _ = await bench.ask("snmpset", version, *(word for at, value in writes for word in (dotted(at.oid), "i", str(value))))
            ended = bench.controller.phases_green
            bench.controller.advance(100)
            return code, ended, bench.controller.phases_green

    assert (0, frozenset(), frozenset({2})) == told(story())


@pytest.mark.parametrize("version", [V1, V3], ids=["v1", "v3"])
def test_a_write_that_may_not_be_is_refused(version: tuple[str, ...]) -> None:
    """Its timing table cannot be written, and the tool says that it was refused."""

    async def story() -> tuple[int, str]:
        bench = Bench()
        async with bench.agent:
            return await bench.ask("snmpset", version, dotted(asc.PHASE_MINIMUM_GREEN.at(1).oid), "i", "1")

    code, said = told(story())

    assert code != 0
    assert "noSuchName" in said if version is V1 else "notWritable" in said


def test_a_wrong_pass_phrase_reads_nothing() -> None:
    """Whoever cannot prove who they are gets no value."""

    async def story() -> tuple[int, str]:
        bench = Bench()
        async with bench.agent:
            stranger = (*V3[:8], "wrong horse", *V3[9:])
            return await bench.ask("snmpget", stranger, dotted(asc.PHASE_GREENS.at(1).oid))

    code, said = told(story())

    assert code != 0
    assert dotted(asc.PHASE_GREENS.at(1).oid) not in said
