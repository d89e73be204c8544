import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN

from envs.results import EpisodeResult
from envs.scenario import find
from envs.sumo_network import STREET, write_network
from envs.toml_writer import to_toml
from envs.traffic import network_of
from intersection.config import IntersectionConfig, load
from intersection.detection import Values
from intersection.errors import ConfigError, RuntimeFault
from intersection.layout import Layout
from intersection.observation import Observation, ObservationSpec, kind
from models import bundle as bundles
from models._network import Network
from models.bundle import Bundle, WrongConfiguration, WrongPreset, describe
from models.manifest import Manifest
from models.onnx_policy import OnnxPolicy, Recorder, Recording
from models.training import export
from models.training.export import Agreement, compare, layers_of, model_of, seen_in, to_onnx
from models.training.trained import Description, add_description
from models.trust import read
from phasewise import exporting
from phasewise.evaluating import run_all, runs_of
from phasewise.exporting import export_policy
from phasewise.keys import new_key, trust_keys
from tests.models.contract import crowd
from tests.models.crossing import AREA, BUTTON, crossing, running
from tests.phasewise.command_line import phasewise, street

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Still(gymnasium.Env[Any, Any]):
    """A world of the right shapes in which nothing happens: a network is made for it, and never trained."""

    def __init__(self, size: int, answers: int) -> None:
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(answers)


def untrained(path: Path, known: Description) -> Path:
    """Save a network as `phasewise train` would: of chance weights, but for a wish to leave the stage that runs."""
    env = Still(known.layout.size, known.layout.stages)
    shape = {"net_arch": [16, 16]}
    model: Any
    if known.algorithm == "ppo":
        model = MaskablePPO("MlpPolicy", env, seed=3, policy_kwargs=shape, device="cpu", n_steps=8, batch_size=8)
    else:
        model = DQN("MlpPolicy", env, seed=3, policy_kwargs=shape, device="cpu", buffer_size=10)
    with torch.no_grad():
        first, second, last = (layer for layer in layers_of(model).modules() if isinstance(layer, torch.nn.Linear))
        for at in range(known.layout.stages):  # it tires of the stage that runs
            first.weight[at, at] += 3.0
            second.weight[at, at] += 3.0
            last.weight[at, at] -= 5.0
    model.save(path)
    add_description(path, known)
    return path


