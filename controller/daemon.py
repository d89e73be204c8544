"""The daemon: the loops of one or many cabinets in one process, with their journals, their operators' socket and their health.

Each cabinet has a task, a ticker and a journal of its own, so that none waits for another. What they share is the process, the SNMP engine
and the clock. It begins to tick before anything answers, and ends by letting go of every cabinet and reading its zeros back.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from controller import state_file
from controller.adapters import adapter_of
from controller.control_socket import ControlSocket
from controller.detectors import Watch
from controller.events import Fault, FaultBegan
from controller.fixed_time import Follower, Plans
from controller.health import Freshness, Health, serve
from controller.journal import Folder, Journal
from controller.loop import CabinetLoop, Parts
from controller.mode import initial
from controller.policy_process import PolicyProcess
from controller.policy_source import PolicySource
from controller.service import Heartbeat, Notifier, Wish, heeding, locked, watchdog_interval
from controller.settings import CabinetSettings, Changes, Refused, Settings, load, reload
from controller.state_file import StateFile
from controller.ticker import TENTH, Clock, SystemClock, Ticker, TickerSettings
from controller.watchdog import Bounds
from field_adapters.snmp_manager import SnmpManager
from intersection.errors import ConfigError, UserError

ANSWER = 0.09
"""How much of the time between two polls a message to the cabinet may take, in seconds for each tenth of a second."""

_LOG = logging.getLogger(__name__)


@dataclass
class _Running:
    """One cabinet while it runs."""

    settings: CabinetSettings
    loop: CabinetLoop
    journal: Journal
    record: StateFile
    policy: PolicySource | None
    refused: str = field(default="")
    """Why the last new settings were not taken over."""

    def others(self) -> dict[Fault, str]:
        """Tell what is wrong with the daemon's own house."""
        found: dict[Fault, str] = {}
        if self.journal.failing is not None:
            found[Fault.JOURNAL_FULL] = self.journal.failing.cause
        elif self.record.failing:
            found[Fault.JOURNAL_FULL] = f"the record of the mode: {self.record.failing}"
        if self.refused:
            found[Fault.SETTINGS_REFUSED] = self.refused
        return found


