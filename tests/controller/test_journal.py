import resource
import signal
import subprocess
import sys
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.journal import (
    DAY,
    LONGEST_FRAME,
    LONGEST_TEXT,
    Decision,
    Disk,
    Event,
    Failing,
    Folder,
    Gap,
    Journal,
    Limits,
    MemoryDisk,
    ModeChange,
    Order,
    Reader,
    Record,
    Restored,
    day_of,
    decode,
    encode,
    files_of,
)
from intersection.errors import ConfigError

TODAY = (date(2026, 3, 1).toordinal() - date(1970, 1, 1).toordinal()) * DAY
ONE: list[Record] = [Event(TODAY, 1, 2), Decision(TODAY + 1, "max_pressure", "stage 2", "amended: stage 1", "minimum green still running")]
ALL: list[Record] = [
    *ONE,
    ModeChange(TODAY + 2, "ADAPTIVE", "FIXED_TIME", "late"),
    Order(TODAY + 3, "kim", "plan 3", "match day", "accepted"),
    ONE[0],
]
SMALL = Limits(file=LONGEST_FRAME, total=2 * LONGEST_FRAME, waiting=1000)

stamps = st.integers(-(2**70), 2**70)
texts = st.text(max_size=20) | st.text(alphabet='\x1e\n"\\é🚦\ud800', max_size=20)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Event, stamps, st.integers(0, 255), st.integers(0, 255)),
    st.builds(Decision, stamps, texts, texts, texts, texts),
    st.builds(ModeChange, stamps, texts, texts, texts),
    st.builds(Order, stamps, texts, texts, texts, texts),
    st.builds(Gap, stamps, st.integers(1, 10**9), texts),
)


def write(disk: Disk, wanted: Sequence[Record], limits: Limits | None = None) -> Journal:
    """Write records as one run of the daemon does, and end it."""
    journal = Journal(disk, limits)
    for record in wanted:
        journal.append(record)
    journal.close()
    return journal


def read(disk: Disk) -> list[Record]:
    """Read all records."""
    return list(Reader(disk).records())


def only_file(disk: MemoryDisk) -> str:
    """Name the only file of a disk."""
    (name,) = disk.files
    return name


@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    """Whatever its texts and numbers are, a frame holds the record and ends the line."""
    frame = encode(record)

    assert record == decode(frame[15:-1])
    assert (1, 1) == (frame.count(b"\x1e"), frame.count(b"\n"))


def test_a_long_text_is_cut() -> None:
    """An operator who pastes a novel does not make a frame that no header can measure."""
    frame = encode(Order(0, *["🚦" * 100_000] * 4))

    assert Order(0, *["🚦" * LONGEST_TEXT] * 4) == decode(frame[15:-1])
    assert len(frame) <= LONGEST_FRAME


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"7",
        b'["event",1,2]',
        b'["event",1,2,true]',
        b'["event",1,2,3,4]',
        b'["event",1,2,"3"]',
        b'["later",1]',
        b"[[],1]",
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_what_is_no_record_is_none(text: bytes) -> None:
    """A text of another form, or of a later release, is told from a record."""
    assert decode(text) is None


@given(st.binary(max_size=200) | st.lists(st.sampled_from([encode(ONE[0]), b"\x1e", b"\x1e0001 00000000 ", b"x"])).map(b"".join))
def test_any_bytes_can_be_read(content: bytes) -> None:
    """A reader and a start never fail on what a file holds, and lose no whole frame of it."""
    disk = MemoryDisk({"0000000001-2026-03-01.journal": content})
    reader = Reader(disk)

    assert [ONE[0]] * content.count(encode(ONE[0])) == list(reader.records())

    write(disk, [ONE[0]])

    assert [ONE[0]] * (content.count(encode(ONE[0])) + 1) == read(disk)


