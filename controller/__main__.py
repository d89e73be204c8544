"""The daemon by itself: `python -m controller CABINET.toml`. `phasewise run` is the same behind the common command line.

Exit codes: 0 every cabinet was let go of; 1 one was not, or the fault is ours; 2 the user can mend it.
"""

import asyncio
import logging
import sys
from pathlib import Path

from controller.daemon import Daemon
from controller.settings import load
from intersection.errors import PhasewiseError, UserError


def run(path: Path) -> int:
    """Run the daemon of a cabinet.toml until SIGTERM, and give its exit code.

    Raises:
        UserError: the file, another daemon, or what it needs stands against it.
        RuntimeFault: a socket, a port or a link cannot be had.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    return 0 if asyncio.run(_run(path)) else 1


async def _run(path: Path) -> bool:
    return await Daemon(load(path)).run()


def main(arguments: list[str]) -> int:
    """Run by arguments."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m controller CABINET.toml\n")
        return 2
    try:
        return run(Path(arguments[0]))
    except PhasewiseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, UserError) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
