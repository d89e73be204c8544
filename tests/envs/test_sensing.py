import pytest

from envs.scenario import find
from envs.sensing import HALTING
from envs.simulation import Simulation
from envs.sumo_network import RESCO
from envs.traffic import network_of
from intersection.detection import Channel, DetectorKind
from intersection.shield import Proposal


@pytest.mark.parametrize("name", ["resco:cologne1", "resco:grid4x4"])
def test_areas_see_what_is_within_their_range_and_nothing_else(name: str) -> None:
    """Count, queue and mean speed are those of a brute-force look at every vehicle, on lanes that the range cuts too."""
    scenario = find(name)
    network = network_of(scenario, RESCO)
    with Simulation(scenario, network, sensors=(DetectorKind.AREA, DetectorKind.DEPARTURE)) as simulation:
        simulation.reset(11)
        assert simulation.session is not None
        vehicle, lane = simulation.session.api.vehicle, simulation.session.api.lane
        for step in range(60):
            stages = [(step // 4) % len(signal.config.stages) for signal in simulation.signals_of]
            simulation.advance([Proposal(stage=stage) for stage in stages], simulation.now + 50)
            if step % 6:
                continue
            seen = simulation.sensors.values
            at = 0
            for signal in simulation.signals_of:
                for detector in signal.config.detectors:
                    speeds = [
                        vehicle.getSpeed(one)
                        for segment in signal.segments[detector.id]
                        for one in lane.getLastStepVehicleIDs(segment.lane)
                        if segment.start <= 0.1 or vehicle.getLanePosition(one) >= segment.start
                        if segment.end >= network.lane_lengths[segment.lane] - 0.1 or vehicle.getLanePosition(one) < segment.end
                    ]
                    mean = sum(speeds) / len(speeds) if speeds else detector.speed_limit

                    assert len(speeds) == seen[Channel.COUNT, at]
                    assert sum(speed < HALTING for speed in speeds) == seen[Channel.QUEUE, at]
                    assert pytest.approx(mean, abs=1e-3) == seen[Channel.SPEED, at]
                    at += 1


def test_loops_count_what_passes_and_how_long_it_stands() -> None:
    """Over ten minutes the stop-bar loops of Cologne count some hundred vehicles, and each occupancy is a share."""
    scenario = find("resco:cologne1")
    with Simulation(scenario, network_of(scenario, RESCO), sensors=(DetectorKind.STOP_BAR, DetectorKind.ADVANCE)) as simulation:
        simulation.reset(11)
        passed = 0.0
        for step in range(120):
            simulation.advance([Proposal(stage=(step // 5) % 4)], simulation.now + 50)
            values = simulation.sensors.values
            stop_bars = [d.kind is DetectorKind.STOP_BAR for d in simulation.sensors.detectors]
            passed += float(values[Channel.COUNT][stop_bars].sum())

            assert 0.0 <= values[Channel.OCCUPANCY].min() <= values[Channel.OCCUPANCY].max() <= 1.0
        assert 100 < passed < 600
