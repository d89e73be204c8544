"""The errors of the environments, leaves under `intersection.errors`.

    PhasewiseError
     +-- UserError
     |    +-- ConfigError
     |         +-- ScenarioError       a scenario whose files cannot be used
     |         +-- NetworkError        a network that cannot be imported
     +-- RuntimeFault
          +-- SimulationError          SUMO refused or died

What an error carries survives a journey between processes: environments run in several.
"""

from collections.abc import Sequence

from intersection.errors import ConfigError, RuntimeFault


class ScenarioError(ConfigError):
    """A scenario whose files cannot be used.

    Example scenarios: a route file that is missing, a net that is cut short, a route file of another network, an end before the begin.
    """


class NetworkError(ConfigError):
    """A network that cannot be imported. The message names the signal, its links and their lanes.

    Example scenarios: a link that no green stage serves, a network without signals.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str = "",
        signal: str = "",
        links: Sequence[int] = (),
        lanes: Sequence[str] = (),
        allowed: str = "",
    ) -> None:
        self.signal, self.links, self.lanes = signal, tuple(links), tuple(lanes)
        named = (("links", ", ".join(map(str, links))), ("lanes", ", ".join(lanes)))
        details = "; ".join(f"{what} {which}" for what, which in named if which)
        super().__init__(
            f"{message} ({details})" if details else message, source=source, key="signal" if signal else "", value=signal, allowed=allowed
        )


class SimulationError(RuntimeFault):
    """A simulation that SUMO refused to start or did not survive. The cause is kept, and `words` is what SUMO itself said.

    Example scenarios: SUMO is killed in the middle of an episode, a route file ends in the middle of a line, the disk is full.
    """

    def __init__(self, message: str, *, words: str = "") -> None:
        self.words = words
        super().__init__(f"{message}; SUMO said: {words}" if words else message)
