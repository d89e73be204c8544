"""`phasewise watch`: the same minutes of a street under several policies, side by side, as a moving picture."""

import io
from collections.abc import Sequence
from functools import partial
from math import ceil, sqrt
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from envs.evaluation import Run, control
from envs.files import write_atomically
from envs.rendering import Renderer
from envs.simulation import TENTHS, Simulation
from intersection.errors import ConfigError, UnknownNameError
from phasewise import parallel
from phasewise.console import out
from phasewise.evaluating import runs_of, test_seeds

Frames: TypeAlias = list[bytes]
"""Pictures as PNG, one a simulated second."""

SIZE = 360
"""Width and height of each policy's picture, in pixels."""

TITLE = 26
"""The height of the line above it, in pixels."""

SHOWN_MS = 125
"""How long each picture stands: a street eight times as fast as the real one."""


def watch_policies(
    scenario: str, names: Sequence[str], *, seed: str, signal: str, start: float, seconds: float, observation: str, preset: str, out: Path
) -> None:
    """Film some policies on one seed and write a GIF.

    Args:
        scenario: a scenario's name or path.
        names: the policies; SUMO's own programs cannot be filmed.
        seed: one test seed.
        signal: the signal to look at; the first by default.
        start: where the film begins, in seconds after the scenario's begin.
        seconds: how long it lasts, in simulated seconds.
        observation: what the policies see.
        preset: where the phases' times come from.
        out: the file.

    Raises:
        UserError: something that was asked for does not exist or fit.
    """
    runs = runs_of(scenario, names, test_seeds(seed)[:1], observation=observation, preset=preset, emissions=False)
    film_runs(runs, out, signal=signal, start=start, seconds=seconds)


def film_runs(runs: Sequence[Run], file: Path, *, signal: str = "", start: float, seconds: float) -> None:
    """Film some runs over the same minutes, each in a process of its own, and write them side by side."""
    for run in runs:
        if run.make is None:
            raise ConfigError("SUMO's own programs cannot be filmed", key="policies", value=run.policy, allowed="policies of ours")
    films: dict[int, Frames] = dict(
        parallel.each(partial(film, signal=signal, start=start, seconds=seconds), runs, title="filming", workers=None)
    )
    columns = ceil(sqrt(len(runs)))
    rows = ceil(len(runs) / columns)
    font = ImageFont.load_default(15)
    pictures = []
    for at in range(len(films[0])):
        picture = Image.new("RGB", (columns * SIZE, rows * (SIZE + TITLE)), "white")
        draw = ImageDraw.Draw(picture)
        for place, run in enumerate(runs):
            left, top = place % columns * SIZE, place // columns * (SIZE + TITLE)
            draw.text((left + 6, top + 4), Path(run.policy).stem if run.policy.endswith(".zip") else run.policy, "black", font)
            picture.paste(Image.open(io.BytesIO(films[place][at])), (left, top + TITLE))
        pictures.append(picture.quantize(method=Image.Quantize.MAXCOVERAGE))  # lamps are few pixels, and what counts
    written = io.BytesIO()
    pictures[0].save(written, "GIF", save_all=True, append_images=pictures[1:], duration=SHOWN_MS, loop=0)
    write_atomically(file, written.getvalue())
    out.print(f"film: {file}", soft_wrap=True)


def film(run: Run, *, signal: str, start: float, seconds: float) -> Frames:
    """Run an episode up to the end of a film, and draw a signal once a second in it."""
    if run.make is None:
        raise ConfigError("SUMO's own programs cannot be filmed", key="policies", value=run.policy, allowed="policies of ours")
    frames: Frames = []
    with Simulation(run.scenario, run.network, sensors=run.sensors, whole_lane=run.whole_lane) as simulation:
        simulation.reset(run.seed, scale=run.scale)
        names = [each.id for each in simulation.signals_of]
        if signal and signal not in names:
            raise UnknownNameError("signal", signal, names)
        renderer = Renderer(run.scenario.net_file, simulation.signals_of[names.index(signal) if signal else 0])
        policies = [run.make(each.config) for each in simulation.signals_of]
        control(simulation, policies, until=min(simulation.begun + round(start * TENTHS), simulation.end))
        end = min(simulation.now + round(seconds * TENTHS), simulation.end)
        while simulation.now < end:
            control(simulation, policies, until=simulation.now + TENTHS, tick=TENTHS)
            written = io.BytesIO()
            Image.fromarray(renderer.draw(simulation)).resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(written, "PNG")
            frames.append(written.getvalue())
    return frames
