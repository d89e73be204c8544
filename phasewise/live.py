"""`phasewise live`: a simulated cabinet on a real intersection, and the daemon that controls it over the wire, both to watch.

SUMO and the cabinet are in this process, in real time; the daemon is a process of its own, as on a box beside a cabinet, and so is its
policy. After a while the policy is stopped, so that one sees the plan take over, and the policy come back.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

from rich.console import Group
from rich.live import Live
from rich.table import Table

from controller.control_socket import AskStatus
from controller.ticker import SystemClock
from envs.files import writable_folder, write_atomically
from envs.scenario import find
from envs.simulation import with_detectors
from envs.street import SumoStreets, account
from envs.sumo_network import PRESETS, Network, write_network
from envs.traffic import network_of
from intersection.config import load
from intersection.errors import PhasewiseError, RuntimeFault, UnknownNameError
from intersection.phase import Tenths
from intersection.sensed import LOOPS
from intersection.state import Interval
from models.bundle import digest
from phasewise.cabinet import USER, Protocol, Site, Standing
from phasewise.console import out
from phasewise.controlling import ask

SCENARIO = "resco:cologne1"
PRESET = "cabinet"
SHIPPED = "cologne1"
"""The bundle that is shipped for this scenario, with the key that signed it."""

RECOVERY: Tenths = 300
"""How long nothing may be wrong before each step up here, in tenths of a second: a street has five minutes."""

WATCHDOG: Tenths = 80

REFRESH = 0.5
"""Between two looks at the daemon, in seconds."""


@dataclass(kw_only=True)
class Seen:
    """What was seen of the whole run."""

    looks: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    changes: list[str] = field(default_factory=list)
    """Each change of mode, with the time since the start and the faults that stood."""

    mode: str = ""


def run_live(*, seconds: float, break_after: float, folder: Path, protocol: str, port: int = 0) -> dict[str, object]:
    """Let the shipped policy control Cologne's cabinet over the wire, and show both.

    Args:
        seconds: for how long, in real time.
        break_after: when the policy is stopped, in seconds; 0: never.
        folder: what gets the configuration, the journal and the summary.
        protocol: "ntcip" or "modbus".
        port: where the cabinet listens; 0: anywhere that is free.

    Returns:
        The summary, as it is written to `folder`.

    Raises:
        UserError: the folder cannot be written, or there is no such protocol.
        RuntimeFault: the daemon did not start or did not let go, or SUMO died.
    """
    if protocol not in {each.value for each in Protocol}:
        raise UnknownNameError("protocol", protocol, [each.value for each in Protocol])
    writable_folder(folder)
    summary = asyncio.run(_run(seconds, break_after, folder.resolve(), Protocol(protocol), port))
    write_atomically(folder / "summary.md", _words(summary).encode())
    return summary


async def _run(seconds: float, break_after: float, folder: Path, protocol: Protocol, port: int) -> dict[str, object]:
    scenario = find(SCENARIO)
    network = approved(network_of(scenario, PRESETS[PRESET]))
    [path] = write_network(network, folder)
    with TemporaryDirectory(prefix="phasewise-") as temporary:
        records = Path(temporary)
        site = Site(
            scenario=scenario,
            network=network,
            signals=(network.signals[0].id,),
            ports={protocol: port},
            watchdog=WATCHDOG,
            record=folder,
            seconds=seconds + 30.0,
        )
        with ExitStack() as simulations:
            standing = Standing(site, protocol, simulations, records, "libsumo")
            async with AsyncExitStack() as stack:
                await standing.listen(stack)
                settings = _settings(folder, path, records, _wire(protocol, standing.heard[0].port, path, records))
                daemon = stack.enter_context(_daemon(settings, folder))
                host = asyncio.create_task(standing.host.run(SystemClock(), until=standing.end))
                stack.callback(host.cancel)
                seen = await Show(standing, seconds, break_after).watch(daemon, records / "control.sock")
                await _stopped(daemon)
        found = account(standing.streets, records / protocol.value)
    trips, violations = found.trips, found.audit.violations
    return {
        "scenario": SCENARIO,
        "protocol": protocol.value,
        "seconds": round(seconds),
        "share_of_time": {mode: round(count / max(1, seen.looks), 3) for mode, count in seen.modes.most_common()},
        "changes": seen.changes,
        "illegal_displays": len(violations),
        "due": trips.due,
        "finished": trips.finished,
        "running": trips.running,
        "waiting_to_enter": trips.waiting_to_enter,
        "let_go": daemon.returncode == 0,
    }


def approved(network: Network) -> Network:
    """Leave each signal its loops, and approve the proposed times: for a simulated street, which endangers nobody, and for no other."""
    signals = with_detectors(network, LOOPS)
    return replace(network, signals=tuple(replace(each, config=replace(each.config, approved=True)) for each in signals))


def _settings(folder: Path, intersection: Path, temporary: Path, wire: str) -> Path:
    """Write the daemon's cabinet.toml beside the shipped bundle and the key that it is signed with."""
    shipped = files("models.pretrained")
    for name in (f"{SHIPPED}.bundle", "trusted.toml"):
        write_atomically(folder / name, (shipped / name).read_bytes())
    text = f"""# Written by `phasewise live` for a simulated cabinet on this machine.
version = 1
state_folder = "{temporary / "state"}"
[control]
socket = "{temporary / "control.sock"}"
[journal]
folder = "journal"
[[cabinet]]
name = "cologne"
intersection = "{intersection}"
approved = "{digest(load(intersection))}"
[cabinet.ladder]
clean_time = {RECOVERY}
[cabinet.policy]
bundle = "{SHIPPED}.bundle"
trusted = "trusted.toml"
[cabinet.adapter]
host = "127.0.0.1"
{wire}"""
    settings = folder / "cabinet.toml"
    write_atomically(settings, text.encode())
    return settings