def description(config: IntersectionConfig, **changes: Any) -> Description:
    """Describe a policy that was trained for signals with more stages, groups and detectors than one."""
    own = Layout.of(ObservationSpec(config, kind("area")))
    known = Description(
        algorithm="ppo",
        observation="area",
        preset="street",
        scenario="good.sumocfg",
        period=50,
        layout=Layout(stages=own.stages + 2, groups=own.groups + 1, channels=own.channels, detectors=own.detectors + 1),
        seed=1,
        steps=0,
        validation_delay_s=float("nan"),
    )
    return replace(known, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder where commands run: a small scenario, a key, the list that trusts it, a policy with its bundle."""
    folder = street(tmp_path_factory.mktemp("street"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        new_key("city", folder=folder, days=30, passphrase_file=None, now=NOW)
        trust_keys(folder / "city.pub", trusted=folder / "trusted.toml")
        export_quickly(untrained(folder / "made.zip", description(signal_of("resco"), preset="resco", steps=7, validation_delay_s=12.3456)))
        yield folder


def signal_of(preset: str = "street") -> IntersectionConfig:
    """Give the configuration of the small scenario's one signal."""
    [run] = runs_of("good.sumocfg", ["fixed_time"], [101], observation="area", preset=preset)
    return run.network.signals[0].config


def export_quickly(policy: Path, **changes: Any) -> Path:
    """Export with few observations."""
    options: dict[str, Any] = {
        "config": None,
        "scenario": "",
        "key": Path("city.key"),
        "passphrase_file": None,
        "days": 10,
        "out_file": None,
    }
    return export_policy(policy, **{**options, "observations": 60, "now": NOW, **changes})


def recorded(weights: bytes, known: Description, config: IntersectionConfig, count: int) -> list[tuple[Layout, Recording]]:
    """Let a network answer chance readings at a crossing."""
    rng, network = np.random.default_rng(5), Network(weights)
    recorder = Recorder(config, network, observation="area", layout=known.layout, period=known.period)
    for _ in range(count):
        state = running(config, int(rng.integers(3)), now=int(rng.integers(1200)))
        recorder.propose(Observation(state, crowd(config, rng)))
    return [(Layout.of(ObservationSpec(config, kind("area"))), recorder.recording)]


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_onnx_and_torch_agree(algorithm: str, tmp_path: Path) -> None:
    """On chance observations the ratings differ by less than 1e-5, and the same stage is proposed each time; many are, one by one."""
    config = crossing(*AREA, *BUTTON)
    known = description(config, algorithm=algorithm)
    model = model_of(untrained(tmp_path / "a.zip", known))
    weights = to_onnx(layers_of(model))
    recordings = recorded(weights, known, config, 1_000)

    found = compare(model, weights, recordings, known.layout)

    assert {0, 1, 2} == set(recordings[0][1].stages.tolist())
    assert (1_000, 0) == (found.observations, found.other_stages)
    assert 0.0 < found.difference < 1e-5


def test_a_network_that_says_something_else_does_not_agree(tmp_path: Path) -> None:
    """A weight that was lost on the way is found, by its ratings and by its stages."""
    config = crossing(*AREA, *BUTTON)
    known = description(config)
    model = model_of(untrained(tmp_path / "a.zip", known))
    weights = to_onnx(layers_of(model))
    recordings = recorded(weights, known, config, 100)
    with torch.no_grad():
        model.policy.action_net.bias[1] += 20.0

    found = compare(model, weights, recordings, known.layout)

    assert found.difference > 0.1
    assert found.other_stages > 0
    assert not found.holds


def test_any_number_too_far_apart_is_no_agreement() -> None:
    """Just within the tolerance holds; a hair beyond it, another stage or NaN does not."""
    held = [Agreement(10, 1e-5, 0), Agreement(10, 1.01e-5, 0), Agreement(10, 0.0, 1), Agreement(10, float("inf"), 0)]

    assert [True, False, False, False] == [each.holds for each in held]


def test_nan_is_no_agreement(tmp_path: Path) -> None:
    """NaN compares with nothing, and is told as an infinite difference."""
    config = crossing(*AREA, *BUTTON)
    known = description(config)
    model = model_of(untrained(tmp_path / "a.zip", known))
    weights = to_onnx(layers_of(model))
    with torch.no_grad():
        model.policy.action_net.bias[1] = float("nan")

    found = compare(model, weights, recorded(weights, known, config, 10), known.layout)

    assert (float("inf"), False) == (found.difference, found.holds)


def test_the_same_weights_have_the_same_bytes(tmp_path: Path) -> None:
    """An export depends on nothing but the weights."""
    model = model_of(untrained(tmp_path / "a.zip", description(crossing(*AREA))))

    assert to_onnx(layers_of(model)) == to_onnx(layers_of(model))


def test_what_has_no_form_in_onnx_here_is_refused() -> None:
    """A layer that is not known is named; nothing is left out in silence."""
    with pytest.raises(ConfigError, match="layer = 'GELU'"):
        to_onnx(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.GELU()))
    with pytest.raises(ConfigError, match="without a layer"):
        to_onnx(torch.nn.Sequential(torch.nn.Flatten()))


def test_relu_and_tanh_stand_where_they_stood() -> None:
    """Each activation is written as what it is."""
    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    vectors = np.random.default_rng(1).random((20, 3)).astype(np.float32)

    with torch.no_grad():
        wanted: Values = layers(torch.from_numpy(vectors)).numpy()

    assert np.abs(Network(to_onnx(layers)).rate(vectors) - wanted).max() < 1e-6


def test_what_training_saw_is_usual_and_anything_else_is_strange() -> None:
    """Of what is drawn as in training about one in a thousand lies beyond the usual distance; what is drawn otherwise lies beyond it."""
    rng = np.random.default_rng(2)
    known = (0.5 + 0.1 * rng.standard_normal((5_000, 20))).clip(0, 1).astype(np.float32)
    fresh = (0.5 + 0.1 * rng.standard_normal((5_000, 20))).clip(0, 1).astype(np.float32)
    seen = seen_in(known)

    beyond = sum(seen.departure(vector).distance > 1.0 for vector in fresh)
    strange = seen.departure(np.full(20, 0.95, np.float32))

    assert 0 < beyond < 25
    assert strange.distance > 2.0
    assert seen.count == 5_000
    assert all(low <= least for low, least in zip(seen.low, known.min(axis=0).tolist(), strict=True))
    assert all(high >= most for high, most in zip(seen.high, known.max(axis=0).tolist(), strict=True))