class Daemon:
    """See `controller.control_socket.Daemon`."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, wall: Callable[[], float] = time.time) -> None:
        """Prepare.

        Args:
            settings: a whole cabinet.toml.
            clock: the clock that never steps; the computer's by default.
            wall: the clock on the wall, in seconds since 1970 UTC.
        """
        self.settings, self._clock, self._wall = settings, clock or SystemClock(), wall
        self._running: dict[str, _Running] = {}
        self._stop = asyncio.Event()

    @property
    def cabinets(self) -> Mapping[str, CabinetLoop]:
        """The loops, by the names of their cabinets."""
        return {name: running.loop for name, running in self._running.items()}

    def stop(self) -> None:
        """Ask it to let go of every cabinet, and to end."""
        self._stop.set()

    async def run(self) -> bool:
        """Run until it is asked to stop; tell whether the zeros of every cabinet were read back.

        Raises:
            AlreadyRunningError: another daemon has one of the cabinets.
            UserError: a folder cannot be made, a host cannot be found.
            SocketError: a socket or port cannot be had.
        """
        names = [cabinet.name for cabinet in self.settings.cabinets]
        freshness = Freshness(names)
        notifier = Notifier(os.environ.get("NOTIFY_SOCKET", ""))
        heartbeat = Heartbeat(notifier, freshness, watchdog_interval(os.environ, os.getpid()))
        async with AsyncExitStack() as stack:
            stack.callback(notifier.close)
            stack.enter_context(locked(self.settings.state_folder, names))
            snmp = await stack.enter_async_context(SnmpManager())
            for cabinet in self.settings.cabinets:
                self._running[cabinet.name] = await self._prepared(cabinet, snmp, stack)
            meters = {name: running.loop.meters for name, running in self._running.items()}
            if self.settings.health_port is not None:
                await stack.enter_async_context(serve(Health(meters, freshness, self._clock.now), self.settings.health_port))
            control = self.settings.control
            await stack.enter_async_context(ControlSocket(self, control.socket, mode=control.mode, group=control.group))
            stack.enter_context(heeding(lambda wish: self._heed(wish, notifier)))
            notifier.ready(f"{len(names)} cabinets")
            tasks = [asyncio.create_task(self._tick(name, running, heartbeat), name=name) for name, running in self._running.items()]
            stopping = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            notifier.stopping()
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            zeroed = await asyncio.gather(*(running.loop.stop() for running in self._running.values()))
            for task in done - {stopping}:
                task.result()  # a loop never ends by itself: whatever ended it is told, after every cabinet was let go of
        return all(zeroed)

    async def reload(self) -> str:
        """See `controller.control_socket.Daemon`."""
        try:
            fresh = await asyncio.get_running_loop().run_in_executor(None, load, self.settings.source)
        except ConfigError as error:
            self._refuse(str(error).splitlines()[0])
            raise
        match reload(self.settings, fresh):
            case Refused(reason):
                self._refuse(reason)
                raise UserError(reason)
            case Changes(changed):
                return await self._take_over(fresh, changed)
            case never:
                assert_never(never)

    # ---------------------------------------------------------------------------------------------------------------------------
    async def _prepared(self, cabinet: CabinetSettings, snmp: SnmpManager, stack: AsyncExitStack) -> _Running:
        """Make one cabinet's loop with all that it stands on; what it leaves behind is closed with the stack."""
        now = self._clock.now() // TENTH
        epoch = round(self._wall() * 10) - now
        journal = stack.enter_context(Journal(_folder(self.settings.journal.folder / cabinet.name), self.settings.journal.limits))
        path = self.settings.state_folder / f"{cabinet.name}.json"
        record = stack.enter_context(StateFile(path, epoch=epoch))
        found = state_file.read(path, epoch=epoch)
        adapter = await adapter_of(cabinet, snmp, now)
        policy = _policy(cabinet)
        if policy is not None:
            stack.callback(policy.close)
        running: list[_Running] = []
        parts = Parts(
            name=cabinet.name,
            config=cabinet.config,
            adapter=adapter,
            policy=policy,
            plan=Follower(Plans(cabinet.config, cabinet.fixed_time)) if cabinet.config.patterns else None,
            watch=_watch(cabinet),
            others=lambda: running[0].others() if running else {},
            ladder=cabinet.ladder,
            bounds=Bounds(stale=2 * cabinet.decision_period + 10),
            period=cabinet.decision_period,
            epoch=-epoch,
            answer_within=ANSWER * cabinet.poll_period,
            think_within=min(0.06, cabinet.policy.deadline / 10) if cabinet.policy is not None else 0.06,
        )
        state = initial(now) if found is None or isinstance(found, ConfigError) else found
        loop = CabinetLoop(parts, state, now=now, wall=self._wall, append=journal.append, save=record.save)
        if isinstance(found, ConfigError):
            _LOG.error("%s", found)
            loop.tell(FaultBegan(Fault.STATE_LOST, str(found)))
        running.append(_Running(cabinet, loop, journal, record, policy))
        return running[0]

    async def _tick(self, name: str, running: _Running, heartbeat: Heartbeat) -> None:
        """Run one cabinet's ticks for ever."""
        settings = TickerSettings(period=running.settings.poll_period)
        async for beat in Ticker(self._clock, settings):
            await running.loop.tick(beat, self._clock.now() // TENTH)
            running.loop.meters.journal_waiting, running.loop.meters.journal_lost = running.journal.waiting, running.journal.lost
            heartbeat.ticked(name, self._clock.now())

    def _heed(self, wish: Wish, notifier: Notifier) -> None:
        match wish:
            case Wish.STOP:
                self.stop()
            case Wish.RELOAD:
                notifier.reloading(self._clock.now())
                task = asyncio.get_running_loop().create_task(self._reloaded(notifier))
                task.add_done_callback(lambda _: None)
            case _:
                assert_never(wish)

    async def _reloaded(self, notifier: Notifier) -> None:
        try:
            _LOG.info("%s", await self.reload())
        except UserError as error:
            _LOG.error("new settings were refused: %s", error)
        notifier.ready()

    def _refuse(self, reason: str) -> None:
        for running in self._running.values():
            running.refused = reason

    async def _take_over(self, fresh: Settings, changed: Mapping[str, frozenset[str]]) -> str:
        """Let every cabinet go on by its new settings."""
        self._refuse("")
        self.settings = fresh
        said = []
        for cabinet in fresh.cabinets:
            keys = changed.get(cabinet.name, frozenset())
            running = self._running[cabinet.name]
            running.settings = cabinet
            running.loop.take_over(
                ladder=cabinet.ladder,
                watch=_watch(cabinet),
                plan=Follower(Plans(cabinet.config, cabinet.fixed_time)) if cabinet.config.patterns else None,
            )
            if isinstance(running.policy, PolicyProcess) and cabinet.policy is not None:
                against = await running.policy.replace(cabinet.policy.bundle)
                if against is not None:
                    running.refused = f"the new bundle: {against}"
                    said.append(f"{cabinet.name}: {running.refused}")
            said.append(f"{cabinet.name}: {', '.join(sorted(keys)) or 'the bundle read anew'}")
        return "; ".join(said)


def _folder(path: Path) -> Folder:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep a journal in {path}: {error.strerror or error}") from error
    return Folder(path)


def _policy(cabinet: CabinetSettings) -> PolicySource | None:
    own = cabinet.policy
    if own is None:
        return None
    process = PolicyProcess(cabinet.config_path, own.bundle, own.trusted, stages=len(cabinet.config.stages), period=cabinet.decision_period)
    process.start()
    return process


def _watch(cabinet: CabinetSettings) -> Watch:
    config = cabinet.config
    return Watch(detectors=config.detectors, groups=config.tables.index, limits=cabinet.detectors)
