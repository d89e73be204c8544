"""A policy's process that does whatever a test asks for: the bundle's file name says what."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

from controller.policy_wire import LARGEST, Kind, Told, answer, asked
from models.manifest import Departure


def main(_config: str, bundle: str, _trusted: str, _period: str) -> None:  # noqa: C901, PLR0912  # one line for each way to go wrong
    """Say that all is well, and then go wrong."""
    how = Path(bundle).name
    with socket.socket(fileno=3) as link:
        if how == "silent":
            time.sleep(60)
        if how == "refused":
            link.send(answer(Told(0, Kind.REFUSED, words="nobody signed it")))
            link.recv(1)
            return
        if how == "stillborn":
            sys.exit(7)
        link.send(answer(Told(0, Kind.LOADED)))
        while message := link.recv(LARGEST):
            number, observation = asked(message)
            stage = observation.state.now % 7
            good = answer(Told(number, Kind.PROPOSED, stage % 2, Departure(0.5, 0)))
            match how:
                case "good":
                    link.send(good)
                case "spins":
                    while True:
                        np.sort(np.random.default_rng(1).random(1 << 20))
                case "stops":
                    os.kill(os.getpid(), signal.SIGSTOP)
                case "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hoards":
                    link.send(good)
                    raise MemoryError
                case "garbage":
                    link.send(os.urandom(40))
                case "half":
                    link.send(good[:5])
                case "huge":
                    link.send(bytes(100_000))
                case "late":
                    time.sleep(0.3)
                    link.send(good)
                case "nan":
                    link.send(answer(Told(number, Kind.NOT_FINITE, words="the network's answer is no number")))
                case "raises":
                    link.send(answer(Told(number, Kind.RAISED, words="ValueError: no")))
                case "illegal":
                    link.send(answer(Told(number, Kind.PROPOSED, 99, Departure(0.5, 0))))
                case "far":
                    link.send(answer(Told(number, Kind.PROPOSED, 0, Departure(9.0, 4))))
