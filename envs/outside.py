"""SUMO's own programs, which bypass the gate: references from outside, their violations shown."""

from enum import Enum
from pathlib import Path
from xml.sax.saxutils import quoteattr

from envs.sumo_session import read_net

MIN_GREEN_S = 5.0
MAX_GREEN_S = 50.0


class Program(Enum):
    """Which of SUMO's own controllers runs."""

    AS_GIVEN = "program"
    """The network's program, as its author wrote it."""

    ACTUATED = "actuated"
    """The same phases, extended while vehicles follow closely (SUMO's `actuated`), greens of 5 to 50 s."""

    DELAY_BASED = "delay_based"
    """The same phases, extended while vehicles lose time (SUMO's `delay_based`), greens of 5 to 50 s."""


def programs_xml(net_file: Path, program: Program) -> str:
    """Write the additional file that makes SUMO run a program; empty where the network's own runs as it is."""
    lines = ["<additional>"]
    if program is not Program.AS_GIVEN:
        for light in read_net(net_file, withInternal=False).getTrafficLights():
            for given in list(light.getPrograms().values())[-1:]:
                lines.append(f'    <tlLogic id={quoteattr(light.getID())} type="{program.value}" programID="phasewise" offset="0">')
                lines += [_phase(phase.state, float(phase.duration)) for phase in given.getPhases()]
                lines.append("    </tlLogic>")
    return "\n".join([*lines, "</additional>", ""])


def _phase(state: str, duration: float) -> str:
    is_green = "y" not in state.lower() and "g" in state.lower()
    bounds = f' minDur="{MIN_GREEN_S}" maxDur="{max(MAX_GREEN_S, duration)}"' if is_green else ""
    return f'        <phase duration="{duration}" state="{state}"{bounds}/>'
