import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from envs.toml_writer import to_toml
from intersection.config import IntersectionConfig, parse
from intersection.detection import DetectorKind
from intersection.layout import Layout
from intersection.machine import start
from intersection.observation import Observation, ObservationSpec, encode, kind, stage_mask
from models import bundle as bundles
from models._container import NAMES, Parts, pack, unpack
from models.bundle import (
    BadSignature,
    Bundle,
    Expired,
    NotABundle,
    NotYetSigned,
    Refusal,
    Revoked,
    TooLarge,
    UnknownKey,
    Unsigned,
    WrongConfiguration,
    WrongPreset,
    WrongShapes,
    WrongWeights,
    digest,
    load,
    load_for_simulation,
    probe,
    seal,
)
from models.errors import PolicyFault
from models.manifest import VERSION, ActionForm, Manifest, ObservationForm, Provenance, Seen, Signal, WeightsForm
from models.onnx_policy import OnnxPolicy
from models.trust import Trust, TrustedKey
from tests.intersection.documents import GOOD, RINGS
from tests.models.crossing import AREA, BUTTON, DEPARTURE, LOOPS, crossing, look, readings, running

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))

WHOLE = crossing(*AREA, *LOOPS, *DEPARTURE, *BUTTON)
"""What stands in the cabinet's file: all detectors."""

SEEN = crossing(*AREA, *BUTTON)
"""What a simulation gives a policy that sees areas."""

SPEC = ObservationSpec(SEEN, kind("area"))
STAGES = 5
"""The network rates more stages than the crossing has: it was trained for larger signals too."""

SHARED = Layout(stages=STAGES, groups=4, channels=3, detectors=4)


def trusted(**changes: object) -> TrustedKey:
    """Make the public half of the key that signs here."""
    public = KEY.public_key().public_bytes_raw()
    return replace(TrustedKey(name="city", public=public, expires=NOW + YEAR), **changes)  # type: ignore[arg-type]  # fields by name


