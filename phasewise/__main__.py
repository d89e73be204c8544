"""The command `phasewise`: runs the command line and turns every failure into one clear message.

Exit codes: 0 done; 1 the fault is ours or the world's; 2 the user can mend it (a wrong name, file or option); 130 Ctrl-C.
"""

import errno
import os
import sys

from intersection.errors import PhasewiseError, UserError

INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended."""


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with the given arguments and return its exit code.

    Set PHASEWISE_TRACEBACK=1 to see where a failure came from.
    """
    try:
        from phasewise.cli import app  # only here, so that Ctrl-C finds us listening while the libraries are imported

        code = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except UserError as error:
        return _say(error, 2)
    except PhasewiseError as error:
        return _say(error, 1)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _say(error, 1, "the disk is full")
        return _say(error, 1, "the system refused")
    except Exception as error:  # noqa: BLE001  # the last door: whatever else happens is our fault, and one line says so
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _say(error, int(error.exit_code), text=error.format_message())
        return _say(error, 1, f"this should not have happened ({type(error).__name__}); PHASEWISE_TRACEBACK=1 shows where")
    if code == INTERRUPTED:
        sys.stderr.write("interrupted; nothing half-written was left behind\n")
    return code if isinstance(code, int) else 0


def _say(error: BaseException, code: int, what: str = "", *, text: str = "") -> int:
    """Tell what failed, in one message; a command without arguments has told its help already, and says no more."""
    if os.environ.get("PHASEWISE_TRACEBACK"):
        raise error
    from phasewise.console import err

    message = ": ".join(part for part in (what, text or str(error)) if part)
    if message:
        err.print(f"[red]error[/red]: {message}" if "[" not in message else f"error: {message}", markup="[" not in message, soft_wrap=True)
    return code


if __name__ == "__main__":
    main()
