"""The commands, and nothing else: each says what it takes and calls the module that does it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Adaptive control of traffic signals: train and judge policies in SUMO, and run a cabinet safely.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
bench = typer.Typer(help="Measure speed, side by side in one run.", no_args_is_help=True)
app.add_typer(bench, name="bench")

Scenario = Annotated[str, typer.Argument(help="resco:NAME, phasewise:NAME, or the path of a .sumocfg")]
Seeds = Annotated[str, typer.Option(help="test seeds: numbers and ranges, for instance 101,102 or 101-110")]
Observation = Annotated[str, typer.Option(help="what policies see: area (radar or camera), loops, lanes")]
Preset = Annotated[
    str, typer.Option(help="whose times: resco (3 s yellow, no red clearance), street (ITE formulas), or cabinet (the same for all phases)")
]
Workers = Annotated[int, typer.Option(help="runs at a time; 0: one a core", min=0)]


@app.command("import")
def import_(
    net: Annotated[Path, typer.Argument(help="a .net.xml")],
    out: Annotated[Path, typer.Option(help="the folder that gets an intersection.toml for each signal")],
    preset: Preset = "street",
    stages: Annotated[str, typer.Option(help="program, or maximal: every maximal compatible stage")] = "program",
    additional: Annotated[list[Path] | None, typer.Option(help="additional files that hold programs")] = None,
    sensing_range: Annotated[float, typer.Option(help="how far areas reach, in metres", min=1.0)] = 200.0,
    add_missing: Annotated[bool, typer.Option(help="add a stage for links that no stage serves")] = False,
    detectors: Annotated[str, typer.Option(help="which of them the street has: all, loops or area")] = "all",
) -> None:
    """Turn every signal of a SUMO network into an intersection.toml."""
    from phasewise.importing import import_net

    import_net(
        net,
        out,
        preset=preset,
        stages=stages,
        additional=tuple(additional or ()),
        sensing_range=sensing_range,
        add_missing=add_missing,
        detectors=detectors,
    )


@app.command()
def evaluate(
    scenario: Scenario,
    policy: Annotated[str, typer.Option(help="a policy's name, name:parameter=value,..., or a trained policy's file")],
    seeds: Seeds = "101-105",
    observation: Observation = "area",
    preset: Preset = "resco",
    record: Annotated[Path | None, typer.Option(help="a folder in which SUMO's own records are kept")] = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object as the last line")] = False,
    scale: Annotated[float, typer.Option(help="factor on the demand", min=0.01)] = 1.0,
    workers: Workers = 0,
) -> None:
    """Run one policy on a scenario and count what it costs all travellers."""
    from phasewise.evaluating import evaluate_policy

    evaluate_policy(
        scenario, policy, seeds=seeds, observation=observation, preset=preset, record=record, json=json, scale=scale, workers=workers
    )


@app.command()
def compare(
    scenario: Scenario,
    policies: Annotated[str, typer.Option(help="names, separated by commas; parameters stand behind a colon, separated by +")],
    seeds: Seeds = "101-110",
    observation: Observation = "area",
    preset: Preset = "resco",
    out: Annotated[Path, typer.Option(help="the folder that gets report.html and results.parquet")] = Path("comparison"),
    scale: Annotated[float, typer.Option(help="factor on the demand", min=0.01)] = 1.0,
    workers: Workers = 0,
) -> None:
    """Run several policies on the same seeds, and report the differences."""
    from phasewise.comparing import compare_policies

    compare_policies(
        scenario,
        policies.split(","),
        seeds=seeds,
        observation=observation,
        preset=preset,
        out=out,
        scale=scale,
        workers=workers,
    )


@app.command()
def tune(
    scenario: Scenario,
    policies: Annotated[str, typer.Option(help="names of baselines, separated by commas; all by default")] = "",
    seeds: Annotated[int, typer.Option(help="how many validation seeds", min=1)] = 3,
    budget: Annotated[int, typer.Option(help="parameter sets tried for each policy", min=1)] = 24,
    observation: Observation = "area",
    preset: Preset = "resco",
    workers: Workers = 0,
) -> None:
    """Find the baselines' best parameters on validation seeds, with the same budget for each."""
    from phasewise.tuning import tune_policies

    tune_policies(
        scenario,
        [name for name in policies.split(",") if name],
        seeds=seeds,
        budget=budget,
        observation=observation,
        preset=preset,
        workers=workers,
    )


