from pathlib import Path

import pytest
from PIL import Image

from phasewise.report import write_picture
from tests.phasewise.synthetic import episode, series


@pytest.mark.parametrize("kept", [True, False])
def test_the_picture_is_small_and_of_its_size(tmp_path: Path, kept: bool) -> None:
    """1200 by 500 pixels under 120 kB, with queues over time or without, whatever the names."""
    results = [
        episode(policy, seed, delay_s + seed % 4, series=series(seed, delay_s) if kept else None)
        for policy, delay_s in {"fixed_time": 34.0, "max_pressure:min_green=10,permissive=0.5": 19.0, "a$b_c": 400.0}.items()
        for seed in (101, 102, 103)
    ]

    write_picture(results, tmp_path / "headline.png")

    with Image.open(tmp_path / "headline.png") as picture:
        assert ((1200, 500), "PNG") == (picture.size, picture.format)
        assert len(picture.convert("RGB").getcolors(100_000) or []) > 20
    assert (tmp_path / "headline.png").stat().st_size < 120_000
