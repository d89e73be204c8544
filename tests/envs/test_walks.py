from collections import Counter

from envs.scenario import find
from envs.simulation import Simulation
from envs.sumo_network import STREET
from envs.traffic import network_of
from intersection.detection import DetectorKind
from intersection.shield import Proposal
from intersection.state import NO_STAGE


def test_a_walk_and_its_clearance_are_shown_from_the_instant_at_which_they_begin() -> None:
    """At each reading, a crossing shows G exactly in walk, also in one called in the middle of a green, and y in pedestrian clearance."""
    scenario = find("phasewise:eight_phase")
    seen: Counter[str] = Counter()
    with Simulation(scenario, network_of(scenario, STREET), sensors=(DetectorKind.AREA,)) as simulation:
        simulation.reset(11)
        for step in range(240):
            simulation.advance([Proposal(stage=(step // 20) % len(simulation.signals[0].tables.stages))], simulation.now + 50)
            signal = simulation.signals[0]
            state, tables = signal.state, signal.tables
            for group, links in enumerate(signal.sumo.links):
                if tables.groups[group].vehicle:
                    continue
                walked = state.walked[group]
                timing = tables.groups[group]
                walking = walked >= 0 and state.now < walked + timing.walk
                clearing = walked >= 0 and not walking and state.now < walked + timing.pedestrian_time
                seen["walk"] += walking
                seen["called in green"] += walking and state.target == NO_STAGE and walked > state.arrived

                assert {"G" if walking else "y" if clearing else "r"} == {signal.shown[link] for link in links}

    assert min(seen["walk"], seen["called in green"]) > 0
