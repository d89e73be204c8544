"""`phasewise import`: a SUMO network becomes intersection.toml files."""

from dataclasses import replace
from pathlib import Path

from rich.table import Table

from envs.scenario import nearest
from envs.sensing import AREAS
from envs.simulation import with_detectors
from envs.sumo_network import PRESETS, import_network, write_network
from intersection.errors import ConfigError, UnknownNameError
from intersection.sensed import LOOPS
from phasewise.console import err, out

DETECTORS = {"all": (*LOOPS, *AREAS), "loops": LOOPS, "area": AREAS}
"""By what a street has; push buttons are always there."""


def import_net(
    net: Path,
    folder: Path,
    *,
    preset: str,
    stages: str,
    additional: tuple[Path, ...],
    sensing_range: float,
    add_missing: bool,
    detectors: str = "all",
) -> None:
    """Import a network, write its signals, and explain every warning in a table.

    Raises:
        UserError: a file, preset or kind of stages is wrong; nothing is written then.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if detectors not in DETECTORS:
        raise UnknownNameError("kind of detectors", detectors, DETECTORS)
    if stages not in ("program", "maximal"):
        raise UnknownNameError("kind of stages", stages, ("program", "maximal"))
    for path, kind in ((net, "a .net.xml file"), *((path, "an additional file") for path in additional)):
        if not path.is_file():
            raise ConfigError("there is no such file" + nearest(path), source=str(path), allowed=f"{kind} that exists")
    network = import_network(
        net,
        additional_files=additional,
        timing=PRESETS[preset],
        stages="maximal" if stages == "maximal" else "program",
        sensing_range=sensing_range,
        add_missing=add_missing,
    )
    written = write_network(replace(network, signals=with_detectors(network, DETECTORS[detectors])), folder)
    if network.notes:
        table = Table("signal", "cause", "effect on stages", title="What was not taken over as it is")
        for note in network.notes:
            table.add_row(note.signal, note.cause, note.effect)
        out.print(table)
    for signal, reason in network.skipped.items():
        err.print(f"left out: {signal}: {reason}", style="yellow")
    out.print(f"{len(written)} signals written to {folder}; times are {preset}, not approved for a street")