def network(inputs: int = SHARED.size, outputs: int = STAGES, *, favourite: int = 4, nan: bool = False) -> bytes:
    """Write a network that rates the stages by their distance from one, whatever it sees; or one that answers with NaN."""
    bias = [float("nan") if nan else -abs(stage - favourite) - 0.25 * (stage < favourite) for stage in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["observation", "weight", "bias"], ["rated"])],
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("rated", TensorProto.FLOAT, ["rows", outputs])],
        [
            helper.make_tensor("weight", TensorProto.FLOAT, [inputs, outputs], [0.0] * (inputs * outputs)),
            helper.make_tensor("bias", TensorProto.FLOAT, [outputs], bias),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


WEIGHTS = network()

SIGNAL = Signal(
    name=WHOLE.name,
    configuration=digest(WHOLE),
    as_seen=digest(SEEN),
    layout=Layout.of(SPEC),
    probe=probe(SEEN, "area"),
    seen=Seen(
        count=10_000,
        low=(0.0,) * SPEC.size,
        high=(1.0,) * SPEC.size,
        mean=(0.5,) * SPEC.size,
        scale=(0.5,) * SPEC.size,
        usual=2.0,
    ),
)

MANIFEST = Manifest(
    version=VERSION,
    preset="street",
    weights=WeightsForm(sha256="", size=0),
    observation=ObservationForm(kind="area", layout=SHARED, size=SHARED.size),
    action=ActionForm(kind="stage", stages=STAGES, period=50, epoch=0),
    signals=(SIGNAL,),
    provenance=Provenance(
        algorithm="ppo",
        scenario="phasewise:surge",
        scenario_sha256="0" * 64,
        training_seed=1,
        steps=100,
        validation_delay_s=12.5,
        trained="2026-05-31T10:00:00",
        policy_sha256="0" * 64,
        recorded=10_000,
        recorded_seeds=(1_000_000, 1_000_001),
        agreement=1e-7,
        versions={"phasewise": "0.1.0"},
    ),
    key="",
    signed=NOW - timedelta(days=1),
    expires=NOW + YEAR,
)

SEALED = seal(MANIFEST, WEIGHTS, KEY)


def loaded(
    folder: Path,
    content: bytes,
    *,
    keys: tuple[TrustedKey, ...] | None = None,
    config: IntersectionConfig = WHOLE,
    street: bool = True,
    now: datetime = NOW,
) -> Bundle | Refusal:
    """Load a bundle's content from a file, by default for a street and by the key that signed it."""
    path = folder / "a.bundle"
    path.write_bytes(content)
    return load(path, trusted=Trust((trusted(),) if keys is None else keys), config=config, street=street, now=now)


def resealed(**changes: object) -> bytes:
    """Seal a manifest that differs."""
    return seal(replace(MANIFEST, **changes), WEIGHTS, KEY)  # type: ignore[arg-type]  # fields by name


def with_parts(change: Callable[[Parts], Parts]) -> bytes:
    """Change a sealed bundle's parts, and pack them as they should be."""
    parts = unpack(SEALED)
    assert parts is not None
    return pack(change(parts))


def policy(folder: Path, weights: bytes = WEIGHTS) -> OnnxPolicy:
    """Make the policy of a network."""
    found = loaded(folder, seal(MANIFEST, weights, KEY))
    assert isinstance(found, Bundle)
    return OnnxPolicy(WHOLE, found)


def test_a_bundle_that_fits_is_loaded(tmp_path: Path) -> None:
    """Signed by a trusted key, in time, for this configuration: it runs, and says what it is."""
    found = loaded(tmp_path, SEALED)

    assert isinstance(found, Bundle)
    assert (MANIFEST.action, SIGNAL, 50) == (found.manifest.action, found.signal, found.manifest.action.period)
    assert (MANIFEST.provenance, NOW + YEAR) == (found.manifest.provenance, found.manifest.expires)


def test_the_same_bundle_has_the_same_bytes() -> None:
    """Nothing of a bundle depends on when or where its file is written."""
    assert SEALED == seal(MANIFEST, WEIGHTS, KEY)


def test_a_bundle_is_an_archive_that_anybody_can_open(tmp_path: Path) -> None:
    """Any zip tool shows what is in it, and finds it whole."""
    path = tmp_path / "a.bundle"
    path.write_bytes(SEALED)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert [name.decode() for name in NAMES] == archive.namelist()
        assert WEIGHTS == archive.read("policy.onnx")
        assert {(1980, 1, 1, 0, 0, 0)} == {entry.date_time for entry in archive.infolist()}


def test_loading_needs_neither_torch_nor_onnx_nor_pickle(tmp_path: Path) -> None:
    """What a cabinet imports to run a bundle is onnxruntime, cryptography and numpy; no simulator and no trainer."""
    path = tmp_path / "a.bundle"
    path.write_bytes(SEALED)
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'onnx', 'gymnasium', 'stable_baselines3', 'libsumo', 'traci')))\n"
        "from pathlib import Path\n"
        "from models.bundle import describe\n"
        "from models.onnx_policy import OnnxPolicy\n"
        "print(describe(Path(sys.argv[1])).preset)"
    )

    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

    assert ("street\n", "") == (done.stdout, done.stderr)


