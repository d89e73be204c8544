"""Owns one simulation in SUMO, inside this process or beside it. No other file imports SUMO.

Two backends give the same traffic for the same seed:

    libsumo  SUMO as a library of this process: fast, one simulation a process.
    traci    SUMO as a process of its own behind a socket: slow, any number at once, and the only one that shows a window.

What repeats exactly: simulations that are the first of their process. A later one in the same process may differ (measured on cologne1 from
the third on: a vehicle leaves 0.01 m/s slower, and traffic takes another turn), whether it was loaded or restarted. Over TraCI every `load`
is a new process and repeats exactly, save with a window.

What SUMO 1.28 does with bad input, measured: libsumo raises, for a broken net, route or additional file, for an unknown edge or option, at
the start or when the trip is due in the middle of a run; it never ends the process, save for a display that sumo-gui cannot open. It then
counts as loaded until it is closed. Its words are in the exception, or on the standard error of the process, where they are caught. A disk
that fills up goes unsaid.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import IO, Any, Literal, Protocol, Self, TypeAlias
from xml.parsers import expat
from xml.sax import SAXException

from envs.errors import ScenarioError, SimulationError
from envs.scenario import Scenario
from intersection.errors import RuntimeFault, UnknownNameError, UserError

Backend = Literal["libsumo", "traci"]

Api: TypeAlias = Any
"""The libsumo module or a traci.connection.Connection; SUMO ships no types."""

Net: TypeAlias = Any
"""A sumolib.net.Net."""

PATIENCE = 60.0
"""How long a SUMO process may take to answer its first call, or to write its last output, in seconds."""

_SUBSCRIBED = {
    "edge": {"getLastStepVehicleNumber": 0x10},
    "lane": {
        "getLastStepVehicleNumber": 0x10,
        "getLastStepMeanSpeed": 0x11,
        "getLastStepVehicleIDs": 0x12,
        "getLastStepHaltingNumber": 0x14,
    },
}
"""What `getter` subscribes to, with its number in the TraCI protocol (traci.constants): all of an object's together, since a second
subscription to the same object would replace the first."""


def sumo_version() -> str:
    """Return SUMO's version, such as "1.28.0", without starting it."""
    return str(_package("libsumo").simulation.getVersion()[1]).removeprefix("SUMO ")


def has_display() -> bool:
    """Tell whether a window can be hoped to open."""
    return sys.platform == "win32" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display() -> None:
    """Check that there is a display. Raises UserError."""
    if not has_display():
        raise UserError("sumo-gui needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set; draw with render_mode='rgb_array'")


def libsumo_is_free() -> bool:
    """Tell whether this process has no libsumo simulation open; it runs one at a time."""
    return not _package("libsumo").isLoaded()