@app.command()
def train(
    scenario: Scenario,
    algorithm: Annotated[str, typer.Option(help="ppo or dqn")] = "ppo",
    minutes: Annotated[float, typer.Option(help="how long to train", min=0.01)] = 5.0,
    seed: Annotated[int, typer.Option(help="of weights, exploration and episodes", min=0)] = 1,
    out: Annotated[Path | None, typer.Option(help="the file that gets the policy; SCENARIO-ALGORITHM.zip by default")] = None,
    observation: Observation = "area",
    reward: Annotated[str, typer.Option(help="a reward, or several with weights: delay=1,stops=0.5")] = "delay",
    preset: Preset = "resco",
    period: Annotated[float, typer.Option(help="between decisions, in seconds; a cabinet has the same", min=0.1)] = 5.0,
    workers: Workers = 0,
) -> None:
    """Train a policy on a scenario; `evaluate --policy FILE` runs it."""
    from phasewise.training import train_policy

    train_policy(
        scenario,
        algorithm=algorithm,
        minutes=minutes,
        seed=seed,
        out=out,
        observation=observation,
        reward=reward,
        preset=preset,
        period=period,
        workers=workers,
    )


@app.command()
def demo(
    minutes: Annotated[float, typer.Option(help="how long to train", min=0.01)] = 3.0,
    seeds: Seeds = "101-105",
    out: Annotated[Path, typer.Option(help="the folder that gets everything")] = Path("demo"),
    protocol: Annotated[str, typer.Option(help="what the cabinet speaks: ntcip or modbus")] = "ntcip",
    breaks: Annotated[bool, typer.Option("--break/--no-break", help="let the policy hang after two minutes at the cabinet")] = True,
) -> None:
    """Show it all on a real intersection: train, compare with three rivals, and control its cabinet over a wire."""
    from phasewise.demo import run_demo

    run_demo(minutes=minutes, seeds=seeds, out=out, protocol=protocol, breaks=breaks)


@app.command()
def watch(
    scenario: Scenario = "resco:cologne1",
    policies: Annotated[str, typer.Option(help="names or files, separated by commas")] = "fixed_time,actuated,max_pressure,max_wave",
    seed: Annotated[str, typer.Option(help="one test seed")] = "101",
    signal: Annotated[str, typer.Option(help="which signal to look at; the first by default")] = "",
    start: Annotated[float, typer.Option(help="where the film begins, in seconds after the scenario's begin", min=0.0)] = 1800.0,
    seconds: Annotated[float, typer.Option(help="how long it lasts, in simulated seconds", min=1.0)] = 120.0,
    observation: Observation = "area",
    preset: Preset = "resco",
    out: Annotated[Path, typer.Option(help="the GIF")] = Path("watch.gif"),
) -> None:
    """Film a street under several policies, side by side."""
    from phasewise.watching import watch_policies

    watch_policies(
        scenario,
        policies.split(","),
        seed=seed,
        signal=signal,
        start=start,
        seconds=seconds,
        observation=observation,
        preset=preset,
        out=out,
    )


