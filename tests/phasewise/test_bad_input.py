import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from intersection.config import load
from intersection.errors import ConfigError
from phasewise.__main__ import run
from tests.envs.sumo_tools import run as sumo
from tests.phasewise.command_line import command, configure, environment, phasewise, street

CUT = {
    "empty.xml": "",
    "cut.net.xml": '<net version="1.16"><edge id="AB',
    "hollow.net.xml": '<net version="1.16"/>',
    "cut.rou.xml": '<routes><trip id="1" depart="0" from="AB" t',
    "none.rou.xml": "<routes/>",
    "other.rou.xml": '<routes><trip id="1" depart="70" from="nowhere" to="BC"/></routes>',
    "late.rou.xml": '<routes><vehicle id="late" depart="70"><route edges="BC AB"/></vehicle></routes>',
    "cut.add.xml": '<additional><tlLogic id="B"',
    "empty.sumocfg": "",
    "cut.sumocfg": "<configuration><net-file",
}

EVALUATE = ["--policy", "actuated", "--seeds", "101", "--json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a good scenario and many bad ones."""
    folder = street(tmp_path_factory.mktemp("street"))
    for name, content in CUT.items():
        (folder / name).write_text(content)
    nodes = (folder / "crossroads.nodes.xml").read_text().replace("traffic_light", "priority")
    (folder / "plain.nodes.xml").write_text(nodes)
    parts = ("--node-files", folder / "plain.nodes.xml", "--edge-files", folder / "crossroads.edges.xml")
    sumo("netconvert", *parts, "--output-file", folder / "signless.net.xml")
    for net in ("missing", "cut", "hollow", "signless"):
        configure(folder, f"net_{net}", net=f"{net}.net.xml")
    for routes in ("goood", "cut", "none", "other", "late"):
        configure(folder, f"routes_{routes}", routes=f"{routes}.rou.xml")
    for kind in ("net", "routes", "additional"):
        configure(folder, f"{kind}_empty", **{kind: "empty.xml"})
    configure(folder, "additional_missing", additional="missing.add.xml")
    configure(folder, "additional_cut", additional="cut.add.xml")
    (folder / "noise.zip").write_bytes(bytes(range(256)) * 8)
    for name, entry in (("other.zip", "a.txt"), ("hollow.zip", "phasewise.json")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(entry, "{}")
    return folder


def contents(folder: Path) -> dict[Path, float]:
    """List all files and folders below one, with the times of their last changes."""
    return {path: path.stat().st_mtime for path in folder.rglob("*")}


def cases() -> list[tuple[list[str], list[str]]]:
    """List commands that a user can mend, and what their message must hold: what, where, what is allowed, the nearest name."""
    scenarios = [
        ("god", ["god.sumocfg", "no such file", "did you mean 'good.sumocfg'"]),
        ("empty", ["empty.sumocfg", "cannot be read", "well-formed XML"]),
        ("cut", ["cut.sumocfg", "cannot be read", "well-formed XML"]),
        ("net_missing", ["net_missing.sumocfg: net-file = 'missing.net.xml'", "no such file", "a file that exists"]),
        ("net_cut", ["cut.net.xml", "cannot be read", "well-formed XML"]),
        ("net_empty", ["empty.xml", "cannot be read", "well-formed XML"]),
        ("net_hollow", ["hollow.net.xml", "no edges", "a whole .net.xml"]),
        ("net_signless", ["signless.net.xml", "a network without signals"]),
        ("routes_goood", ["routes_goood.sumocfg: route-files = 'goood.rou.xml'", "did you mean 'good.rou.xml'"]),
        ("routes_cut", ["cut.rou.xml", "cannot be read", "well-formed XML"]),
        ("routes_empty", ["empty.xml", "cannot be read", "well-formed XML"]),
        ("routes_none", ["routes_none.sumocfg: route-files", "nobody travels", "vehicles, trips, flows"]),
        ("routes_other", ["other.rou.xml: edge = 'nowhere'", "route file of another network", "the edges of ", "crossroads.net.xml"]),
        ("additional_missing", ["additional_missing.sumocfg: additional-files = 'missing.add.xml'", "no such file"]),
        ("additional_cut", ["cut.add.xml", "cannot be read", "well-formed XML"]),
        ("additional_empty", ["empty.xml", "cannot be read", "well-formed XML"]),
    ]
    policies = [
        ("actuatd", ["unknown policy 'actuatd'; did you mean 'actuated'", "known: ", "sotl"]),
        ("actuated:min_gren_s=5", ["unknown parameter of actuated 'min_gren_s'; did you mean 'min_green_s'", "known: "]),
        ("actuated:min_green_s=x", ["min_green_s = 'x'", "a number"]),
        ("actuated:min_green_s=-1", ["min_green_s = -1", "0 or above"]),
        ("actuated:min_green_s=nan", ["min_green_s = nan", "0 or above"]),
        ("program:min_green_s=5", ["program:min_green_s=5", "no parameters"]),
        ("noise.zip", ["noise.zip: this is no trained policy", "`phasewise train` wrote"]),
        ("other.zip", ["other.zip: this is no trained policy", "`phasewise train` wrote"]),
        ("hollow.zip", ["hollow.zip: this is no trained policy", "`phasewise train` wrote"]),
        ("good.rou.xml", ["good.rou.xml: this is no trained policy", "`phasewise train` wrote"]),
        ("nois.zip", ["nois.zip: there is no such file", "did you mean 'noise.zip'", "`phasewise train` wrote"]),
    ]
    train = ["train", "good.sumocfg", "--minutes", "0.02", "--workers", "1", "--out", "new.zip"]
    compare = ["compare", "good.sumocfg", "--out", "new", "--policies"]
    import_ = ["import", "crossroads.net.xml", "--out", "new"]
    return [
        *((["evaluate", f"{name}.sumocfg", *EVALUATE], words) for name, words in scenarios),
        (["evaluate", "resco:colonge1", *EVALUATE], ["'resco:colonge1'; did you mean 'resco:cologne1'", "known: ", "phasewise:grid"]),
        (["evaluate", ".", *EVALUATE], ["this is no scenario", "a .sumocfg file"]),
        *((["evaluate", "good.sumocfg", "--policy", name, "--seeds", "101", "--json"], words) for name, words in policies),
        (["evaluate", "good.sumocfg", *EVALUATE, "--preset", "strete"], ["unknown preset 'strete'; did you mean 'street'"]),
        (["evaluate", "good.sumocfg", *EVALUATE, "--observation", "aera"], ["unknown observation 'aera'; did you mean 'area'"]),
        (["evaluate", "good.sumocfg", *EVALUATE, "--seeds", "five"], ["seeds = 'five'", "101-110"]),
        (["evaluate", "good.sumocfg", *EVALUATE, "--seeds", "100000"], ["seed = 100000", "0..99999"]),
        (["evaluate", "good.sumocfg", *EVALUATE, "--sedes", "101"], ["--sedes", "--seeds"]),
        (["evaluate", "good.sumocfg", *EVALUATE, "--record", "good.sumocfg"], ["cannot write good.sumocfg"]),
        (["evaluate", "good.sumocfg"], ["--policy"]),
        (["evalute"], ["evalute", "evaluate"]),
        ([*compare, "actuated,sotll"], ["unknown policy 'sotll'; did you mean 'sotl'"]),
        ([*compare, "sotl,sotl"], ["policies = 'sotl,sotl'", "each policy once"]),
        ([*compare, "sotl", "--out", "good.sumocfg/new"], ["cannot write good.sumocfg/new"]),
        ([*train, "--algorithm", "poo"], ["unknown algorithm 'poo'; did you mean 'ppo'"]),
        ([*train, "--reward", "dely"], ["unknown reward 'dely'; did you mean 'delay'", "stops"]),
        ([*train, "--reward", "delay=1,stpos=1"], ["unknown reward 'stpos'; did you mean 'stops'"]),
        ([*train, "--reward", "delay=much"], ["reward = 'delay=much'", "a number"]),
        ([*train, "--observation", "aera"], ["unknown observation 'aera'; did you mean 'area'"]),
        ([*train, "--preset", "strete"], ["unknown preset 'strete'; did you mean 'street'"]),
        ([*train, "--minutes", "0"], ["--minutes", "0.01"]),
        ([*import_, "--preset", "strete"], ["unknown preset 'strete'; did you mean 'street'"]),
        ([*import_, "--stages", "maxmal"], ["unknown kind of stages 'maxmal'; did you mean 'maximal'"]),
        ([*import_, "--additional", "missing.add.xml"], ["missing.add.xml: there is no such file", "an additional file that exists"]),
        ([*import_, "--out", "good.sumocfg"], ["cannot write good.sumocfg", "Not a directory"]),
        (["import", "crosroads.net.xml", "--out", "new"], ["crosroads.net.xml: there is no such file; did you mean 'crossroads.net.xml'"]),
        (["import", "cut.net.xml", "--out", "new"], ["cut.net.xml: this network cannot be read", "a whole .net.xml file"]),
        (["import", "signless.net.xml", "--out", "new"], ["signless.net.xml: a network without signals"]),
    ]


@pytest.mark.parametrize(("arguments", "words"), cases(), ids=lambda value: " ".join(value) if value[0] in value else None)
def test_what_the_user_can_mend(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    """The user's fault is one message of one line that says what, where and what was allowed; the code is 2, and nothing is written."""
    monkeypatch.chdir(folder)
    before = contents(folder)
    code = run(arguments)
    said = capfd.readouterr()

    assert (2, "") == (code, said.out)
    [line] = said.err.strip().splitlines()
    assert line.startswith("error: ")
    assert [] == [word for word in words if word not in line]
    assert before == contents(folder)


@pytest.mark.parametrize(
    "arguments", [["evaluate", "routes_late.sumocfg", *EVALUATE], ["train", "routes_late.sumocfg", "--out", "new.zip"]]
)
def test_sumo_giving_up_in_the_middle_is_told(folder: Path, arguments: list[str]) -> None:
    """A vehicle whose route turns out to be none ends the run: SUMO's words are passed on with the scenario's name, and the code is 1."""
    before = contents(folder)
    said = phasewise(*arguments, folder=folder)

    assert (1, "") == (said.code, said.out)
    assert re.fullmatch(r"error: routes_late\.sumocfg: SUMO failed on the way to 7\d s; SUMO said: Vehicle 'late' .*", said.err.strip())
    assert before == contents(folder)


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"min_green = \d+", "min_green = 9000", r"min_green = 9000: .*allowed: 1\.\.600 tenths"),
        (r"protected = \[1\]", "protected = [1, 2]", r"stage.*1.*2"),
        (r"yellow_change = \d+", "yellow_change = 0", r"yellow_change = 0: phase 1: .*allowed: 1 or more tenths"),
    ],
)
def test_an_impossible_signal_is_refused(folder: Path, tmp_path: Path, pattern: str, replacement: str, words: str) -> None:
    """A minimum green above the maximum, a stage of conflicting phases and an end of green without yellow are refused by file and key."""
    run(["import", str(folder / "crossroads.net.xml"), "--out", str(tmp_path)])
    path = tmp_path / "B" / "intersection.toml"
    path.write_text(re.sub(pattern, replacement, path.read_text(), count=1))

    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}: .*{words}"):
        load(path)