def test_a_value_that_never_changed_in_training_is_told_when_it_does() -> None:
    """A detector that always worked in training and fails now is outside, and the more of them the stranger."""
    known = np.ones((100, 10), np.float32)
    known[:, 0] = np.linspace(0, 1, 100)
    seen = seen_in(known)
    one, all_ = np.ones(10, np.float32), np.zeros(10, np.float32)
    one[5] = 0.0

    assert [0, 1, 9] == [seen.departure(vector).outside for vector in (np.ones(10, np.float32), one, all_)]
    assert seen.departure(one).distance < seen.departure(all_).distance


def stages(result: EpisodeResult) -> list[tuple[float, int]]:
    """List when which stage began."""
    assert result.series is not None
    return [(item.start_s, item.stage) for item in result.series.stages]


def test_a_bundle_decides_what_its_policy_does(folder: Path) -> None:
    """In the same run, each side in a fresh process, every stage begins at the same instant; and no display is illegal."""
    other = untrained(folder / "other.zip", description(signal_of("resco"), algorithm="dqn", preset="resco"))
    names = ["made.zip", "made.bundle", str(other), str(export_quickly(other))]

    results = run_all(runs_of("good.sumocfg", names, [101], observation="area", preset="resco", series=True), title="", quiet=True)
    ppo, its_bundle, dqn, its_own = [*map(stages, results)]

    assert min(len(ppo), len(dqn)) > 8
    assert (ppo, dqn) == (its_bundle, its_own)
    assert ["made", "made", "other", "other"] == [result.policy for result in results]
    assert [0] * 4 == [result.figures.violations for result in results]
    assert replace(results[0].figures, wall_s=0.0) == replace(results[1].figures, wall_s=0.0)


def test_a_bundle_is_made_for_a_file(folder: Path) -> None:
    """An approved intersection.toml gets its own bundle, which a cabinet loads with that file, and with no other."""
    [path] = write_network(network_of(find("good.sumocfg"), STREET), folder / "signals")
    proposed = load(path)
    path.write_text(to_toml(replace(proposed, approved=True, extensions={})))  # by an agency, that knows nothing of SUMO
    approved = load(path)
    policy = untrained(folder / "street.zip", description(proposed))
    keys, now = read(folder / "trusted.toml"), NOW + timedelta(days=9)

    bundle = export_quickly(policy, config=path)
    found = bundles.load(bundle, trusted=keys, config=approved, street=True, now=now)

    assert isinstance(found, Bundle)
    assert OnnxPolicy(approved, found).period == 50
    assert isinstance(bundles.load(bundle, trusted=keys, config=proposed, street=True, now=now), WrongConfiguration)
    assert isinstance(bundles.load(bundle, trusted=keys, config=approved, street=True, now=now + timedelta(days=1)), bundles.Expired)


def test_a_bundle_tells_where_its_policy_comes_from(folder: Path) -> None:
    """Scenario, seeds, versions, when it was trained, and what its observations were; the same export gives the same bytes."""
    again = export_quickly(folder / "made.zip", out_file=folder / "again.bundle").read_bytes()
    manifest = describe(folder / "made.bundle")

    assert isinstance(manifest, Manifest)
    assert (folder / "made.bundle").read_bytes() == again
    origin = manifest.provenance
    assert ("ppo", "good.sumocfg", 1, 7, 12.346) == (
        origin.algorithm,
        origin.scenario,
        origin.training_seed,
        origin.steps,
        origin.validation_delay_s,
    )
    assert (72, (1_000_000, 1_000_001, 1_000_002)) == (origin.recorded, origin.recorded_seeds)
    assert find("good.sumocfg").sha256 == origin.scenario_sha256
    assert {"numpy", "onnx", "phasewise", "stable-baselines3", "sumo", "torch"} == set(origin.versions)
    assert ("resco", 50, 0, [72]) == (
        manifest.preset,
        manifest.action.period,
        manifest.action.epoch,
        [signal.seen.count for signal in manifest.signals],
    )