REFUSED: list[tuple[type, str, Callable[[Path], Bundle | Refusal]]] = [
    (Unsigned, "not signed", lambda at: loaded(at, with_parts(lambda parts: parts._replace(signature=b"")))),
    (UnknownKey, "not trusted here", lambda at: loaded(at, SEALED, keys=())),
    (UnknownKey, "not trusted here", lambda at: loaded(at, seal(MANIFEST, WEIGHTS, OTHER))),
    (Revoked, "laptop lost", lambda at: loaded(at, SEALED, keys=(trusted(revoked=NOW, reason="laptop lost"),))),
    (Revoked, "revoked on 2026-06-02", lambda at: loaded(at, SEALED, keys=(trusted(revoked=NOW + timedelta(days=1)),))),
    (BadSignature, "'city'", lambda at: loaded(at, with_parts(lambda parts: parts._replace(signature=bytes(64))))),
    (BadSignature, "'city'", lambda at: loaded(at, with_parts(lambda parts: parts._replace(signature=b"short")))),
    (BadSignature, "changed after", lambda at: loaded(at, with_parts(_another_preset))),
    (Expired, "it expired on 2027-06-01 12:00", lambda at: loaded(at, SEALED, keys=(trusted(expires=NOW + 9 * YEAR),), now=NOW + YEAR)),
    (Expired, "the key 'city' expired", lambda at: loaded(at, SEALED, keys=(trusted(expires=NOW),))),
    (NotYetSigned, "is the clock right?", lambda at: loaded(at, SEALED, now=datetime(1970, 1, 1, tzinfo=UTC))),
    (WrongWeights, "not those", lambda at: loaded(at, with_parts(lambda parts: parts._replace(weights=network(favourite=1))))),
    (WrongWeights, "not those", lambda at: loaded(at, with_parts(lambda parts: parts._replace(weights=b"")))),
    (WrongWeights, "unusable", lambda at: loaded(at, seal(MANIFEST, b"no network", KEY))),
    (WrongWeights, "unusable", lambda at: loaded(at, seal(MANIFEST, WEIGHTS[:-200], KEY))),
    (WrongConfiguration, "'crossing'", lambda at: loaded(at, SEALED, config=parse(GOOD))),
    (WrongConfiguration, digest(WHOLE)[:12], lambda at: loaded(at, SEALED, config=replace(WHOLE, approved=True))),
    (WrongConfiguration, "not made for", lambda at: loaded(at, SEALED, config=SEEN)),
    (WrongPreset, "'resco'", lambda at: loaded(at, resealed(preset="resco"))),
    (WrongShapes, "takes 3 values", lambda at: loaded(at, seal(MANIFEST, network(3), KEY))),
    (WrongShapes, "rates 4 stages", lambda at: loaded(at, seal(MANIFEST, network(outputs=4), KEY))),
    (WrongShapes, "another observation", lambda at: loaded(at, resealed(signals=(replace(SIGNAL, probe="0" * 64),)))),
    (WrongShapes, "unknown observation", lambda at: loaded(at, resealed(observation=replace(MANIFEST.observation, kind="sonar")))),
    (WrongShapes, "3 stages, and 2 are rated", lambda at: loaded(at, resealed(action=replace(MANIFEST.action, stages=2)))),
    (WrongShapes, "does not fit", lambda at: loaded(at, resealed(observation=_smaller()))),
    (WrongShapes, "laid out as", lambda at: loaded(at, resealed(signals=(_laid_out_otherwise(),)))),
    (TooLarge, "too many", lambda at: loaded(at, bytes(bundles.LARGEST + 1))),
    (TooLarge, "manifest", lambda at: loaded(at, with_parts(lambda parts: parts._replace(manifest=b" " * (bundles.LARGEST_MANIFEST + 1))))),
    (NotABundle, "not where they belong", lambda at: loaded(at, b"")),
    (NotABundle, "not where they belong", lambda at: loaded(at, SEALED + b"\0")),
    (NotABundle, "not where they belong", lambda at: loaded(at, _deflated(at))),
    (NotABundle, "only 1 is known", lambda at: loaded(at, resealed(version=2))),
    (NotABundle, "canonical", lambda at: loaded(at, with_parts(lambda parts: parts._replace(manifest=parts.manifest + b" ")))),
    (NotABundle, "no file", lambda at: load(at / "none", trusted=Trust(), config=WHOLE, street=True, now=NOW)),
    (NotABundle, "no file", lambda at: load(at, trusted=Trust(), config=WHOLE, street=True, now=NOW)),
]


def _another_preset(parts: Parts) -> Parts:
    return parts._replace(manifest=parts.manifest.replace(b'"street"', b'"strict"'))


def _smaller() -> ObservationForm:
    layout = replace(SHARED, groups=2)
    return ObservationForm(kind="area", layout=layout, size=layout.size)


def _laid_out_otherwise() -> Signal:
    """Give the signal a layout of the same size with the blocks elsewhere: eight stages fewer would be one group more."""
    layout = Layout(stages=11, groups=2, channels=3, detectors=3)
    assert layout.size == SIGNAL.layout.size
    return replace(SIGNAL, layout=layout)