@app.command()
def cabinet(
    scenario: Scenario = "resco:cologne1",
    ntcip: Annotated[int | None, typer.Option(help="the UDP port of an NTCIP cabinet; 0: any")] = None,
    modbus: Annotated[int | None, typer.Option(help="the TCP port of a Modbus cabinet; 0: any")] = None,
    signal: Annotated[str, typer.Option(help="whose cabinet is heard; by default all, at one port after the other")] = "",
    host: Annotated[str, typer.Option(help="where it listens: on this machine only")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(help="how many times as fast as the clock")] = 1.0,
    seed: Annotated[int, typer.Option(help="of SUMO", min=0)] = 101,
    scale: Annotated[float, typer.Option(help="factor on the demand", min=0.01)] = 1.0,
    seconds: Annotated[float | None, typer.Option(help="for how long, in simulated seconds; to the end by default", min=1.0)] = None,
    preset: Preset = "resco",
    config: Annotated[Path | None, typer.Option(help="an intersection.toml that the cabinet has instead of the network's own")] = None,
    orders: Annotated[str, typer.Option(help="where faults are ordered: - for standard input, or a local socket's path")] = "",
    record: Annotated[Path | None, typer.Option(help="a folder in which SUMO's own records are kept")] = None,
    profile: Annotated[str, typer.Option(help="the Modbus cabinet's register map")] = "phasewise_v1",
    method: Annotated[str, typer.Option(help="how an NTCIP cabinet holds stages: stages or rings; what can be, by default")] = "",
    watchdog: Annotated[float, typer.Option(help="watchdog or backup time, in seconds", min=0.5)] = 5.0,
    json: Annotated[bool, typer.Option("--json", help="tell in one JSON object when it listens, and where")] = False,
) -> None:
    """Put a simulated cabinet on a street in SUMO, and let it be heard over NTCIP or Modbus."""
    from phasewise.cabinet import run_cabinet

    run_cabinet(
        scenario,
        ports={name: port for name, port in (("ntcip", ntcip), ("modbus", modbus)) if port is not None},
        signal=signal,
        host=host,
        speed=speed,
        seed=seed,
        scale=scale,
        seconds=seconds,
        preset=preset,
        config=config,
        orders=orders,
        record=record,
        profile=profile,
        watchdog=watchdog,
        method=method,
        json=json,
    )


@bench.command("env")
def bench_env(
    scenarios: Annotated[str, typer.Option(help="separated by commas")] = (
        "resco:cologne1,resco:cologne8,resco:ingolstadt21,resco:grid4x4"
    ),
    pairs: Annotated[int, typer.Option(help="interleaved pairs", min=1)] = 5,
    rival: Annotated[bool, typer.Option(help="time sumo-rl beside ours")] = True,
) -> None:
    """Time the environment against a bare SUMO loop that replays the same signal states."""
    from phasewise.benching import bench_environment

    bench_environment(scenarios.split(","), pairs=pairs, rival=rival)


@bench.command("scaling")
def bench_scaling(
    scenario: Scenario = "resco:cologne1",
    pairs: Annotated[int, typer.Option(help="interleaved pairs", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="simulated seconds a process", min=5.0)] = 14_400.0,
) -> None:
    """Time two processes against one."""
    from phasewise.benching import bench_scaling

    bench_scaling(scenario, pairs=pairs, seconds=seconds)


@bench.command("memory")
def bench_memory(
    scenario: Scenario = "resco:cologne1",
    episodes: Annotated[int, typer.Option(help="how many episodes in one process", min=2)] = 200,
    seconds: Annotated[float, typer.Option(help="how long an episode lasts", min=5.0)] = 3_600.0,
) -> None:
    """Tell how memory grows over many episodes in one process."""
    from phasewise.benching import bench_memory

    bench_memory(scenario, episodes=episodes, seconds=seconds)