SMALL_DISK = """
mount -t tmpfs -o size=64k tmpfs disk
dd if=/dev/zero of=disk/filler bs=1k count=$0 2>/dev/null
"$@"
code=$?
find disk -type f ! -name filler -exec sh -c 'echo "$0 ends with $(tail -c 4 "$0")"' {} \\; >&2
exit $code
"""
"""Runs a command beside a disk of 64 kB with some of them taken, then lists what it left there and how each file ends."""


def may_mount() -> bool:
    """Tell whether this user may mount a disk of his own."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and not subprocess.run(
            [unshare, "--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False
        ).returncode
    )


@pytest.mark.skipif(not may_mount(), reason="this user may not mount a disk")
@pytest.mark.parametrize(
    ("taken", "arguments", "place"),
    [
        (60, ["evaluate", "good.sumocfg", *EVALUATE, "--record", "disk/kept"], "disk/kept/actuated-101-tripinfo.xml"),
        (44, ["evaluate", "good.sumocfg", *EVALUATE, "--record", "disk/kept"], "disk/kept/actuated-101-"),
        (60, ["compare", "good.sumocfg", "--policies", "sotl", "--seeds", "101", "--out", "disk/new"], "disk/new/results.parquet"),
        (32, ["train", "good.sumocfg", "--minutes", "0.02", "--workers", "1", "--out", "disk/new.zip"], "disk/new.zip"),
        (64, ["import", "crossroads.net.xml", "--out", "disk/new"], "disk/new/B/intersection.toml"),
    ],
)
def test_a_full_disk_is_told_and_left_clean(folder: Path, taken: int, arguments: list[str], place: str) -> None:
    """A disk that fills up is the world's fault, told with the file that could not be written; what is left is whole."""
    (folder / "disk").mkdir(exist_ok=True)
    said = phasewise(*arguments, folder=folder, prefix=("unshare", "--mount", "--map-root-user", "sh", "-c", SMALL_DISK, str(taken)))
    error, *left = said.err.strip().splitlines()

    assert said.code == 1
    assert re.fullmatch(rf"error: cannot write \S*{place}\S*: No space left on device", error)
    assert [] == [line for line in left if not line.endswith(">")]


