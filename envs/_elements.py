"""Streams the records that SUMO writes, so that an hour of a city fits in little memory."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from intersection.errors import ConfigError


def elements(path: Path) -> Iterator[ET.Element]:
    """Yield the children of a file's root element, one by one, and forget each afterwards.

    Args:
        path: an XML file, compressed where its name ends in `.gz`.

    Raises:
        ConfigError: the file cannot be read, or ends before its root element does.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            depth = 0
            root: ET.Element | None = None
            for event, element in ET.iterparse(stream, events=("start", "end")):
                if event == "start":
                    depth += 1
                    root = element if root is None else root
                else:
                    depth -= 1
                    if depth == 1 and root is not None:
                        yield element
                        root.clear()
    except ET.ParseError as error:
        raise ConfigError(f"is not whole XML ({error}); did SUMO end before it closed the file?", source=str(path)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(f"is not a whole gzip file ({error}); did SUMO end before it closed the file?", source=str(path)) from error
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror or error})", source=str(path)) from error