def test_a_file_cut_at_any_byte_loses_only_what_is_cut() -> None:
    """A torn frame is passed over by the reader and cut off at the next start; all whole frames stay, and writing goes on behind them."""
    frames = [encode(record) for record in ALL]
    content = b"".join(frames)
    for size in range(len(content) + 1):
        disk = MemoryDisk({"0000000001-2026-03-01.journal": content[:size]})
        kept = sum(len(b"".join(frames[: n + 1])) <= size for n in range(len(frames)))
        reader = Reader(disk)

        assert ALL[:kept] == list(reader.records())
        assert (int(size != len(b"".join(frames[:kept]))), 0) == (reader.torn, reader.corrupt)

        write(disk, [ONE[1]])
        reader = Reader(disk)

        assert [*ALL[:kept], ONE[1]] == list(reader.records())
        assert (0, 0, 1) == (reader.torn, reader.corrupt, len(disk.files))


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_byte_costs_one_record(bit: int) -> None:
    """Wherever a bit is flipped, all records but the one it belongs to are read, and the damage is counted."""
    frames = [encode(record) for record in ALL]
    content = b"".join(frames)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        hit = next(n for n in range(len(frames)) if at < len(b"".join(frames[: n + 1])))
        reader = Reader(MemoryDisk({"0000000001-2026-03-01.journal": bytes(damaged)}))

        assert ALL[:hit] + ALL[hit + 1 :] == list(reader.records())
        assert 1 == reader.corrupt + reader.torn


def test_damage_before_the_end_is_left_alone() -> None:
    """A start cuts the torn tail and no more: what is damaged in the middle may still be evidence."""
    content = encode(ONE[0]) + b"damage" + encode(ONE[1])
    disk = MemoryDisk({"0000000001-2026-03-01.journal": content + b"torn"})

    write(disk, [ONE[0]])

    assert content + encode(ONE[0]) == disk.files[only_file(disk)]


def test_a_long_file_without_one_frame_is_kept() -> None:
    """What no broken writing can have left is not emptied; writing goes on in a new file."""
    foreign = bytes(LONGEST_FRAME + 1)
    disk = MemoryDisk({"0000000001-2026-03-01.journal": foreign})

    write(disk, [ONE[0]])

    assert [foreign, encode(ONE[0])] == list(disk.files.values())


def test_records_of_other_releases_are_counted() -> None:
    """A whole frame that holds no known record is unknown, not corrupt, and stays."""
    newer = encode(ONE[0]).replace(b"event", b"tweet")
    newer = b"\x1e%04x %08x %s\n" % (len(newer) - 16, zlib.crc32(newer[15:-1]), newer[15:-1])
    disk = MemoryDisk({"0000000001-2026-03-01.journal": newer})
    write(disk, [ONE[0]])
    reader = Reader(disk)

    assert [ONE[0]] == list(reader.records())
    assert (1, 0, 0) == (reader.unknown, reader.corrupt, reader.torn)


@pytest.mark.parametrize(
    ("since", "until", "wanted"),
    [(None, None, [0, 1, 2, 3]), (1, None, [1, 2, 3]), (DAY, DAY + 1, [2]), (None, DAY, [0, 1]), (2 * DAY, None, []), (None, 0, [])],
)
def test_a_range_of_time_is_read(since: int | None, until: int | None, wanted: list[int]) -> None:
    """The first instant belongs to a range, the last does not; days outside it are not even read."""
    all_records = [Event(TODAY + at, 1, 1) for at in (0, DAY - 1, DAY, DAY + 1)]
    disk = MemoryDisk()
    write(disk, all_records)

    found = Reader(disk).records(None if since is None else TODAY + since, None if until is None else TODAY + until)

    assert [all_records[at] for at in wanted] == list(found)
    assert 2 == len(disk.files)


def test_each_day_has_its_own_files() -> None:
    """A clock that steps over midnight and back makes files in the order of writing, each of one day."""
    wanted: list[Record] = [Event(TODAY + at, 1, 1) for at in (0, DAY, 0, 5)]
    disk = MemoryDisk()
    write(disk, wanted)

    assert wanted == read(disk)
    assert ["0000000001-2026-03-01.journal", "0000000002-2026-03-02.journal", "0000000003-2026-03-01.journal"] == list(disk.files)


@pytest.mark.parametrize("stamp", [-(2**70), 2**70])
def test_a_senseless_clock_is_no_reason_to_lose_a_record(stamp: int) -> None:
    """Stamps that no calendar has lie at its ends."""
    disk = MemoryDisk()
    write(disk, [Event(stamp, 1, 1)])

    assert [Event(stamp, 1, 1)] == list(Reader(disk).records(since=stamp, until=stamp + 1))
    assert day_of(stamp) in {1 - date(1970, 1, 1).toordinal(), date.max.toordinal() - date(1970, 1, 1).toordinal()}


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 2)), max_size=200), st.integers(1, 60))
def test_a_journal_is_bounded_on_disk(sizes: list[tuple[int, int]], batch: int) -> None:
    """At every writing each file and all together keep their bounds, and what is there is the newest."""
    disk = MemoryDisk()
    journal = Journal(disk, SMALL)
    wanted: list[Record] = [Order(TODAY + day * DAY, "🚦" * n, "🚦" * n, "🚦" * n, "🚦" * n) for n, day in sizes]
    for at, record in enumerate(wanted):
        journal.append(record)
        if at % batch == 0:
            journal.flush()

            assert all(len(content) <= SMALL.file for content in disk.files.values())
            assert sum(map(len, disk.files.values())) <= SMALL.total
    journal.close()
    found = read(disk)

    assert wanted[len(wanted) - len(found) :] == found
    assert not wanted or found


