"""The errors of the controller, leaves under `intersection.errors`.

    PhasewiseError
     +-- UserError
     |    +-- ConfigError
     |    |    +-- SettingsError        a cabinet.toml that nothing may run by: all that is wrong with it
     |    +-- AlreadyRunningError  another daemon has the cabinet
     |    +-- RejectedError        what a person asked the daemon for and it did not do
     +-- RuntimeFault
          +-- NoDaemonError        nobody answers at the control socket
          +-- SocketError          a socket that cannot be made

What is wrong with a cabinet, a policy or a link is never raised: it is a `controller.events.Fault`.
"""

from collections.abc import Sequence

from intersection.errors import ConfigError, RuntimeFault, UserError


class SettingsError(ConfigError):
    """A cabinet.toml that nothing may run by. The message lists all that is wrong with it, a line each.

    Example scenarios: a misspelt key, a pass phrase that others can read, timings that nobody has approved.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, errors)))

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary whole."""
        return type(self), (self.errors,)


class AlreadyRunningError(UserError):
    """Another daemon has the cabinet.

    Example scenarios: a daemon started by hand beside the service, two files that name the same cabinet.
    """


class RejectedError(UserError):
    """What a person asked the daemon for and it did not do.

    Example scenarios: an order while a fault stands that outranks it, a cabinet that the daemon does not control.
    """


class NoDaemonError(RuntimeFault):
    """Nobody answers at the control socket, or not in words that can be understood.

    Example scenarios: the service is stopped, the socket is another user's, the daemon is of another release.
    """


class SocketError(RuntimeFault):
    """A socket that cannot be made.

    Example scenarios: its folder is missing, another program holds the port.
    """
