"""The command `phasewise`: runs the command line and turns every failure into one clear message.

Exit codes: 0 done; 1 the fault is ours or the world's; 2 the user can mend it (a wrong name, file or option, or Ctrl-C).
"""

import errno
import os
import sys

import typer

from intersection.errors import PhasewiseError, UserError
from phasewise.console import err


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with the given arguments and return its exit code.

    Set PHASEWISE_TRACEBACK=1 to see where a failure came from.
    """
    from phasewise.cli import app

    try:
        code = app(arguments, standalone_mode=False)
    except UserError as error:
        return _say(error, 2)
    except PhasewiseError as error:
        return _say(error, 1)
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted; nothing half-written was left behind", style="yellow")
        return 2
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _say(error, 1, "the disk is full")
        return _say(error, 1, "the system refused")
    except Exception as error:  # noqa: BLE001  # the last door: whatever else happens is our fault, and one line says so
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _say(error, int(error.exit_code), text=error.format_message())
        return _say(error, 1, f"this should not have happened ({type(error).__name__}); PHASEWISE_TRACEBACK=1 shows where")
    return code if isinstance(code, int) else 0


def _say(error: BaseException, code: int, what: str = "", *, text: str = "") -> int:
    if os.environ.get("PHASEWISE_TRACEBACK"):
        raise error
    message = ": ".join(part for part in (what, text or str(error)) if part)
    err.print(f"[red]error[/red]: {message}" if "[" not in message else f"error: {message}", markup="[" not in message, soft_wrap=True)
    return code


if __name__ == "__main__":
    main()