def test_a_foreign_file_is_nobodys() -> None:
    """Files of other names, or of days that no calendar has, are neither read nor removed."""
    foreign = {"notes.txt": b"x" * SMALL.total, "0000000001-2026-02-30.journal": encode(ONE[0])}
    disk = MemoryDisk(dict(foreign))
    write(disk, [*ONE], SMALL)

    assert ONE == read(disk)
    assert foreign == {name: disk.files[name] for name in foreign}


@pytest.fixture(params=[MemoryDisk, None])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    """Give each disk in turn, empty."""
    return MemoryDisk() if request.param else Folder(tmp_path / "deep" / "journal")


class TestDisk:
    """The contract of a disk."""

    def test_it_begins_empty(self, disk: Disk) -> None:
        """A folder that is not there holds nothing."""
        assert {} == disk.sizes()

    def test_files_grow_and_are_cut_and_go(self, disk: Disk) -> None:
        """What is written stands behind what was there; a cut shortens, and never lengthens."""
        disk.append("a", b"one")
        disk.append("a", b"two")
        disk.append("b", b"")
        disk.cut("a", 4)
        disk.cut("a", 10)

        assert ({"a": 4, "b": 0}, b"onet") == (disk.sizes(), disk.read("a"))

        disk.remove("a")

        assert {"b": 0} == disk.sizes()

    @pytest.mark.parametrize("use", [lambda disk: disk.read("a"), lambda disk: disk.cut("a", 0), lambda disk: disk.remove("a")])
    def test_a_file_that_is_not_there_is_an_error(self, disk: Disk, use: Callable[[Disk], object]) -> None:
        """Only `append` makes files."""
        with pytest.raises(FileNotFoundError):
            use(disk)

    def test_a_journal_lives_on_it(self, disk: Disk) -> None:
        """Records are read back after a restart, in order."""
        write(disk, ALL)
        write(disk, [*ONE])

        assert [*ALL, *ONE] == read(disk)
        assert 1 == len(files_of(disk))


def test_a_full_disk_is_told_once_and_writing_resumes() -> None:
    """While the disk is full records wait; the operator hears of it once, and again when all is written. None is lost or there twice."""
    disk = MemoryDisk(capacity=len(encode(ALL[0])) + 5)
    journal = Journal(disk)
    for record in ALL:
        journal.append(record)
        journal.flush()

    assert ((Failing("No space left on device"),), ()) == (journal.told(), journal.told())
    assert ([ALL[0]], len(ALL) - 1) == (read(disk), journal.waiting)

    disk.capacity = None
    journal.flush()

    assert (Restored("No space left on device", 0),) == journal.told()
    assert (ALL, 0, None) == (read(disk), journal.waiting, journal.failing)


@given(st.lists(st.tuples(records, st.none() | st.integers(0, 400), st.booleans()), max_size=60))
def test_a_disk_that_is_full_now_and_then_costs_nothing_within_the_bound(steps: list[tuple[Record, int | None, bool]]) -> None:
    """Whenever the disk fills up and is freed, and whenever the daemon starts anew with it, no record is lost, doubled or out of order."""
    disk = MemoryDisk()
    journal = Journal(disk)
    wanted = []
    for record, room, anew in steps:
        disk.capacity = None if room is None else sum(map(len, disk.files.values())) + room
        journal.append(record)
        wanted.append(record)
        journal.flush()
        if anew and not journal.waiting:
            journal = Journal(disk)
    disk.capacity = None
    journal.flush()

    assert wanted == read(disk)


