"""`phasewise export`: a trained policy becomes a bundle that a cabinet can run, once it is proved to say the same."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import version
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs.evaluation import control
from envs.files import writable_folder, write_atomically
from envs.scenario import Scenario, check_routes, find
from envs.seeds import Split
from envs.simulation import TENTHS, Simulation
from envs.sumo_network import PRESETS, Network, SumoSignal, read_signal
from envs.sumo_session import sumo_version
from envs.traffic import network_of
from intersection.config import IntersectionConfig, load
from intersection.errors import ConfigError, RuntimeFault, UnknownNameError
from intersection.layout import Layout
from intersection.observation import ObservationSpec, kind
from models._network import Network as Rating
from models.bundle import STREETS, digest, probe, seal
from models.manifest import VERSION, ActionForm, Manifest, ObservationForm, Provenance, Signal, WeightsForm
from models.onnx_policy import Recorder, Recording
from models.training.trained import ENTRY, Description, describe
from models.trust import key_id
from phasewise import parallel
from phasewise.console import out
from phasewise.keys import secret_key

if TYPE_CHECKING:
    from models.training.export import Agreement

OBSERVATIONS = 10_000
"""How many observations the two networks are compared on."""

JITTER_S = 10.0
"""Each vehicle of a recorded episode departs up to this much later, as in training, in seconds."""

SCALES = (0.8, 1.2)
"""From which the demand's factor of a recorded episode is drawn, as in training."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode whose observations are recorded."""

    scenario: Scenario
    network: Network
    weights: bytes
    described: Description
    seed: int


def record(episode: Episode) -> list[Recording]:
    """Run an episode, and give what the policy of each signal was given."""
    known, rating = episode.described, Rating(episode.weights)
    with _simulation(episode.scenario, episode.network, known.observation) as simulation:
        scale = float(np.random.default_rng(episode.seed).uniform(*SCALES))
        simulation.reset(episode.seed, scale=scale, extra_args=("--random-depart-offset", str(JITTER_S)))
        recorders = [
            Recorder(signal.config, rating, observation=known.observation, layout=known.layout, period=known.period)
            for signal in simulation.signals_of
        ]
        control(simulation, recorders)
        return [recorder.recording for recorder in recorders]


def _simulation(scenario: Scenario, network: Network, observation: str) -> Simulation:
    return Simulation(scenario, network, sensors=kind(observation).detectors)


def export_policy(
    policy: Path,
    *,
    config: Path | None,
    scenario: str,
    key: Path,
    passphrase_file: Path | None,
    days: int,
    out_file: Path | None,
    observations: int = OBSERVATIONS,
    workers: int = 0,
    now: datetime | None = None,
) -> Path:
    """Turn a trained policy into a signed bundle.

    Args:
        policy: what `phasewise train` wrote.
        config: the `intersection.toml` that it is made for; None: all signals of the scenario.
        scenario: where observations are recorded; where it was trained, if empty.
        key: the secret half of the key that signs.
        passphrase_file: what opens the key; None where nothing does.
        days: how long the bundle is good.
        out_file: the bundle; POLICY.bundle by default.
        observations: how many are recorded, at least.
        workers: runs at a time; 0: one a core.
        now: when it is signed; the present by default.

    Returns:
        The bundle's file.

    Raises:
        UserError: something that was asked for does not exist or fit.
        RuntimeFault: the two networks disagree; nothing was written.
    """
    from models.training.export import compare, layers_of, model_of, seen_in, to_onnx  # torch, which recording needs not wait for

    signing = secret_key(key, passphrase_file)
    described = describe(policy)
    if kind(described.observation).whole_lane:
        raise ConfigError(
            "no cabinet can see that", key="observation", value=described.observation, allowed="a policy that sees area or loops"
        )
    path = (out_file or policy.with_suffix(".bundle")).resolve()
    writable_folder(path.parent)
    found = find(scenario or described.scenario)
    check_routes(found)
    if described.preset not in PRESETS:
        raise UnknownNameError("preset", described.preset, PRESETS)
    network = network_of(found, PRESETS[described.preset])
    wanted = range(len(network.signals))
    imported = [signal.config for signal in _simulation(found, network, described.observation).signals_of]
    if config is not None:
        own = _standing(config, network)
        at = next(at for at, signal in enumerate(network.signals) if signal.id == own.id)
        network = replace(network, signals=(*network.signals[:at], own, *network.signals[at + 1 :]))
        wanted = range(at, at + 1)
    simulation = _simulation(found, network, described.observation)
    pairs = [(network.signals[at].config, simulation.signals_of[at].config) for at in wanted]
    layouts = [_layout(network.signals[at].config, imported[at], described) for at in wanted]

    decisions = found.duration * TENTHS / described.period * len(wanted)
    first = Split.TRAIN.value[0]
    seeds = tuple(range(first, first + ceil(observations / decisions)))
    model = model_of(policy.resolve())
    weights = to_onnx(layers_of(model))
    episodes = [Episode(scenario=found, network=network, weights=weights, described=described, seed=seed) for seed in seeds]
    recorded = _recorded(episodes, workers)
    recordings = [_joined([every[at] for every in recorded]) for at in wanted]

    agreement = compare(model, weights, list(zip(layouts, recordings, strict=True)), described.layout)
    _tell(agreement)
    signed = (now or datetime.now(UTC)).replace(microsecond=0)
    manifest = Manifest(
        version=VERSION,
        preset=described.preset,
        weights=WeightsForm(sha256="", size=0),
        observation=ObservationForm(kind=described.observation, layout=described.layout, size=described.layout.size),
        action=ActionForm(
            kind="stage",
            stages=int(model.action_space.n),
            period=described.period,
            epoch=round(found.begin * TENTHS) % described.period,
        ),
        signals=tuple(
            Signal(
                name=whole.name,
                configuration=digest(whole),
                as_seen=digest(seen),
                layout=layout,
                probe=probe(seen, described.observation),
                seen=seen_in(recording.vectors),
            )
            for (whole, seen), layout, recording in zip(pairs, layouts, recordings, strict=True)
        ),
        provenance=_provenance(policy, described, found, seeds, agreement),
        key="",
        signed=signed,
        expires=signed + timedelta(days=days),
    )
    write_atomically(path, seal(manifest, weights, signing))
    _say(path, manifest, key_id(signing.public_key().public_bytes_raw()))
    return path