@pytest.mark.skipif(not may_mount(), reason="this user may not mount a disk")
def test_sumo_itself_may_find_the_disk_full(folder: Path) -> None:
    """Where SUMO's own record is cut short because the disk for temporary files is full, that is told, and nothing stays there."""
    (folder / "disk").mkdir(exist_ok=True)
    script = SMALL_DISK.replace('"$@"', 'TMPDIR=$PWD/disk "$@"')
    said = phasewise(
        "evaluate", "good.sumocfg", *EVALUATE, folder=folder, prefix=("unshare", "--mount", "--map-root-user", "sh", "-c", script, "48")
    )

    assert (1, "") == (said.code, said.out)
    [line] = said.err.strip().splitlines()
    assert re.match(r"error: SUMO could not finish its output \S*/disk/\S*\.xml .*is the disk full\?", line)


class Place(NamedTuple):
    """Where a command works."""

    work: Path
    temporary: Path
    """For temporary files; its path is short, as a server's address must be."""


@pytest.fixture
def place(tmp_path: Path, folder: Path) -> Iterator[Place]:
    """Yield a folder with the good scenario, and another for temporary files."""
    for path in (*folder.glob("*.xml"), folder / "good.sumocfg"):
        shutil.copy(path, tmp_path)
    with tempfile.TemporaryDirectory(prefix="phasewise-test-") as temporary:
        yield Place(tmp_path, Path(temporary))