@bench.command("parity")
def bench_parity(
    scenarios: Annotated[list[str] | None, typer.Argument(help="scenarios of one signal; three known ones by default")] = None,
    seconds: Annotated[int, typer.Option(help="simulated seconds of each run", min=60)] = 3600,
    quick: Annotated[bool, typer.Option("--quick", help="five minutes, in memory")] = False,
    policy: Annotated[Path | None, typer.Option(help="a bundle; by default one that also proposes what nobody may")] = None,
    preset: Preset = "resco",
    seed: Annotated[int, typer.Option(help="of SUMO", min=0)] = 101,
    report: Annotated[Path, typer.Option(help="the file whose section is written; the quick form writes none")] = Path(
        "docs/reliability.md"
    ),
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    workers: Workers = 0,
) -> None:
    """Compare the environment with daemon, wire and cabinet, second by second; exit with 1 where anything differs."""
    from phasewise.parity import SCENARIOS
    from phasewise.parity import bench_parity as compare_sides

    compare_sides(
        tuple(scenarios or SCENARIOS),
        seconds=seconds,
        quick=quick,
        policy=policy,
        preset=preset,
        seed=seed,
        report=report,
        json=json,
        workers=workers,
    )


@bench.command("faults")
def bench_faults(
    only: Annotated[str, typer.Option(help="a kind of faults, or a pattern of names, for instance 'policy: *'; all by default")] = "",
    protocols: Annotated[str, typer.Option(help="ntcip, modbus; both by default")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="a dozen cells, in memory")] = False,
    again: Annotated[bool, typer.Option("--again", help="run the cells anew that have a result")] = False,
    folder: Annotated[Path, typer.Option(help="gets one line a cell; a run that was broken off goes on where it was")] = Path("faults"),
    report: Annotated[Path, typer.Option(help="the file whose section is written; the quick form writes none")] = Path(
        "docs/reliability.md"
    ),
    workers: Annotated[int, typer.Option(help="how many cells run at a time", min=1)] = 2,
) -> None:
    """Try every fault against simulated cabinets of both protocols; exit with 1 where a demand was missed."""
    from phasewise.faulting import bench_faults

    bench_faults(only=only, protocols=protocols, folder=folder, report=None if quick else report, quick=quick, again=again, workers=workers)


@app.command()
def export(
    policy: Annotated[Path, typer.Argument(help="a trained policy's file")],
    key: Annotated[Path, typer.Option(help="the .key file that signs; `phasewise keys new` makes one")],
    config: Annotated[
        Path | None, typer.Option(help="the intersection.toml that it is made for; all signals of the scenario by default")
    ] = None,
    scenario: Annotated[str, typer.Option(help="where observations are recorded; where it was trained by default")] = "",
    out: Annotated[Path | None, typer.Option(help="the file that gets the bundle; POLICY.bundle by default")] = None,
    days: Annotated[int, typer.Option(help="how long the bundle is good", min=1, max=3650)] = 365,
    passphrase_file: Annotated[Path | None, typer.Option(help="a file with the key's passphrase")] = None,
    workers: Workers = 0,
) -> None:
    """Turn a trained policy into the signed bundle that a cabinet runs, once ONNX and torch agree on 10,000 recorded observations."""
    from phasewise.exporting import export_policy

    export_policy(
        policy,
        config=config,
        scenario=scenario,
        key=key,
        passphrase_file=passphrase_file,
        days=days,
        out_file=out,
        workers=workers,
    )


keys = typer.Typer(help="Keys that sign bundles, and the list of those that a cabinet trusts.", no_args_is_help=True)
app.add_typer(keys, name="keys")

Trusted = Annotated[Path, typer.Option(help="the file of trusted keys")]


@keys.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(help="what the key is called, for instance city-2026")],
    folder: Annotated[Path, typer.Option(help="where its two files go")] = Path(),
    days: Annotated[int, typer.Option(help="how long it is good", min=1, max=3650)] = 730,
    passphrase_file: Annotated[Path | None, typer.Option(help="a file with a passphrase that the secret half is encrypted with")] = None,
) -> None:
    """Make a key: NAME.key, secret, signs; NAME.pub is what others come to trust."""
    from phasewise.keys import new_key

    new_key(name, folder=folder, days=days, passphrase_file=passphrase_file)