def test_beyond_the_bound_the_oldest_are_lost_and_the_gap_is_written() -> None:
    """A journal that waits too long keeps the newest, says in its place how many are missing, and why."""
    disk = MemoryDisk(capacity=0)
    journal = Journal(disk, Limits(waiting=3))
    wanted = [Event(TODAY + n, 1, n) for n in range(8)]
    for record in wanted[:7]:
        journal.append(record)
        journal.flush()
    journal.told()
    disk.capacity = None
    journal.append(wanted[7])
    journal.flush()

    assert [Gap(TODAY + 5, 5, "the disk does not keep up"), *wanted[5:]] == read(disk)
    assert (5, (Restored("the disk does not keep up", 5),)) == (journal.lost, journal.told())


def test_a_full_memory_disk_takes_what_fits() -> None:
    """As a real one does, it may hold a part of what it could not take."""
    disk = MemoryDisk({"a": b"12"}, capacity=3)
    with pytest.raises(OSError, match="No space left"):
        disk.append("b", b"34")

    assert {"a": b"12", "b": b"3"} == disk.files


def test_a_disk_that_does_not_keep_up_is_told_early() -> None:
    """Long before a record is lost: when a tenth of what may wait does."""
    journal = Journal(MemoryDisk(), Limits(waiting=100))
    for record in ALL + ALL[:4]:
        journal.append(record)

    assert () == journal.told()

    journal.append(ALL[0])

    assert ((Failing("the disk does not keep up"),), 0) == (journal.told(), journal.lost)


class Stuck(MemoryDisk):
    """A disk that hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let_go = Signal(), Signal()

    def append(self, name: str, content: bytes) -> None:
        """Write when let go, at the latest after half a minute."""
        self.entered.set()
        self.let_go.wait(30)
        super().append(name, content)


def test_a_disk_that_hangs_holds_nobody_up() -> None:
    """While the writer hangs, records are taken, the operator is told, and the end does not wait for long; later all is as it should be."""
    disk = Stuck()
    journal = Journal(disk, Limits(waiting=20, interval=0.01))
    journal.start()
    wanted = [Event(TODAY + n, 1, n) for n in range(30)]
    journal.append(wanted[0])
    disk.entered.wait(30)
    for record in wanted[1:]:
        journal.append(record)

    assert (Failing("the disk does not keep up"),) == journal.told()
    assert not journal.close(patience=0.01)

    disk.let_go.set()

    assert journal.close(patience=30)
    assert [wanted[0], Gap(TODAY + 10, 9, "the disk does not keep up"), *wanted[10:]] == read(disk)
    assert (Restored("the disk does not keep up", 9),) == journal.told()


def test_a_journal_writes_by_itself() -> None:
    """With its thread running a record reaches the disk without a flush, and the end writes what is left."""
    disk = Stuck()
    with Journal(disk) as journal:
        journal.append(ALL[0])

        assert disk.entered.wait(30)

        journal.append(ALL[1])
        disk.let_go.set()

    assert ALL[:2] == read(disk)


@pytest.mark.parametrize("method", ["sizes", "append", "remove"])
def test_a_broken_disk_never_raises(method: str) -> None:
    """Whatever the disk refuses is told; when it works again all is written."""
    disk = MemoryDisk()
    big: list[Record] = [Order(TODAY, *["🚦" * LONGEST_TEXT] * 4) for _ in range(6)]
    write(disk, big, SMALL)
    disk.broken = frozenset({method})
    journal = write(disk, big, SMALL)

    assert (Failing("Input/output error"),) == journal.told()
    assert sum(map(len, disk.files.values())) <= SMALL.total

    disk.broken = frozenset()
    journal.flush()

    assert (0, Restored("Input/output error", 0)) == (journal.waiting, *journal.told())


@pytest.mark.parametrize("method", ["read", "cut"])
def test_a_file_that_cannot_be_mended_is_left(method: str) -> None:
    """A newest file that cannot be read, or whose torn frame cannot be cut off, stays, and writing goes on in a new one."""
    disk = MemoryDisk({"0000000001-2026-03-01.journal": encode(ONE[0]) + b"\x1etorn"}, broken=frozenset({method}))
    journal = write(disk, [ONE[1]])
    disk.broken = frozenset()

    assert () == journal.told()
    assert ONE == read(disk)
    assert 2 == len(disk.files)


def test_what_cannot_be_taken_back_may_stand_there_twice() -> None:
    """A disk that fails in the middle and cannot be cut either loses nothing."""
    disk = MemoryDisk(capacity=len(encode(ALL[0])) + 3, broken=frozenset({"cut"}))
    journal = write(disk, ALL)
    disk.capacity, disk.broken = None, frozenset()
    journal.flush()

    assert [ALL[0], *ALL] == read(disk)


def test_a_file_that_goes_while_it_is_read_is_counted() -> None:
    """A reader of a living journal goes on where the oldest file has just been removed."""
    disk = MemoryDisk()
    write(disk, [ONE[0], Event(TODAY + DAY, 1, 1)])
    reader = Reader(disk)
    found = reader.records()
    next(found)
    disk.remove("0000000002-2026-03-02.journal")

    assert ([], 1) == (list(found), reader.unreadable)


def test_files_that_somebody_removed_are_no_obstacle() -> None:
    """A journal whose folder is emptied under it writes on."""
    disk = MemoryDisk()
    journal = Journal(disk, SMALL)
    for record in ALL:
        journal.append(record)
        journal.flush()
        disk.files.clear()
    big: list[Record] = [Order(TODAY, *["🚦" * LONGEST_TEXT] * 4) for _ in range(6)]
    for record in big:
        journal.append(record)
    journal.flush()
    journal.flush()

    assert big[-1] == read(disk)[-1]
    assert 0 == journal.waiting


def test_a_real_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: nothing is raised, and what is lost meanwhile is nothing."""
    disk = Folder(tmp_path)
    journal = Journal(disk)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(encode(ALL[0])) + 7, hard))
    try:
        for record in ALL:
            journal.append(record)
            journal.flush()
        told = journal.told()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    during = read(disk)
    journal.flush()

    assert ((Failing("File too large"),), [ALL[0]]) == (told, during)
    assert (ALL, (Restored("File too large", 0),)) == (read(disk), journal.told())


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    """A path that leads through a file stops nobody."""
    (tmp_path / "file").write_text("x")
    journal = write(Folder(tmp_path / "file"), [*ONE])

    assert (Failing("Not a directory"),) == journal.told()


