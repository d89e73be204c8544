"""The errors of the field adapters, leaves under `intersection.errors`.

    PhasewiseError
     +-- UserError
     |    +-- ConfigError
     |         +-- CredentialsError     credentials that a cabinet must not be spoken to with
     |         +-- ProfileError         a vendor's profile that cannot be used
     +-- RuntimeFault
          +-- ForbiddenWriteError       a write that no cabinet may be sent
          +-- LinkError                 a link that cannot be opened

What a cabinet answers, or does not answer, is never raised: it is a member of the closed unions of `field_adapters.snmp`.
"""

from intersection.errors import ConfigError, RuntimeFault


class CredentialsError(ConfigError):
    """Credentials that a cabinet must not be spoken to with.

    Example scenarios: SNMP v1 or v2c without `insecure = true`, a pass phrase of fewer than eight octets, one user name with two keys.
    """


class ProfileError(ConfigError):
    """A vendor's profile that cannot be used. The message names the file and the key; `bare` is it without them.

    Example scenarios: a key that no profile has, a version of SNMP that does not exist.
    """

    def __init__(self, bare: str, *, source: str = "", key: str = "", value: object = None, allowed: str = "") -> None:
        self.bare = bare
        super().__init__(bare, source=source, key=key, value=value, allowed=allowed)


class ForbiddenWriteError(RuntimeFault):
    """A write that no cabinet may be sent: the object is not on the allow-list, or the value is not.

    Raised where the write is made, long before a wire, so it is a fault of the code that asked. The message gives the reason.
    Example scenarios: stop time, a minimum green, the backup time, pattern 255 (flash) without the word for it.
    """

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"{what} is never written: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary whole."""
        return type(self), (self.what, self.reason)


class LinkError(RuntimeFault):
    """A link that cannot be opened.

    Example scenarios: a host name that nobody knows, a port that another program holds.
    """