def test_a_benchmark_policy_never_reaches_a_cabinet(folder: Path) -> None:
    """The benchmark's times make a bundle that no cabinet loads, whatever else fits."""
    config = signal_of("resco")

    found = bundles.load(folder / "made.bundle", trusted=read(folder / "trusted.toml"), config=config, street=True, now=NOW)

    assert WrongPreset("resco") == found


def test_nothing_is_written_unless_the_networks_agree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ONNX says something else than torch, the fault is ours and there is no bundle."""
    monkeypatch.setattr(export, "compare", lambda *_: Agreement(10_000, 2e-5, 0))

    with pytest.raises(RuntimeFault, match=r"differ by at most 2.0e-05 .*nothing was written"):
        export_quickly(folder / "made.zip", out_file=folder / "none.bundle")

    assert not (folder / "none.bundle").exists()


def test_a_bundle_of_another_street_cannot_be_evaluated(folder: Path) -> None:
    """On other times or another signal it is refused with its reason; a file that is no bundle likewise."""
    (folder / "noise.bundle").write_bytes(b"noise")
    arguments = ("--seeds", "101", "--json")

    other = phasewise("evaluate", "good.sumocfg", "--policy", "made.bundle", "--preset", "street", *arguments, folder=folder)
    noise = phasewise("evaluate", "good.sumocfg", "--policy", "noise.bundle", *arguments, folder=folder)
    none = phasewise("evaluate", "good.sumocfg", "--policy", "mad.bundle", *arguments, folder=folder)

    assert [2, 2, 2] == [said.code for said in (other, noise, none)]
    assert "not made for this intersection.toml" in other.err
    assert "this is no bundle" in noise.err
    assert "did you mean 'made.bundle'" in none.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": Path("cty.key")}, "did you mean 'city.key'"),
        ({"config": Path("none.toml")}, "none.toml: cannot be read"),
        ({"scenario": "resco:cologne9"}, "did you mean 'resco:cologne"),
        ({"config": Path("other.toml")}, "0 signals of the scenario have its phases and detectors"),
        ({"config": Path("elsewhere.toml")}, "no such signal"),
        ({"config": Path("shuffled.toml")}, "another order than the policy knows"),
        ({"config": Path("turned.toml")}, "not those that the policy knows"),
    ],
)
def test_an_export_that_cannot_be_says_why(changes: dict[str, Any], words: str, folder: Path) -> None:
    """A key, a file or a scenario that is missing or foreign is named before anything is simulated."""
    (folder / "other.toml").write_text(to_toml(crossing(*AREA, *BUTTON)))
    [path] = write_network(network_of(find("good.sumocfg"), STREET), folder / "signals")
    (folder / "shuffled.toml").write_text(to_toml(replace(load(path), detectors=load(path).detectors[::-1])))
    table = path.read_text().replace(to_toml(replace(load(path), extensions={})), "")
    turned = replace(load(path), stages=load(path).stages[::-1], extensions={})
    (folder / "turned.toml").write_text(to_toml(turned) + table)
    (folder / "elsewhere.toml").write_text(path.read_text().replace('id = "B"', 'id = "Z"'))

    with pytest.raises((ConfigError, LookupError), match=words):
        export_quickly(folder / "made.zip", out_file=folder / "none.bundle", **changes)

    assert not (folder / "none.bundle").exists()


def test_what_no_cabinet_sees_is_not_exported(folder: Path) -> None:
    """A policy that was trained on whole lanes, or for smaller signals, gets no bundle."""
    lanes = description(signal_of(), observation="lanes")
    small = description(signal_of(), layout=Layout(stages=1, groups=1, channels=3, detectors=1))

    with pytest.raises(ConfigError, match="no cabinet can see that"):
        export_quickly(untrained(folder / "lanes.zip", lanes))
    with pytest.raises(ConfigError, match="does not fit"):
        export_quickly(untrained(folder / "small.zip", small))


def test_a_whole_export_needs_ten_thousand_observations() -> None:
    """That is what the command records, and no option makes it fewer."""
    assert 10_000 == exporting.OBSERVATIONS


def test_what_runs_a_bundle_reports_to_nobody(tmp_path: Path) -> None:
    """Importing the runtime leaves no session file, which is what its telemetry begins with."""
    subprocess.run([sys.executable, "-c", "import onnxruntime"], check=True, env={**os.environ, "TMPDIR": str(tmp_path)})

    assert [] == list(tmp_path.iterdir())
