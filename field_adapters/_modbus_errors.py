"""The errors of the Modbus adapters: leaves of the tree in `intersection.errors`.

    RuntimeFault
     +-- LinkClosed             a link is used after its end
     +-- UnreviewedError        a request that no reviewed decision stands behind, or one outside the allow-list (also a ValueError)

An expected failure of the wire is never raised: it is a `Failure`, a member of each answer's union.
"""

from intersection.errors import RuntimeFault


class LinkClosed(RuntimeFault):
    """A link that has been closed is asked for something.

    Example scenarios: a poll that is still scheduled after the daemon began to leave.
    """


class UnreviewedError(RuntimeFault, ValueError):
    """A block of registers that may not go to a cabinet cannot be made.

    Example scenarios: a stage that the cabinet does not have, a decision that is too old to beat for, a hold beyond its limit.
    """
