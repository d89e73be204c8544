"""The process in which a policy lives. Started by `controller.policy_process`, with its end of a socket as descriptor 3.

It ends when the loop's end of the socket closes, and the kernel ends it when the daemon dies.
"""

import ctypes
import os
import resource
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from controller.policy_wire import LARGEST, Kind, Told, answer, asked
from intersection.config import IntersectionConfig
from intersection.config import load as load_config
from intersection.errors import PhasewiseError
from intersection.phase import Tenths
from models.bundle import Bundle, NotABundle
from models.bundle import load as load_bundle
from models.errors import NotFiniteFault
from models.onnx_policy import OnnxPolicy
from models.trust import read as read_trust

DESCRIPTOR: Final = 3
MEMORY: Final = 512 << 20
"""The address space that a policy may have, in bytes; a policy of two layers of 128 takes 150 MB, of which 35 are its own."""

_PR_SET_PDEATHSIG = 1


def confine() -> None:
    """Let this process end with its parent, take less of the processor than the loop, and no more memory than it may."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stop in (signal.SIGINT, signal.SIGTERM):  # who stops the daemon's whole group means the daemon, which ends its policy last
        signal.signal(stop, signal.SIG_IGN)


def loaded(config: IntersectionConfig, bundle: Path, trusted: Path, period: Tenths) -> OnnxPolicy | Told:
    """Load a bundle for a signal of the street, or say why not: its detectors count over the period at which it was trained to decide."""
    if not bundle.exists():
        return Told(0, Kind.MISSING, words=f"{bundle.name} is not there")
    found = load_bundle(bundle, trusted=read_trust(trusted), config=config, street=True, now=datetime.now(UTC))
    if isinstance(found, Bundle) and found.manifest.action.period != period:
        own = found.manifest.action.period / 10
        return Told(0, Kind.REFUSED, words=f"it decides every {own:g} s, and this cabinet every {period / 10:g} s")
    if isinstance(found, Bundle):
        return OnnxPolicy(config, found)
    return Told(0, Kind.MISSING if isinstance(found, NotABundle) and not bundle.is_file() else Kind.REFUSED, words=found.reason)


def serve(link: socket.socket, policy: OnnxPolicy) -> None:
    """Answer questions until nobody asks any more."""
    link.send(answer(Told(0, Kind.LOADED)))
    while message := link.recv(LARGEST):
        number, observation = asked(message)
        try:
            stage = policy.propose(observation).stage
            told = Told(number, Kind.PROPOSED, stage if stage is not None else -1, policy.departure)
        except NotFiniteFault as fault:
            told = Told(number, Kind.NOT_FINITE, words=str(fault))
        except Exception as error:  # noqa: BLE001  # whatever it is, the loop is told of it
            told = Told(number, Kind.RAISED, words=f"{type(error).__name__}: {error}")
        link.send(answer(told))


def main(config: str, bundle: str, trusted: str, period: str) -> None:
    """Load a bundle and answer for it."""
    confine()
    with socket.socket(fileno=DESCRIPTOR) as link:
        try:
            policy: OnnxPolicy | Told = loaded(load_config(Path(config)), Path(bundle), Path(trusted), int(period))
        except PhasewiseError as error:
            policy = Told(0, Kind.REFUSED, words=str(error))
        if isinstance(policy, Told):
            link.send(answer(policy))
            link.recv(1)  # the loop has read it when it closes its end
        else:
            serve(link, policy)