def read_net(path: Path, **options: bool) -> Net:
    """Read a network with its programs, its internal edges and the pedestrian connections among them.

    Args:
        path: a .net.xml file, plain or .gz.
        options: options of `sumolib.net.readNet`, where others are wanted.

    Raises:
        ScenarioError: the file is missing, broken, or no network.
    """
    read = _package("sumolib.net").readNet
    if not path.is_file():
        raise ScenarioError("there is no such file", source=str(path), allowed="a .net.xml file that exists")
    options = {"withPrograms": True, "withInternal": True, **options}
    options.setdefault("withPedestrianConnections", options["withInternal"])
    try:
        net = read(str(path), **options)
    except (SAXException, OSError, EOFError, zlib.error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ScenarioError(f"this network cannot be read ({error!r})", source=str(path), allowed="a whole .net.xml file") from error
    if not net.getEdges():
        raise ScenarioError("this file holds no edges", source=str(path), allowed="a .net.xml file") from None
    return net


def check_output(path: Path) -> None:
    """Check that SUMO finished an XML output. It says nothing when it cannot write, and leaves half a file.

    Raises:
        SimulationError: the file is missing or cut short.
    """
    try:
        with path.open("rb") as output:
            expat.ParserCreate().ParseFile(output)
    except (OSError, expat.ExpatError) as error:
        raise SimulationError(f"SUMO could not finish its output {path} ({error}); is the disk full?") from error


def _package(name: str) -> ModuleType:
    """Import a part of SUMO, only now that it is asked for."""
    try:
        with redirect_stdout(sys.stderr):  # SUMO greets on import, and standard output belongs to results
            return import_module(name)
    except ImportError as error:
        raise UserError(f"SUMO's Python package {name} cannot be imported ({error}); run: pip install 'phasewise[train]'") from error


def _plain(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _clean(words: str) -> str:
    """Keep what SUMO says about the fault, in one line."""
    noise = ("Quitting (on error)", "pj_obj_create")
    return " ".join(" ".join(line.split()).removeprefix("Error: ") for line in words.splitlines() if not line.startswith(noise)).strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """All that one simulation is started with."""

    scenario: Scenario
    seed: int
    scale: float = 1.0
    begin: float | None = None
    end: float | None = None
    route_files: Sequence[Path] | None = None
    additional_files: Sequence[Path] = ()
    tripinfo: Path | None = None
    statistics: Path | None = None
    extra_args: Sequence[str] = ()

    @property
    def options(self) -> tuple[str, ...]:
        scenario = self.scenario
        return (
            *("--begin", _plain(scenario.begin if self.begin is None else self.begin)),
            *("--end", _plain(scenario.end if self.end is None else self.end)),
            *("--step-length", _plain(scenario.step_length)),
            *("--scale", str(scenario.scale * self.scale)),
            *("--time-to-teleport", "-1"),
            *(token for name, value in scenario.options for token in (f"--{name}", value)),
            *self.extra_args,
        )

    @property
    def outputs(self) -> frozenset[Path]:
        return frozenset(output for output in (self.tripinfo, self.statistics) if output is not None)

    def arguments(self) -> list[str]:
        files = {
            "--net-file": (self.scenario.net_file,),
            "--route-files": self.scenario.route_files if self.route_files is None else self.route_files,
            "--additional-files": (*self.scenario.additional_files, *self.additional_files),
            "--tripinfo-output": (self.tripinfo,) if self.tripinfo else (),
            "--statistic-output": (self.statistics,) if self.statistics else (),
        }
        tokens = [token for name, paths in files.items() if paths for token in (name, ",".join(map(str, paths)))]
        if self.tripinfo:
            tokens += ["--tripinfo-output.write-unfinished", "--tripinfo-output.write-undeparted"]
        return [*tokens, *self.options, "--seed", str(self.seed), "--no-step-log", "--no-warnings"]


class SumoSession:
    """One simulation at a time, from its start to its end. It is a context manager; leaving it ends the simulation.

    `api` is the libsumo module or the TraCI connection, which bear the same names (`api.lane`, `api.trafficlight`, ...). Hot loops bind its
    functions once, after each `start` or `load`.
    """

    def __init__(self, driver: "_Driver", run: _Run) -> None:
        self._driver = driver
        self._run = run
        self._open = False
        self._translating = _Translating(self)

    @classmethod
    def start(
        cls,
        scenario: Scenario,
        *,
        seed: int,
        backend: Backend = "libsumo",
        gui: bool = False,
        scale: float = 1.0,
        begin: float | None = None,
        end: float | None = None,
        route_files: Sequence[Path] | None = None,
        additional_files: Sequence[Path] = (),
        tripinfo: Path | None = None,
        statistics: Path | None = None,
        extra_args: Sequence[str] = (),
    ) -> Self:
        """Start a simulation; it then stands at its begin, before its first step.

        Args:
            scenario: what to simulate.
            seed: SUMO's seed.
            backend: "libsumo" or "traci".
            gui: show sumo-gui's window; always over TraCI, because under libsumo a display that fails ends this process.
            scale: factor on the demand, times the scenario's own.
            begin: in seconds after midnight, where the scenario's is not wanted.
            end: in seconds after midnight, where the scenario's is not wanted.
            route_files: instead of the scenario's.
            additional_files: after the scenario's.
            tripinfo: where SUMO writes what happened to every trip, the unfinished and the undeparted too.
            statistics: where SUMO writes its summary: teleports, collisions, emergency brakings.
            extra_args: more options of SUMO.

        Raises:
            UserError: a package or the display is missing.
            UnknownNameError: there is no such backend.
            RuntimeFault: this process has a libsumo simulation already.
            SimulationError: SUMO refused; the message carries its own words.
        """
        run = _Run(
            scenario=scenario,
            seed=seed,
            scale=scale,
            begin=begin,
            end=end,
            route_files=route_files,
            additional_files=additional_files,
            tripinfo=tripinfo,
            statistics=statistics,
            extra_args=extra_args,
        )
        session = cls(_driver(backend, gui=gui), run)
        session._begin(session._driver.start)
        return session

    @property
    def api(self) -> Api:
        """Return the libsumo module or the TraCI connection."""
        return self._driver.api

    @property
    def version(self) -> str:
        """Return the version of the SUMO that runs, such as "1.28.0"."""
        return str(self.api.getVersion()[1]).removeprefix("SUMO ")

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options that decide what happens on the street, for a result to record beside the scenario's digest and the seed."""
        return self._run.options

    @property
    def now(self) -> float:
        """Return simulated time, in seconds after midnight."""
        with self.translating():
            return float(self.api.simulation.getTime())

    def step_to(self, until: float) -> None:
        """Simulate up to a time, in seconds after midnight; a time that has passed does nothing.

        Raises:
            SimulationError: SUMO failed or ended; the session is closed.
        """
        try:
            self.api.simulationStep(float(until))
        except self._driver.failures as error:
            raise self._failed(f"SUMO failed on the way to {_plain(until)} s", error) from error

    def translating(self) -> "_Translating":
        """Turn what any call of `api` inside the block raises into a SimulationError; a mere refusal leaves the session open."""
        return self._translating

    def load(self, *, seed: int, **changes: Any) -> None:
        """Begin again with another seed. Whatever was bound from `api` or made by `getter` before is void.

        Args:
            seed: SUMO's seed.
            changes: arguments of `start` that change; the others stay, and outputs of the same name are written anew.

        Raises:
            SimulationError: SUMO refused, and the session is closed; or it could not finish the outputs of the simulation before.
        """
        ended = self._run.outputs if self._open else frozenset()
        self._run = replace(self._run, seed=seed, **changes)
        self._begin(self._driver.load if self._open else self._driver.start)
        self._check(ended - self._run.outputs)

    def close(self) -> None:
        """End the simulation. Ending it again does nothing.

        Raises:
            SimulationError: SUMO could not finish the outputs that were asked for.
        """
        if self._open:
            try:
                self._driver.close()
            except self._driver.failures as error:
                raise self._failed("SUMO failed at its end", error) from error
            self._open = False
            self._check(self._run.outputs)

    def getter(self, domain: str, name: str) -> Callable[[str], Any]:
        """Give the fastest form of a function that reads one thing of one object, such as lane.getLastStepVehicleNumber."""
        return self._driver.getter(domain, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()

    def _begin(self, begin: Callable[[list[str]], None]) -> None:
        try:
            begin(self._run.arguments())
        except self._driver.failures as error:
            raise self._failed("SUMO did not start", error) from error
        except BaseException:
            self._abandon()
            raise
        self._open = True

    def _translate(self, error: BaseException) -> None:
        if isinstance(error, self._driver.refusals):
            raise SimulationError("SUMO refused a call", words=_clean(str(error))) from error
        if isinstance(error, self._driver.failures):
            raise self._failed("SUMO failed", error) from error

    def _failed(self, message: str, error: Exception) -> SimulationError:
        words = self._driver.words(error)
        self._abandon()
        return SimulationError(f"{self._run.scenario.name}: {message}", words=words)

    def _abandon(self) -> None:
        """End the simulation after a fault, whatever becomes of its outputs."""
        self._open = False
        self._driver.abandon()

    def _check(self, outputs: frozenset[Path]) -> None:
        for output in sorted(outputs):
            check_output(output)


class _Translating:
    """The block of `SumoSession.translating`; entered at every decision, so without a generator."""

    def __init__(self, session: SumoSession) -> None:
        self._session = session

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is not None:
            self._session._translate(error)  # noqa: SLF001  # it is the session's own


class _Driver(Protocol):
    """What a session asks of a backend."""

    api: Api

    failures: tuple[type[Exception], ...]
    """What its calls raise when SUMO fails, refusals among them."""

    refusals: tuple[type[Exception], ...]
    """What a call raises that SUMO cannot answer, while the simulation goes on."""

    def start(self, arguments: list[str]) -> None: ...

    def load(self, arguments: list[str]) -> None: ...

    def getter(self, domain: str, name: str) -> Callable[[str], Any]: ...

    def words(self, error: Exception) -> str:
        """Return what SUMO said before the error, or the error's own words."""
        ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """End the simulation, if there is one, without a word to or from SUMO."""
        ...


def _driver(backend: str, *, gui: bool) -> _Driver:
    if gui:
        check_display()
        return _Traci("sumo-gui")
    match backend:
        case "libsumo":
            return _Libsumo()
        case "traci":
            return _Traci("sumo")
        case _:
            raise UnknownNameError("backend", backend, ("libsumo", "traci"))


class _Libsumo:
    """SUMO inside this process."""

    def __init__(self) -> None:
        self.api: Api = _package("libsumo")
        self.failures: tuple[type[Exception], ...] = (self.api.TraCIException, self.api.FatalTraCIError)
        self.refusals: tuple[type[Exception], ...] = (self.api.TraCIException,)
        self._started = False
        self._said = ""

    def start(self, arguments: list[str]) -> None:
        if self.api.isLoaded():
            raise RuntimeFault("libsumo runs one simulation a process, and one is open; close it first, or use backend 'traci'")
        self._started = True
        with self._listening():
            self.api.start(["sumo", *arguments])

    def load(self, arguments: list[str]) -> None:
        with self._listening():
            self.api.load(arguments)

    def getter(self, domain: str, name: str) -> Callable[[str], Any]:
        # The generated C function, without the Python function around it, which costs as much again in the hottest loop of all.
        found: Callable[[str], Any] = getattr(_package("libsumo._libsumo"), f"{domain}_{name}", None) or getattr(
            getattr(self.api, domain), name
        )
        return found

    def words(self, error: Exception) -> str:
        return _clean(self._said) or _clean(str(error))

    def close(self) -> None:
        self._started = False
        self.api.close()

    def abandon(self) -> None:
        if self._started:
            self.close()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Catch what SUMO writes to the standard error of this process, below Python's own."""
        with tempfile.TemporaryFile() as said:
            sys.stderr.flush()
            kept = os.dup(2)
            os.dup2(said.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)
                said.seek(0)
                self._said = said.read().decode(errors="replace")


class _Traci:
    """SUMO as a process of its own, spoken to through a socket."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._traci = _package("traci.main")  # not `traci` itself, which LIBSUMO_AS_TRACI turns into libsumo
        connection = _package("traci.connection")
        self._hung_up: type[Exception] = connection.FatalTraCIError
        # libsumo puts its own TraCIException into traci's modules; which of them bears which depends on who was imported first.
        self.refusals: tuple[type[Exception], ...] = (connection.TraCIException, self._traci.TraCIException)
        self.failures: tuple[type[Exception], ...] = (
            *self.refusals,
            self._hung_up,
            OSError,
            struct.error,
            subprocess.TimeoutExpired,
        )
        self.api: Api = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self, arguments: list[str]) -> None:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        window = ("--start", "--quit-on-end") if self._program == "sumo-gui" else ()
        command = [_binary(self._program), *window, *arguments, "--remote-port", str(port)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process that writes it
        # In a session of its own: Ctrl-C is for us, and SUMO must not be gone before we have closed it.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.api = self._connect(port, self._process)
        self.api.getVersion()  # answered only when everything is loaded

    def load(self, arguments: list[str]) -> None:
        if self._program == "sumo-gui":
            self.api.load(arguments)
        else:
            self.close()
            self.start(arguments)

    def getter(self, domain: str, name: str) -> Callable[[str], Any]:
        """Read by subscription what is read of every lane and edge after each step: one round trip brings all of it."""
        objects = getattr(self.api, domain)
        plain: Callable[[str], Any] = getattr(objects, name)
        variables = _SUBSCRIBED.get(domain, {})
        if name not in variables:
            return plain
        number, numbers = variables[name], list(variables.values())
        results = objects.getAllSubscriptionResults()

        def read(object_: str) -> Any:  # noqa: ANN401  # as many types as SUMO has variables
            if object_ not in results:
                objects.subscribe(object_, numbers)
            return results[object_][number]

        return read

    def words(self, error: Exception) -> str:
        if self._process is None or self._log is None:
            return _clean(str(error))
        if not isinstance(error, self.refusals):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        code = self._process.poll()
        self._log.seek(0)
        said = _clean(self._log.read().decode(errors="replace")) or _clean(str(error))
        return said if code is None else f"{said} (its process ended with code {code})"

    def close(self) -> None:
        self.api.close(wait=False)
        if self._process is not None:
            self._process.wait(PATIENCE)
        self.abandon()

    def abandon(self) -> None:
        process, log, api = self._process, self._log, self.api
        self._process = self._log = None
        if process is not None:
            process.kill()
            process.wait()
        if log is not None:
            log.close()
        if api is not None and api._socket is not None:  # noqa: SLF001  # traci cannot hang up on a process that is gone
            api._socket.close()  # noqa: SLF001

    def _connect(self, port: int, process: subprocess.Popen[bytes]) -> Api:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                return self._traci.connect(port, numRetries=0, proc=process)
            except self._hung_up:  # it does not listen yet
                time.sleep(0.01)
        raise ConnectionError("its process does not answer")


def _binary(program: str) -> str:
    """Find SUMO's program in the package that libsumo is the twin of, never an older one that lies about."""
    home = getattr(_package("sumo"), "SUMO_HOME", "")
    found = shutil.which(program, path=os.path.join(home, "bin"))  # noqa: PTH118  # a search path is a string
    if found is None:
        raise UserError(f"there is no program {program} in the package eclipse-sumo ({home}); run: pip install 'phasewise[train]'")
    return found