@keys.command("list")
def keys_list(trusted: Trusted = Path("trusted.toml")) -> None:
    """Show the trusted keys, and which of them are expired or revoked."""
    from phasewise.keys import list_keys

    list_keys(trusted)


@keys.command("trust")
def keys_trust(
    public: Annotated[Path, typer.Argument(help="a .pub file, or another file of trusted keys")],
    trusted: Trusted = Path("trusted.toml"),
) -> None:
    """Trust a key: bundles that it signed may run."""
    from phasewise.keys import trust_keys

    trust_keys(public, trusted=trusted)


@keys.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="a trusted key's name or id")],
    reason: Annotated[str, typer.Option(help="why, for whoever reads it later")] = "",
    trusted: Trusted = Path("trusted.toml"),
) -> None:
    """Revoke a key: nothing that it signed is loaded any more, whenever it was signed."""
    from phasewise.keys import revoke_key

    revoke_key(name, trusted=trusted, reason=reason)


@app.command()
def live(
    seconds: Annotated[float, typer.Option(help="for how long, in real time", min=10.0)] = 240.0,
    break_after: Annotated[float, typer.Option(help="when the policy is stopped, in seconds; 0: never", min=0.0)] = 120.0,
    protocol: Annotated[str, typer.Option(help="what the cabinet speaks: ntcip or modbus")] = "ntcip",
    out: Annotated[Path, typer.Option(help="the folder that gets configuration, journal and summary")] = Path("live"),
) -> None:
    """Watch the shipped policy control a simulated cabinet over the wire, fail, fall back, and come back."""
    from phasewise.live import run_live, tell

    tell(run_live(seconds=seconds, break_after=break_after, folder=out, protocol=protocol))


@app.command()
def run(
    cabinet: Annotated[Path, typer.Argument(help="cabinet.toml: one cabinet or a corridor, see docs/cabinet.md", show_default=False)],
) -> None:
    """Control real or simulated cabinets until SIGTERM or Ctrl-C; then let go of them and read their zeros back."""
    from controller.__main__ import run as run_daemon

    raise typer.Exit(run_daemon(cabinet))


@app.command()
def commission(
    cabinet_toml: Annotated[Path, typer.Argument(metavar="CABINET.toml", help="as for `run`; its timings need not be approved yet")],
    cabinet: Annotated[str | None, typer.Option(help="the cabinet's name; not needed where there is one")] = None,
    step: Annotated[
        str, typer.Option(help="only this, also where it has passed: identity, approval, detectors, heads, clock, backup, monitor, shadow")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before what needs no eyes: backup and shadow")] = False,
    orders: Annotated[Path | None, typer.Option(help="a simulated cabinet's socket of orders, which makes the calls")] = None,
    operator: Annotated[str | None, typer.Option(help="who signs; your login name by default")] = None,
    monitor: Annotated[float, typer.Option(help="for how long it is watched in MONITOR, in minutes", min=0.1)] = 10.0,
    shadow: Annotated[float, typer.Option(help="for how long in SHADOW, in minutes", min=0.1)] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="print the record as JSON")] = False,
) -> None:
    """Walk a technician through all that must be seen at a cabinet before ADAPTIVE, and write it down; it can be gone on with later."""
    from phasewise.commissioning import commission as walk

    code = walk(
        cabinet_toml,
        cabinet=cabinet,
        step=step,
        yes=yes,
        orders=orders,
        operator=operator,
        monitor=monitor,
        shadow=shadow,
        json=json,
    )
    raise typer.Exit(code)


ctl = typer.Typer(help="Ask the daemon that controls a cabinet, and give it orders.", no_args_is_help=True)
app.add_typer(ctl, name="ctl")