def _deflated(folder: Path) -> bytes:
    """Write the same parts as an ordinary compressed archive."""
    parts = unpack(SEALED)
    assert parts is not None
    with zipfile.ZipFile(folder / "ordinary.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in zip(NAMES, parts, strict=True):
            archive.writestr(name.decode(), part)
    return (folder / "ordinary.zip").read_bytes()


@pytest.mark.parametrize(("refusal", "words", "make"), REFUSED, ids=lambda value: getattr(value, "__name__", None))
def test_a_bundle_that_does_not_fit_is_refused_with_the_reason(
    refusal: type, words: str, make: Callable[[Path], Bundle | Refusal], tmp_path: Path
) -> None:
    """Each way in which a bundle can be wrong has its own refusal, in words."""
    found = make(tmp_path)

    assert not isinstance(found, Bundle)
    assert refusal is type(found)
    assert words in found.reason


def test_every_refusal_is_staged() -> None:
    """No kind of refusal stands in the union that the table above does not bring about."""
    assert set(Refusal.__args__) == {refusal for refusal, _, _ in REFUSED}


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """What is too large is refused by its size alone."""
    path = tmp_path / "huge.bundle"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    assert TooLarge(1 << 40) == load(path, trusted=Trust(), config=WHOLE, street=True, now=NOW)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A path that never ends is refused at once."""
    os.mkfifo(tmp_path / "pipe")

    assert isinstance(load(tmp_path / "pipe", trusted=Trust(), config=WHOLE, street=True, now=NOW), NotABundle)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_corrupted_bytes_are_always_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever happens to the file, it is a refusal: never an exception, and never a bundle that runs."""
    content = bytearray(SEALED)
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(len(content), begin + 2000)))
    content[begin:end] = data.draw(st.binary(max_size=64))
    if content == SEALED:
        return

    found = loaded(tmp_path, bytes(content))

    assert not isinstance(found, Bundle)
    assert found.reason


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), street=st.booleans())
def test_what_was_never_a_bundle_is_refused(tmp_path: Path, content: bytes, street: bool) -> None:
    """Any bytes at all are refused, and by the simulation too."""
    path = tmp_path / "a.bundle"
    path.write_bytes(content)

    assert isinstance(load(path, trusted=Trust((trusted(),)), config=WHOLE, street=street, now=NOW), NotABundle)
    assert isinstance(load_for_simulation(path, WHOLE), NotABundle)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["0001-01-01T00:00:00+23:59", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_manifest_of_anything_is_refused_even_if_it_is_signed(tmp_path: Path, data: st.DataObject) -> None:
    """Whoever holds a key can sign nonsense: a value of another kind, anywhere in the manifest, brings no exception."""
    document = json.loads(
        replace(MANIFEST, key=trusted().id, weights=WeightsForm(sha256=sha256(WEIGHTS).hexdigest(), size=len(WEIGHTS))).encoded()
    )
    node, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else data.draw(st.integers(0, len(node) - 1))
    node[key] = data.draw(json_values)
    manifest = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    found = loaded(tmp_path, pack(Parts(manifest, KEY.sign(b"phasewise bundle\n" + manifest), WEIGHTS)))

    assert isinstance(found, Bundle | Refusal)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_weights_of_anything_are_refused_or_run_even_if_they_are_signed(tmp_path: Path, data: st.DataObject) -> None:
    """A network that was damaged before it was signed brings no exception."""
    weights = bytearray(WEIGHTS)
    for _ in range(data.draw(st.integers(1, 4))):
        weights[data.draw(st.integers(0, len(weights) - 1))] = data.draw(st.integers(0, 255))

    found = loaded(tmp_path, seal(MANIFEST, bytes(weights), KEY))

    assert isinstance(found, Bundle | WrongWeights | WrongShapes)


RANGES = {"low": [0.0], "high": [1.0], "mean": [0.5], "scale": [0.5], "usual": 1.0, "count": 1}


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("signals",), [], "made for no signal"),
        (("signals", 0, "seen"), RANGES, "ranges that do not fit the layout"),
        (("signals", 0, "seen", "low"), [0.0], "different lengths"),
        (("signals", 0, "seen", "usual"), 0.0, "not positive"),
        (("signals", 0, "seen", "scale", 0), 0, "not positive"),
        (("signals", 0, "seen", "mean", 0), 1e300, "no observation has"),
        (("signals", 0, "seen", "mean", 0), 10**400, "cannot be read"),
        (("signals", 0, "layout", "stages"), 0, "layout.stages"),
        (("observation", "size"), SHARED.size + 1, "does not fit the layout"),
        (("action", "period"), 0, "nobody can take"),
        (("action", "epoch"), 50, "nobody can take"),
        (("action", "epoch"), -1, "nobody can take"),
        (("action", "stages"), 0, "nobody can take"),
        (("action", "stages"), True, "stages is of another type"),
        (("action", "stages"), 5.0, "stages is of another type"),
        (("action", "kind"), "cycle", "nobody can take"),
        (("action", "more"), 1, "ActionForm has other fields"),
        (("signed",), "2026-06-01T12:00:00", "no time zone"),
        (("expires",), "0001-01-01T00:00:00+23:59", "cannot be read"),
        (("expires",), "2027-06-01T12:00:00+00:00", "canonical"),
        (("provenance", "versions", "torch"), 2, "versions is of another type"),
        (("provenance",), None, "Provenance has other fields"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(where: tuple[Any, ...], value: object, words: str, tmp_path: Path) -> None:
    """Every value has its type and its range, and says so, whoever signed it."""
    document: Any = json.loads(MANIFEST.encoded())
    node = document
    for step in where[:-1]:
        node = node[step]
    node[where[-1]] = value
    manifest = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    found = loaded(tmp_path, pack(Parts(manifest, KEY.sign(b"phasewise bundle\n" + manifest), WEIGHTS)))

    assert isinstance(found, NotABundle)
    assert words in found.reason


def test_a_manifest_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    """Brackets without end exhaust nothing."""
    for manifest in (b"[" * 1_000_000, b'{"version":1,"preset":' + b'{"a":' * 100_000, b'{"version":' + b"9" * 10_000 + b"}"):
        found = loaded(tmp_path, pack(Parts(manifest, bytes(64), WEIGHTS)))

        assert isinstance(found, NotABundle)


def test_a_benchmark_bundle_runs_in_a_simulation_only(tmp_path: Path) -> None:
    """The preset of the benchmark is no obstacle in a simulation, whoever signed; the signal must fit all the same."""
    path = tmp_path / "a.bundle"
    path.write_bytes(resealed(preset="resco"))

    assert isinstance(load(path, trusted=Trust((trusted(),)), config=SEEN, street=False, now=NOW), Bundle)
    assert isinstance(load_for_simulation(path, SEEN), Bundle)
    assert isinstance(load_for_simulation(path, parse(GOOD)), WrongConfiguration)


def test_a_new_key_stands_beside_the_old(tmp_path: Path) -> None:
    """While keys rotate both are good; the old one's bundles end with it, the new one's go on."""
    both = (trusted(), TrustedKey(name="city-2027", public=OTHER.public_key().public_bytes_raw(), expires=NOW + 3 * YEAR))
    later = NOW + YEAR
    lasting = replace(MANIFEST, expires=NOW + 2 * YEAR)

    old, new = seal(lasting, WEIGHTS, KEY), seal(lasting, WEIGHTS, OTHER)

    assert [Bundle, Bundle] == [type(loaded(tmp_path, each, keys=both)) for each in (old, new)]
    assert [Expired, Bundle] == [type(loaded(tmp_path, each, keys=both, now=later)) for each in (old, new)]


def test_equal_configurations_have_equal_digests() -> None:
    """What decides is what a file says, not how it is written, nor the tables of others in it."""
    for config in (WHOLE, parse(GOOD), parse(RINGS)):
        assert digest(config) == digest(parse(to_toml(replace(config, extensions={"sumo": {"id": "x"}}))))
    whole, half = (GOOD.replace('id = "loop 2"\n', f'id = "loop 2"\nlength = {length}\n') for length in ("3", "3.0"))

    assert digest(parse(whole)) == digest(parse(half))
    assert digest(parse(GOOD)) == digest(parse(GOOD.replace("version = 1\n", "version = 1\n\n# a remark\n")))


def test_different_configurations_have_different_digests() -> None:
    """A time, an order of detectors, a stage's permissive phase, an approval: each makes another digest."""
    document = GOOD
    changes = [("min_green = 60", "min_green = 61"), ("time = 55", "time = 56"), ("offset = 10", "offset = 11"), ("06:00", "06:30")]
    changes += [
        ("[0, 1, 2, 3, 4]", "[0, 1, 2, 3]"),
        ("locking = true", "locking = false"),
        ("version = 1\n", "version = 1\napproved = true\n"),
    ]
    every = [parse(document), *(parse(document.replace(*change)) for change in changes)]
    every += [replace(SEEN, detectors=order) for order in permutations(SEEN.detectors)]

    assert len(every) == len({digest(config) for config in every})


def test_what_a_policy_does_not_see_changes_nothing_of_the_probe() -> None:
    """The same observation comes from the whole file as from a simulation's; from another order of detectors another one."""
    loops = crossing(*LOOPS)

    assert probe(WHOLE, "loops") == probe(loops, "loops")
    assert probe(WHOLE, "area") == probe(SEEN, "area")
    assert probe(loops, "loops") != probe(replace(loops, detectors=loops.detectors[1:]), "loops")


def test_the_digest_is_the_same_everywhere() -> None:
    """It is part of every bundle that was ever written: another value would make all of them useless."""
    assert digest(parse(GOOD)) == "60dd99d002f676fb5171273217ac78f96e1ca901b6cf2f535d7402be43f6ead1"


def test_the_policy_proposes_the_best_open_stage(tmp_path: Path) -> None:
    """Of the stages that the gate would begin now the best rated one is proposed; padding beyond the signal's own never is."""
    config = WHOLE
    seen = readings(config)
    young, old = running(config, 0, since=0, now=20), running(config, 0, since=0, now=600)

    proposals = [policy(tmp_path, network(favourite=favourite)).propose(look(old, seen)).stage for favourite in range(STAGES)]

    assert [0, 1, 2, 2, 2] == proposals
    assert policy(tmp_path).propose(look(young, seen)).stage == 0
    assert [True, False, False] == stage_mask(young, config.tables)


def test_the_policy_tells_how_strange_an_observation_is(tmp_path: Path) -> None:
    """Within what training saw the distance is small and nothing lies outside; a failed detector that training never knew is told."""
    found = loaded(tmp_path, resealed(signals=(replace(SIGNAL, seen=_narrow()),)))
    assert isinstance(found, Bundle)
    judged = OnnxPolicy(WHOLE, found)
    state = running(WHOLE, 0, now=600)

    judged.propose(look(state, readings(WHOLE)))
    usual = judged.departure
    judged.propose(look(state, readings(WHOLE, failed=("area main", "area left", "area side"))))
    strange = judged.departure

    assert usual is not None
    assert strange is not None
    assert (0.0, 0) == usual
    assert (3 + 3, True) == (strange.outside, strange.distance > 1.0)


def test_what_lies_beyond_the_range_is_counted_on_both_sides() -> None:
    """A value counts as outside when it is further out than the margin, above or below."""
    seen = Seen(count=10, low=(0.3, 0.3), high=(0.6, 0.6), mean=(0.5, 0.5), scale=(0.1, 0.1), usual=2.0)
    cases = {(0.5, 0.5): 0, (0.26, 0.64): 0, (0.24, 0.5): 1, (0.5, 0.66): 1, (0.0, 1.0): 2}

    assert list(cases.values()) == [seen.departure(np.array(vector, np.float32)).outside for vector in cases]
    assert seen.departure(np.array([0.7, 0.7], np.float32)).distance == pytest.approx(1.0)


def _narrow() -> Seen:
    """Say that training saw a single observation, again and again."""
    one = tuple(encode(ObservationSpec(WHOLE, kind("area")), running(WHOLE, 0, now=600), readings(WHOLE)).tolist())
    return Seen(count=2, low=one, high=one, mean=one, scale=(0.05,) * len(one), usual=0.5)


def test_a_policy_that_cannot_answer_says_so(tmp_path: Path) -> None:
    """NaN in a reading or in the answer, and what belongs to another signal, is a fault of the policy and no proposal."""
    good = readings(WHOLE)
    broken = readings(WHOLE)
    broken.values[0, 0] = np.nan
    foreign = crossing(DetectorKind.AREA)
    state = running(WHOLE, 0)
    cases: list[tuple[bytes, Observation, str]] = [
        (WEIGHTS, look(state, broken), "a reading is no number"),
        (network(nan=True), look(state, good), "answer is no number"),
        (WEIGHTS, look(state, readings(foreign)), "readings of the shape"),
        (WEIGHTS, look(state._replace(stage=3), good), "another signal"),
        (WEIGHTS, look(state._replace(target=7), good), "another signal"),
        (WEIGHTS, look(start(parse(RINGS).tables, 0, 0), good), "another signal"),
    ]

    for weights, observation, words in cases:
        with pytest.raises(PolicyFault, match=words):
            policy(tmp_path, weights).propose(observation)


def test_the_policy_is_repeatable(tmp_path: Path) -> None:
    """The same observation gives the same rating to the last bit, in one session and in the next."""
    vector = np.linspace(0, 1, SHARED.size, dtype=np.float32)[None]

    rated = [policy(tmp_path).bundle.network.rate(vector).tobytes() for _ in range(3)]

    assert 1 == len(set(rated))