DAEMON = """
import sys, time
from pathlib import Path
from controller.journal import Event, Folder, Journal
first = int(sys.argv[2])
with Journal(Folder(Path(sys.argv[1]))) as journal:
    for number in range(first, first + 1_000_000):
        journal.append(Event(17_000_000_000, 1, number))
        print(number, time.monotonic(), flush=True)
        time.sleep(0.001)
"""
"""A daemon that journals until it is killed, a thousand times a second, and says on its output what it has appended, and when."""


def test_sudden_death_costs_at_most_a_second(tmp_path: Path) -> None:
    """Killed three times while it writes, a daemon finds its journal whole, goes on in it, and has lost a second at most."""
    number, expected = 0, 0
    for life in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(tmp_path), str(number)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        ) as daemon:
            assert daemon.stdout is not None
            said = [tuple(map(float, daemon.stdout.readline().split()))]
            while said[-1][1] - said[0][1] < 1.2 + 0.13 * life:
                said.append(tuple(map(float, daemon.stdout.readline().split())))
            daemon.send_signal(signal.SIGKILL)
            said += [tuple(map(float, line.split())) for line in daemon.stdout if line.endswith("\n")]
        reader = Reader(Folder(tmp_path))
        found = [record.parameter for record in reader.records() if isinstance(record, Event)]
        safe = [int(n) for n, at in said if at <= said[-1][1] - 1.0]

        assert set(safe) <= set(found)
        assert sorted(set(found)) == found
        assert (0, 0) == (reader.corrupt, reader.unknown)

        number, expected = int(said[-1][0]) + 1, expected + len(safe)

    assert expected > 300
    assert 1 == len(files_of(Folder(tmp_path)))


def test_two_threads_lose_nothing_between_them() -> None:
    """What the tick appends while the writer writes is there in order, all of it."""
    disk = MemoryDisk()
    journal = Journal(disk, Limits(interval=0.01))
    wanted = [Event(TODAY, 1, n) for n in range(5_000)]
    with journal:
        tick = Thread(target=lambda: deque(map(journal.append, wanted)))
        tick.start()
        tick.join()

    assert wanted == read(disk)


@pytest.mark.parametrize(
    ("key", "value"),
    [("file", LONGEST_FRAME - 1), ("total", 1), ("waiting", 0), ("interval", 0.0), ("interval", 0.51), ("interval", float("nan"))],
)
def test_a_limit_out_of_range_is_refused(key: str, value: float) -> None:
    """The message names the key, the value and what is allowed."""
    with pytest.raises(ConfigError, match=rf"journal\.{key} = .*allowed"):
        Limits(**{key: value})  # type: ignore[arg-type]  # the keys differ in their types