Socket = Annotated[Path, typer.Option(help="where the daemon listens, as its cabinet.toml says")]
Cabinet = Annotated[str | None, typer.Option(help="the cabinet's name; not needed where there is one")]
Operator = Annotated[str | None, typer.Option(help="who asks; your login name by default")]
Reason = Annotated[str, typer.Option(help="why, for whoever reads it later")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
SOCKET = Path("/run/phasewise/control.sock")


@ctl.command("status")
def ctl_status(cabinet: Cabinet = None, socket: Socket = SOCKET, json: Json = False) -> None:
    """Show how each cabinet stands: mode, stage, order, faults."""
    from phasewise.controlling import show_status

    show_status(socket, cabinet=cabinet, json=json)


@ctl.command("mode")
def ctl_mode(
    mode: Annotated[str, typer.Argument(help="off, monitor, shadow, or adaptive for no cap")],
    reason: Reason,
    cabinet: Cabinet = None,
    operator: Operator = None,
    socket: Socket = SOCKET,
    json: Json = False,
) -> None:
    """Cap the mode, or lift the cap."""
    from phasewise.controlling import limit_mode

    limit_mode(socket, mode, cabinet=cabinet, operator=operator, reason=reason, json=json)


@ctl.command("force")
def ctl_force(
    what: Annotated[str, typer.Argument(help="plan, free or flash")],
    reason: Reason,
    pattern: Annotated[int | None, typer.Argument(help="the plan's number")] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="when it ends by itself: 90s, 30min, 2h; flash does not")] = None,
    cabinet: Cabinet = None,
    operator: Operator = None,
    socket: Socket = SOCKET,
    json: Json = False,
) -> None:
    """Order a plan, free operation or flash; a higher fault or `release` ends it."""
    from phasewise.controlling import force

    force(socket, what, pattern, cabinet=cabinet, operator=operator, reason=reason, lasts=lasts, json=json)


@ctl.command("release")
def ctl_release(reason: Reason, cabinet: Cabinet = None, operator: Operator = None, socket: Socket = SOCKET, json: Json = False) -> None:
    """End the order that stands."""
    from phasewise.controlling import withdraw

    withdraw(socket, cabinet=cabinet, operator=operator, reason=reason, json=json)


@ctl.command("enable")
def ctl_enable(reason: Reason, cabinet: Cabinet = None, operator: Operator = None, socket: Socket = SOCKET, json: Json = False) -> None:
    """Give the street back after a fault that waits for a person."""
    from phasewise.controlling import re_enable

    re_enable(socket, cabinet=cabinet, operator=operator, reason=reason, json=json)


@ctl.command("unlock")
def ctl_unlock(
    at_cabinet: Annotated[bool, typer.Option("--at-cabinet", help="you stand at the cabinet")] = False,
    cabinet: Cabinet = None,
    operator: Operator = None,
    socket: Socket = SOCKET,
    json: Json = False,
) -> None:
    """Clear a technician's lock-out, at the cabinet and only there."""
    from phasewise.controlling import unlock

    unlock(socket, cabinet=cabinet, operator=operator, at_cabinet=at_cabinet, json=json)


@ctl.command("events")
def ctl_events(
    last: Annotated[str, typer.Option(help="how far back: 90s, 30min, 2h")] = "10min",
    journal: Annotated[Path | None, typer.Option(help="read a cabinet's journal folder instead; no daemon is needed")] = None,
    cabinet: Cabinet = None,
    socket: Socket = SOCKET,
    json: Json = False,
) -> None:
    """Show what happened lately: events, decisions, changes of mode, orders."""
    from phasewise.controlling import show_events

    show_events(socket, cabinet=cabinet, last=last, journal=journal, json=json)


@ctl.command("explain")
def ctl_explain(cabinet: Cabinet = None, socket: Socket = SOCKET, json: Json = False) -> None:
    """Say why the mode is what it is, since when, and what would raise it."""
    from phasewise.controlling import explain

    explain(socket, cabinet=cabinet, json=json)


@ctl.command("reload")
def ctl_reload(socket: Socket = SOCKET, json: Json = False) -> None:
    """Let the daemon read its cabinet.toml anew."""
    from phasewise.controlling import reload

    reload(socket, json=json)