def _wire(protocol: Protocol, port: int, intersection: Path, temporary: Path) -> str:
    """Write how the cabinet is spoken to, and the secrets that this takes."""
    if protocol is Protocol.MODBUS:
        return f'kind = "modbus"\nport = {port}\ninsecure = true\nidentity = {crc32(intersection.parent.name.encode())}\n'
    for name, word in (("auth", USER.auth_passphrase), ("priv", USER.priv_passphrase)):
        with os.fdopen(os.open(temporary / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{word}\n")
    return f"""kind = "ntcip"
port = {port}
[cabinet.adapter.user]
name = "{USER.name}"
auth_passphrase_file = "{temporary / "auth"}"
priv_passphrase_file = "{temporary / "priv"}"
"""


class _daemon:  # noqa: N801  # a context manager that reads as a word
    """The daemon's process, which does not outlive the block."""

    def __init__(self, settings: Path, folder: Path) -> None:
        self._log = (folder / "daemon.log").open("w")
        self._process = subprocess.Popen([sys.executable, "-m", "controller", str(settings)], stdout=self._log, stderr=self._log)

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10.0)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()


async def _stopped(daemon: "subprocess.Popen[bytes]") -> None:
    """Let the daemon let go of the cabinet, and end."""
    daemon.terminate()
    with suppress(subprocess.TimeoutExpired):
        await asyncio.get_running_loop().run_in_executor(None, daemon.wait, 15.0)


class Show:
    """Shows a cabinet and its daemon, and stops the policy once."""

    def __init__(self, standing: Standing, seconds: float, break_after: float) -> None:
        self._standing, self._seconds, self._break_after = standing, seconds, break_after
        self._seen = Seen()
        self._broken = False
        self._terminal = sys.stdout.isatty()

    async def watch(self, daemon: "subprocess.Popen[bytes]", socket: Path) -> Seen:
        """Show both until the time is over. Raises RuntimeFault where the daemon ends before."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        with Live(console=out, refresh_per_second=4, transient=True) if self._terminal else nullcontext() as live:
            while (since := loop.time() - began) < self._seconds:
                if daemon.poll() is not None:
                    raise RuntimeFault(f"the daemon ended with exit code {daemon.returncode}; daemon.log says why")
                if self._break_after and since >= self._break_after and not self._broken:
                    self._broken = _stop_policy(daemon.pid)
                    if self._broken:
                        self._tell(since, "the policy's process is stopped")
                status = await loop.run_in_executor(None, _status, socket)
                if status is not None:
                    self._note(status, since)
                if live is not None:
                    live.update(self._picture(status, since))
                await asyncio.sleep(REFRESH)
        return self._seen

    def _note(self, status: Mapping[str, Any], since: float) -> None:
        """Keep what the daemon said, and tell a change of mode."""
        seen, mode = self._seen, str(status["mode"])
        seen.looks += 1
        seen.modes[mode] += 1
        if mode != seen.mode:
            why = "; ".join(str(fault["what"]) for fault in status["faults"])
            self._tell(since, f"{seen.mode or 'start'} -> {mode}{'  (' + why + ')' if why else ''}")
            seen.mode = mode

    def _tell(self, since: float, what: str) -> None:
        self._seen.changes.append(f"{since:5.0f} s  {what}")
        if not self._terminal:
            out.print(self._seen.changes[-1], markup=False, soft_wrap=True)

    def _picture(self, status: Mapping[str, Any] | None, since: float) -> Group:
        """Draw both: what the daemon says, what the lamps show, and who stands before them."""
        street = next(iter(self._standing.streets))
        hours, rest = divmod(self._standing.host.now // 10, 3600)
        title = f"Cologne, {hours:02d}:{rest // 60:02d}:{rest % 60:02d}   ({since:.0f} of {self._seconds:.0f} s)"
        table = Table(title=title, show_header=False, min_width=76)
        table.add_row("mode", f"[bold]{status['mode'] if status else 'starting'}[/bold]")
        if status is not None:
            table.add_row("stage", str(status["stage"] or f"going to {status['going_to']}"))
            table.add_row("last verdict", str(status["verdict"]))
            table.add_row("link", f"{1000 * status['round_trip']:.0f} ms" if status["round_trip"] else "")
            table.add_row("faults", "\n".join(str(fault["what"]) for fault in status["faults"]) or "none")
        shown = self._standing.host.stands[street.signal.id].cabinet.indications()
        names = {group.number: group.name for group in street.config.tables.groups}
        table.add_row("greens", "\n".join(names[number] for number, state in shown.items() if state.interval is Interval.GREEN))
        table.add_row("queues", "  ".join(f"{edge} {count}" for edge, count in _queues(self._standing.streets).items()))
        return Group(table, *self._seen.changes[-6:])


def _status(socket: Path) -> Mapping[str, Any] | None:
    """Ask the daemon how it stands; None while it does not answer."""
    try:
        [told] = ask(socket, AskStatus())
    except PhasewiseError:
        return None
    return told if isinstance(told, dict) else None


def _stop_policy(daemon: int) -> bool:
    """Let the policy's process stand still, as one that hangs; tell whether there was one."""
    children = [child for listed in Path(f"/proc/{daemon}/task").glob("*/children") for child in listed.read_text().split()]
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGSTOP)
    return bool(children)


def _queues(streets: SumoStreets) -> dict[str, int]:
    """Count who stands before the signal, by approach."""
    found: Counter[str] = Counter()
    lane = streets.session.api.lane
    for signal_ in streets.signals:
        for approach in {lanes[0] for lanes in signal_.lanes_of_link}:
            found[approach.rpartition("_")[0]] += lane.getLastStepHaltingNumber(approach)
    return dict(sorted(found.items()))


def tell(summary: Mapping[str, object]) -> None:
    """Say what was seen."""
    out.print(_words(summary), markup=False, soft_wrap=True)


def _words(summary: Mapping[str, object]) -> str:
    changes = summary["changes"]
    lines = ["# A cabinet on Cologne's street, controlled over the wire", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in summary.items() if key != "changes"]
    lines += ["", "What happened:", "", *(f"    {change}" for change in (changes if isinstance(changes, list) else []))]
    return "\n".join(lines) + "\n"
