"""What happened at a cabinet, kept on its disk: high-resolution events, decisions, changes of mode, orders.

    tick --append()--> waiting records --a thread, twice a second--> files of frames, each synced to the medium

Nothing here stops control: `append` neither blocks nor raises, and a disk that is full, slow or gone is counted, told once, written into
the journal as a gap, and used again as soon as it can be. Whatever was appended more than a second ago survives the death of the process
at any instant, and a loss of power; a record that was half written then is cut off at the next start, and nothing else with it.

A frame is a JSON text sequence (RFC 7464) with a header, so that a technician can read a journal with a pager:

    RS, length of the text (4 hex digits), space, CRC-32 of the text (8 hex digits), space, the text (ASCII), LF

RS never occurs in a text, so after damage a reader finds the next frame by it, and one damaged byte costs one record.
"""

import errno
import json
import os
import re
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from typing import NamedTuple, Protocol, TypeAlias

from intersection.errors import ConfigError

Stamp: TypeAlias = int
"""A time of day and date: tenths of a second since 1970 in UTC."""

DAY: Stamp = 864_000
"""A day, in tenths of a second."""

LONGEST_TEXT = 500
"""To how many characters the texts of a record are cut, so that every frame's length fits its header."""

LONGEST_FRAME = 16 + 0xFFFF
"""In bytes."""


# ----- records -------------------------------------------------------------------------------------------------------------------


class Event(NamedTuple):
    """A high-resolution event: see `controller.indiana`."""

    at: Stamp
    code: int
    parameter: int


class Decision(NamedTuple):
    """What a policy proposed, and what the gate made of it."""

    at: Stamp
    policy: str
    """Who proposed: a policy's name, the plan, or the gate itself."""

    proposal: str
    verdict: str
    """Granted, amended or refused, and what is carried out."""

    reason: str
    """In the operator's words; empty where the proposal was granted."""


class ModeChange(NamedTuple):
    """A step on the mode ladder."""

    at: Stamp
    before: str
    after: str
    reason: str


class Order(NamedTuple):
    """What an operator asked for, and what came of it."""

    at: Stamp
    operator: str
    order: str
    reason: str
    answer: str


class Gap(NamedTuple):
    """The journal itself: records that were lost here."""

    at: Stamp
    lost: int
    cause: str


Record: TypeAlias = Event | Decision | ModeChange | Order | Gap

KINDS: dict[str, type[Record]] = {"event": Event, "decision": Decision, "mode": ModeChange, "order": Order, "gap": Gap}
"""By the word that begins the text of a frame. A word that is not here is from a later release, and is counted as unknown."""

NAMES = {kind: name for name, kind in KINDS.items()}

HEADER = re.compile(rb"\x1e([0-9a-f]{4}) ([0-9a-f]{8}) ")


def encode(record: Record) -> bytes:
    """Write a record as a frame. Texts are cut to `LONGEST_TEXT` characters."""
    values = [value[:LONGEST_TEXT] if isinstance(value, str) else int(value) for value in record]
    text = json.dumps([NAMES[type(record)], *values], separators=(",", ":")).encode("ascii")
    return b"\x1e%04x %08x %s\n" % (len(text), zlib.crc32(text), text)


