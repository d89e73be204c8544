"""The errors of the policies, a leaf under `intersection.errors`.

    PhasewiseError
     +-- RuntimeFault
          +-- PolicyFault          a policy that could not answer
               +-- NotFiniteFault  it was given, or gave, something that is no number

A bundle that may not run is no error but a `models.bundle.Refusal`.
"""

from intersection.errors import RuntimeFault


class PolicyFault(RuntimeFault):
    """A policy that could not answer. Whoever runs it falls back to a plan.

    Example scenarios: an observation of another signal, a reading that is no number, a network that answers with NaN.
    """


class NotFiniteFault(PolicyFault):
    """A policy that was given, or gave, something that is no number.

    Example scenarios: a reading of NaN, weights whose sums overflow.
    """