def _recorded(episodes: Sequence[Episode], workers: int) -> list[list[Recording]]:
    """Record episodes side by side, in their own order: each in a fresh process, so that the same bundle comes out every time."""
    found: dict[int, list[Recording]] = dict(parallel.each(record, episodes, title="recording observations", workers=workers or None))
    return [found[at] for at in range(len(episodes))]


def _joined(recordings: Sequence[Recording]) -> Recording:
    return Recording(*(np.concatenate([getattr(each, name) for each in recordings]) for name in ("vectors", "open_", "stages")))


def _standing(path: Path, network: Network) -> SumoSignal:
    """Find the signal of a network that an `intersection.toml` is of, and put the file's configuration in its place.

    Raises:
        ConfigError: the file cannot be used, or no signal has its phases and detectors.
    """
    config = load(path)
    known = {signal.id: signal for signal in network.signals}
    if "sumo" in config.extensions:
        own = read_signal(path)
        if own.id not in known:
            raise ConfigError("the scenario has no such signal", source=str(path), key="sumo.id", value=own.id, allowed=", ".join(known))
        if not _same_street(known[own.id].config, config):
            raise ConfigError("its phases or stages are not those that the policy knows", source=str(path), allowed="other times only")
        return own
    detectors = {detector.id for detector in config.detectors}
    alike = [
        signal
        for signal in network.signals
        if _same_street(signal.config, config) and detectors == {detector.id for detector in signal.config.detectors}
    ]
    if len(alike) != 1:
        raise ConfigError(
            f"{len(alike)} signals of the scenario have its phases and detectors",
            source=str(path),
            allowed="one; or the table `sumo` that `phasewise import` writes",
        )
    return replace(alike[0], config=config)


def _same_street(one: IntersectionConfig, other: IntersectionConfig) -> bool:
    """Tell whether two configurations have the same groups and stages in the same order, whatever their times."""
    streets = [([group.number for group in each.tables.groups], [stage.phases for stage in each.stages]) for each in (one, other)]
    return streets[0] == streets[1]


def _layout(config: IntersectionConfig, imported: IntersectionConfig, described: Description) -> Layout:
    """Lay out a signal's observation, whose detectors must stand in the order in which the policy was trained with them.

    Args:
        config: what the bundle is made for.
        imported: the signal as simulations know it.
        described: the policy.

    Raises:
        ConfigError: they do not, or the policy was trained for smaller signals.
    """
    field, trained = (ObservationSpec(each, kind(described.observation)) for each in (config, imported))
    own, known = ([detector.id for detector in spec.detectors] for spec in (field, trained))
    if own != known:
        raise ConfigError(
            f"signal {config.name!r}: its detectors stand in another order than the policy knows, or are others",
            key="detector",
            value=own,
            allowed=str(known),
        )
    layout = Layout.of(field)
    described.layout.places(layout)
    return layout


def _tell(agreement: "Agreement") -> None:
    """Say how the two networks compare. Raises RuntimeFault where one cannot take the other's place."""
    said = (
        f"{agreement.observations:,} recorded observations: ONNX and torch differ by at most {agreement.difference:.1e}"
        f" (allowed {agreement.allowed:.0e}), and propose another stage {agreement.other_stages} times"
    )
    if not agreement.holds:
        raise RuntimeFault(f"{said}; nothing was written")
    out.print(said, soft_wrap=True)


def _say(path: Path, manifest: Manifest, key: str) -> None:
    use = "may run in a cabinet" if manifest.preset in STREETS else f"made with the times of {manifest.preset!r}: no cabinet loads it"
    out.print(
        f"{path.name}: for {len(manifest.signals)} signal(s), {use}; signed by {key}, good until {manifest.expires:%Y-%m-%d}; {path}",
        soft_wrap=True,
    )


def _provenance(policy: Path, described: Description, found: Scenario, seeds: tuple[int, ...], agreement: "Agreement") -> Provenance:
    delay = described.validation_delay_s
    with zipfile.ZipFile(policy) as archive:
        year, month, day, hour, minute, second = archive.getinfo(ENTRY).date_time
    return Provenance(
        algorithm=described.algorithm,
        scenario=described.scenario,
        scenario_sha256=found.sha256,
        training_seed=described.seed,
        steps=described.steps,
        validation_delay_s=round(delay, 3) if isfinite(delay) else -1.0,
        trained=f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}",
        policy_sha256=sha256(policy.read_bytes()).hexdigest(),
        recorded=agreement.observations,
        recorded_seeds=seeds,
        agreement=agreement.difference,
        versions={"sumo": sumo_version(), **{name: version(name) for name in ("phasewise", "numpy", "onnx", "stable-baselines3", "torch")}},
    )