def decode(text: bytes) -> Record | None:
    """Read the text of a frame, or None where it is no record that this release knows."""
    try:
        name, *values = json.loads(text)
        kind = KINDS[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    kinds = list(kind.__annotations__.values())
    return kind(*values) if [type(value) for value in values] == kinds else None


def frame_at(content: bytes, position: int) -> tuple[bytes, int] | None:
    """Read the frame that begins at a position: its text, and where it ends; None where no whole and undamaged frame does."""
    header = HEADER.match(content, position)
    if header is None:
        return None
    begin = header.end()
    end = begin + int(header[1], 16)
    text = content[begin:end]
    if content[end : end + 1] != b"\n" or zlib.crc32(text) != int(header[2], 16):
        return None
    return text, end + 1


def whole(content: bytes) -> int:
    """Find where the last whole frame of a file ends; 0 where it holds none."""
    position = len(content)
    while (position := content.rfind(b"\x1e", 0, position)) >= 0:
        found = frame_at(content, position)
        if found is not None:
            return found[1]
    return 0


# ----- the disk ------------------------------------------------------------------------------------------------------------------


class Disk(Protocol):
    """A folder of files that only grow, are cut, and go. Each method raises OSError where the disk does not do it."""

    def sizes(self) -> dict[str, int]:
        """List the files by name, with their sizes in bytes."""

    def read(self, name: str) -> bytes:
        """Read a whole file."""

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file, which is made if need be; what is written is on the medium when this returns.

        Where it raises, any part of the content may be there.
        """

    def cut(self, name: str, size: int) -> None:
        """Shorten a file that is longer."""

    def remove(self, name: str) -> None:
        """Remove a file."""


class Folder:
    """A folder of the file system, made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> dict[str, int]:
        """List the files by name, with their sizes in bytes."""
        if not self.path.exists():
            return {}
        with os.scandir(self.path) as found:
            return {entry.name: entry.stat().st_size for entry in found if entry.is_file()}

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        return (self.path / name).read_bytes()

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file, and sync it; a new one's name is synced too."""
        path = self.path / name
        new = not path.exists()
        if new:
            self.path.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        if new:
            self._sync_names()

    def cut(self, name: str, size: int) -> None:
        """Shorten a file that is longer, and sync it."""
        with (self.path / name).open("r+b") as file:
            if file.seek(0, os.SEEK_END) > size:
                file.truncate(size)
                os.fsync(file.fileno())

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink()

    def _sync_names(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@dataclass
class MemoryDisk:
    """The in-memory twin of a folder. It can be full or broken; it does not imitate a loss of power, a slow medium or file modes."""

    files: dict[str, bytes] = field(default_factory=dict)
    capacity: int | None = None
    """How many bytes fit on it; None: any."""

    broken: frozenset[str] = frozenset()
    """The names of the methods that raise."""

    def sizes(self) -> dict[str, int]:
        """List the files by name, with their sizes in bytes."""
        self._fail("sizes")
        return {name: len(content) for name, content in self.files.items()}

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        self._fail("read")
        return self._known(name)

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file as much as fits."""
        self._fail("append")
        room = len(content) if self.capacity is None else max(0, self.capacity - sum(map(len, self.files.values())))
        self.files[name] = self.files.get(name, b"") + content[:room]
        if room < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cut(self, name: str, size: int) -> None:
        """Shorten a file that is longer."""
        self._fail("cut")
        self.files[name] = self._known(name)[:size]

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._fail("remove")
        self._known(name)
        del self.files[name]

    def _fail(self, method: str) -> None:
        if method in self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _known(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self.files[name]


# ----- files ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a journal keeps.

    Raises:
        ConfigError: a limit is out of its range.
    """

    file: int = 8 << 20
    """The longest file, in bytes; a busy intersection fills one in about three hours."""

    total: int = 1 << 30
    """All files together, in bytes; the oldest are removed."""

    waiting: int = 50_000
    """How many records wait for a disk that does not write; beyond it the oldest are lost, and counted."""

    interval: float = 0.5
    """Seconds from one writing to the next. What was appended since is what a sudden death costs."""

    def __post_init__(self) -> None:
        ranges = {"file": (LONGEST_FRAME, 1 << 40), "total": (2 * self.file, 1 << 50), "waiting": (1, 10_000_000), "interval": (0.01, 0.5)}
        for key, (least, most) in ranges.items():
            value = getattr(self, key)
            if not least <= value <= most:
                raise ConfigError("out of range", key=f"journal.{key}", value=value, allowed=f"{least}..{most}")


EPOCH = date(1970, 1, 1).toordinal()

NAME = re.compile(r"(\d{10})-(\d{4}-\d\d-\d\d)\.journal")


class FileName(NamedTuple):
    """What a file's name says: its place in the order of writing, and the one day (UTC) of which it holds records."""

    number: int
    day: int
    """Days since 1970."""

    def __str__(self) -> str:
        return f"{self.number:010}-{date.fromordinal(EPOCH + self.day)}.journal"


def day_of(stamp: Stamp) -> int:
    """Give the day of a stamp, in days since 1970; one that no calendar has is that of its nearer end."""
    return min(max(stamp // DAY, 1 - EPOCH), date.max.toordinal() - EPOCH)


def files_of(disk: Disk) -> dict[FileName, int]:
    """List a journal's files in the order of writing, with their sizes in bytes. Files of other names are nobody's. Raises OSError."""
    found: dict[FileName, int] = {}
    for name, size in disk.sizes().items():
        match = NAME.fullmatch(name)
        if match is not None:
            try:
                found[FileName(int(match[1]), date.fromisoformat(match[2]).toordinal() - EPOCH)] = size
            except ValueError:
                continue
    return dict(sorted(found.items()))


class Waiting(NamedTuple):
    """A frame that is to be written."""

    at: Stamp
    frame: bytes
    lost: int = 0
    """Of a gap: for how many lost records it stands."""


class Files:
    """The files of a journal: the newest grows until it is full or its day is over, the oldest go."""

    def __init__(self, disk: Disk, limits: Limits) -> None:
        self.disk, self.limits = disk, limits
        self._sizes: dict[FileName, int] | None = None
        self._newest: FileName | None = None

    def write(self, waiting: deque[Waiting]) -> None:
        """Write frames, and take each away that is on the medium. Raises OSError; called again, it goes on where it stood."""
        known = self._sizes
        try:
            sizes = self._sizes = self._look() if known is None else known
            while waiting:
                name = self._file_for(waiting[0], sizes)
                frames = self._fitting(waiting, name, sizes[name])
                content = b"".join(frames)
                self._make_room(name, len(content), sizes)
                self.disk.append(str(name), content)
                sizes[name] += len(content)
                for _ in frames:
                    waiting.popleft()
        except OSError:
            self._put_right()
            raise

    def _file_for(self, item: Waiting, sizes: dict[FileName, int]) -> FileName:
        """Choose the file of the next frame: the newest, or one more."""
        newest, day = self._newest, day_of(item.at)
        if newest is None or newest.day != day or sizes[newest] + len(item.frame) > self.limits.file:
            newest = self._newest = FileName(max((name.number for name in sizes), default=0) + 1, day)
            sizes[newest] = 0
        return newest

    def _fitting(self, waiting: deque[Waiting], name: FileName, size: int) -> list[bytes]:
        """List the frames, from the first on, that this file takes."""
        frames: list[bytes] = []
        for item in waiting:
            size += len(item.frame)
            if size > self.limits.file or day_of(item.at) != name.day:
                break
            frames.append(item.frame)
        return frames

    def _make_room(self, newest: FileName, room: int, sizes: dict[FileName, int]) -> None:
        """Remove the oldest files until so many bytes more are within the limit."""
        for oldest in [name for name in sizes if name != newest]:
            if sum(sizes.values()) + room <= self.limits.total:
                break
            self.disk.remove(str(oldest))
            del sizes[oldest]

    def _put_right(self) -> None:
        """Take away what a broken writing left; where the disk refuses this too, some records may stand there twice later."""
        newest, sizes = self._newest, self._sizes
        self._sizes = None
        if newest is not None and sizes is not None:
            with suppress(OSError):
                self.disk.cut(str(newest), sizes[newest])

    def _look(self) -> dict[FileName, int]:
        """Look at what is there, and choose the file to go on with."""
        sizes = files_of(self.disk)
        newest = next(reversed(sizes), None)
        self._newest = newest if newest is not None and self._mend(newest, sizes) else None
        return sizes

    def _mend(self, newest: FileName, sizes: dict[FileName, int]) -> bool:
        """Cut a torn frame off a file; tell whether it can be gone on with."""
        try:
            content = self.disk.read(str(newest))
            end = whole(content)
            torn = len(content) - end
            if not end and torn > LONGEST_FRAME:  # so much without one frame was not left by a writing broken off: it is kept
                return False
            if torn:
                self.disk.cut(str(newest), end)
        except OSError:
            return False
        sizes[newest] = end
        return True


# ----- the journal ---------------------------------------------------------------------------------------------------------------


class Failing(NamedTuple):
    """Records are not written at present; they wait, and beyond a bound the oldest are lost. Control is not affected."""

    cause: str


class Restored(NamedTuple):
    """Records are written again."""

    cause: str
    """Why they were not."""

    lost: int
    """How many were lost meanwhile."""


Notice: TypeAlias = Failing | Restored


class Journal:
    """Takes records from the tick, and writes them from a thread of its own.

    Used as a context manager, or by `start` and `close`; without a thread, `flush` writes what waits, and blocks meanwhile.
    """

    def __init__(self, disk: Disk, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.lost = 0
        """Records lost since the start."""

        self._files = Files(disk, self.limits)
        self._lock = Lock()  # held for moments, never while the disk works
        self._arrived: deque[Waiting] = deque()
        self._waiting: deque[Waiting] = deque()  # the writer's own
        self._missing = 0  # lost, and not yet told by a gap in the journal
        self._failing: Failing | None = None
        self._lost_before = 0
        self._notices: deque[Notice] = deque()
        self._stop = Signal()
        self._thread: Thread | None = None

    def __enter__(self) -> "Journal":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def failing(self) -> Failing | None:
        """Why records are not written at present, or None."""
        return self._failing

    @property
    def waiting(self) -> int:
        """How many records are not on the medium yet."""
        return len(self._arrived) + len(self._waiting)

    def append(self, record: Record) -> None:
        """Take a record, at once and whatever the disk does."""
        item = Waiting(record.at, encode(record))
        with self._lock:
            if len(self._arrived) == self.limits.waiting:
                self._lose(self._arrived.popleft())
            self._arrived.append(item)
            if 10 * len(self._arrived) >= self.limits.waiting:
                self._fail("the disk does not keep up")

    def told(self) -> tuple[Notice, ...]:
        """Take what there is to tell the operator: once when writing begins to fail, once when it is restored."""
        with self._lock:
            notices = tuple(self._notices)
            self._notices.clear()
        return notices

    def start(self) -> None:
        """Begin to write, from now on."""
        self._thread = Thread(target=self._run, name="journal", daemon=True)  # a disk that hangs does not keep the process alive
        self._thread.start()

    def close(self, patience: float = 2.0) -> bool:
        """Write what waits, and end the thread; tell whether all is written. A disk that hangs is waited for `patience` seconds."""
        self._stop.set()
        if self._thread is None:
            self.flush()
        else:
            self._thread.join(patience)
        return not self.waiting

    def flush(self) -> None:
        """Write what waits and sync it. An OSError is told, never raised."""
        with self._lock:
            self._waiting.extend(self._arrived)
            self._arrived.clear()
            while len(self._waiting) > self.limits.waiting:
                self._lose(self._waiting.popleft())
            if self._missing:
                at, cause = self._waiting[0].at, self._failing.cause if self._failing else ""
                self._waiting.appendleft(Waiting(at, encode(Gap(at, self._missing, cause)), self._missing))
                self._missing = 0
        try:
            self._files.write(self._waiting)
        except OSError as error:
            with self._lock:
                self._fail(error.strerror or str(error))
        else:
            with self._lock:
                self._restore()

    def _run(self) -> None:
        while not self._stop.wait(self.limits.interval):
            self.flush()
        self.flush()

    def _lose(self, item: Waiting) -> None:
        self._missing += item.lost or 1
        self.lost += not item.lost

    def _fail(self, cause: str) -> None:
        if self._failing is None:
            self._failing, self._lost_before = Failing(cause), self.lost
            self._notices.append(self._failing)

    def _restore(self) -> None:
        if self._failing is not None and 10 * len(self._arrived) < self.limits.waiting:
            self._notices.append(Restored(self._failing.cause, self.lost - self._lost_before))
            self._failing = None


class Reader:
    """Reads a journal, also one that is being written, and counts what cannot be read."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.torn = 0
        """Files that end in the middle of a frame: a writing broken off, or still going on."""

        self.corrupt = 0
        """Stretches within files that hold no whole frame."""

        self.unknown = 0
        """Whole frames that hold no record that this release knows."""

        self.unreadable = 0
        """Files that could not be read, for instance since they were the oldest and went."""

    def records(self, since: Stamp | None = None, until: Stamp | None = None) -> Iterator[Record]:
        """Give the records from `since` on and before `until`, in the order in which they were written. Raises OSError for the folder."""
        first = None if since is None else day_of(since)
        last = None if until is None else day_of(until)
        for name in files_of(self.disk):
            if (first is not None and name.day < first) or (last is not None and name.day > last):
                continue
            try:
                content = self.disk.read(str(name))
            except OSError:
                self.unreadable += 1
                continue
            for text in self._texts(content):
                record = decode(text)
                if record is None:
                    self.unknown += 1
                elif (since is None or since <= record.at) and (until is None or record.at < until):
                    yield record

    def _texts(self, content: bytes) -> Iterator[bytes]:
        position = 0
        while position < len(content):
            found = frame_at(content, position)
            if found is not None:
                text, position = found
                yield text
                continue
            position = content.find(b"\x1e", position + 1)
            while position >= 0 and frame_at(content, position) is None:
                position = content.find(b"\x1e", position + 1)
            if position < 0:
                self.torn += 1
                return
            self.corrupt += 1