LONG = {
    "evaluate": ["evaluate", "phasewise:grid", "--policy", "sotl", "--seeds", "101-120", "--record", "new"],
    "compare": ["compare", "phasewise:grid", "--policies", "sotl,actuated", "--seeds", "101-110", "--out", "new"],
    "train": ["train", "good.sumocfg", "--minutes", "5", "--workers", "2", "--out", "new/new.zip"],
}


def started(arguments: list[str], place: Place, children: int) -> tuple["subprocess.Popen[str]", list[psutil.Process]]:
    """Start a command as the leader of a process group, and wait until it has so many children: a tracker, a server, workers."""
    process = subprocess.Popen(
        command(*arguments),
        cwd=place.work,
        env=environment(TMPDIR=str(place.temporary)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    parent = psutil.Process(process.pid)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            family = parent.children(recursive=True)
            if len(family) >= children and (children or any("numpy" in each.path for each in parent.memory_maps())):
                return process, family
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"it did not start: {process.communicate()}")


def all_ended(family: list[psutil.Process]) -> bool:
    """Tell whether processes end within some seconds."""
    _, alive = psutil.wait_procs(family, timeout=10)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("children", [0, 2, 4], ids=["before there are workers", "while workers start", "while workers work"])
def test_ctrl_c_ends_everything(place: Place, name: str, children: int) -> None:
    """Ctrl-C, heard by the whole process group at whatever moment, leaves one line, a shell's code 130, no process and no file."""
    process, family = started(LONG[name], place, children)
    before = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert ("", "interrupted; nothing half-written was left behind") == (out, err.strip())
    assert process.returncode in (
        130,
        -signal.SIGINT,
    )  # Python makes it the second where an import was interrupted; a shell sees no difference
    assert time.monotonic() - before < 20.0
    assert all_ended(family)
    assert [] == [path for path in place.work.glob("new/**/*") if path.is_file()]
    assert [] == list(place.temporary.glob("phasewise-*"))


@pytest.mark.parametrize("name", ["evaluate", "train"])
def test_a_killed_worker_is_told(place: Place, name: str) -> None:
    """Where the system kills a worker in the middle of a run, that is told, the code is 1, and no process and no file is left."""
    process, family = started(LONG[name], place, 4)
    [*_, worker] = [child for child in family if child.ppid() != process.pid]
    worker.kill()
    out, err = process.communicate(timeout=60)

    assert (1, "") == (process.returncode, out)
    assert re.fullmatch(r"error: .*(a worker process died|ended \(code -9\)).*", err.strip())
    assert all_ended(family)
    assert [] == [path for path in place.work.glob("new/**/*") if path.is_file()]
