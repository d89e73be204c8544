import dataclasses
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from envs.results import EpisodeResult, Movement, Series, StageTime
from intersection.errors import UserError
from phasewise.report import Geography, SignalGeometry, StageMovement, write_report
from tests.phasewise.synthetic import episode, series

VOID = {"meta", "wbr", "br", "hr", "img", "link", "input"}
POLICIES = {"fixed_time": 33.0, "max_pressure": 19.0, "sotl": 24.0, "runs/cologne1/ppo.zip": 18.0}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.faults: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count an element and note what it is given."""
        self.elements[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note an end that closes something else."""
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        """Collect words."""
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with plain spaces."""
        return re.sub(r"\s+", " ", "".join(self.words))


def recorded(*, signals: int = 2, movements: int = 9) -> list[EpisodeResult]:
    """Make three seeds of four policies and an outside reference, with series."""
    results = [
        episode(policy, seed, delay_s + seed % 3, series=series(seed, delay_s, signals=signals, movements=movements))
        for policy, delay_s in POLICIES.items()
        for seed in (101, 102, 103)
    ]
    outside = [
        episode("program", seed, 32.0 + seed % 3, outside=True, violations=4, series=series(seed, 32.0, outside=True))
        for seed in (101, 102, 103)
    ]
    return results + outside


def written(results: list[EpisodeResult], path: Path, geography: Geography | None = None) -> str:
    """Write a report and read it."""
    write_report(results, path / "report.html", title="A comparison", geography=geography)
    return (path / "report.html").read_text(encoding="utf-8")


def section(html: str, anchor: str) -> str:
    """Cut one section out of a page."""
    return html.partition(f'<section id="{anchor}"')[2].partition("</section>")[0]


def test_the_page_is_well_formed(tmp_path: Path) -> None:
    """Every element is closed, every anchor is there, and no identity is used twice."""
    page = Page(written(recorded(), tmp_path))
    anchors = [value for name, value in page.attributes if name == "id"]
    links = [value for name, value in page.attributes if name == "href"]

    assert ([], []) == (page.faults, page.open)
    assert len(anchors) == len(set(anchors))
    assert {f"#{anchor}" for anchor in anchors} >= set(links)


def test_the_page_asks_nothing_of_a_network(tmp_path: Path) -> None:
    """No address, no script, nothing loaded, and the browser is told to load nothing."""
    html = written(recorded(), tmp_path)
    page = Page(html)

    assert not re.search(r"https?://|//[a-z]+\.|url\(|@import", html)
    assert not page.elements.keys() & {"script", "link", "img", "iframe", "object"}
    assert "default-src 'none'" in html


def test_every_policy_is_in_every_section_that_compares(tmp_path: Path) -> None:
    """By its short name; in full where it is told how to make the runs again."""
    html = written(recorded(), tmp_path)
    compared = {"figures", "delay", "movements", "queues", "arrivals", "emissions", "gate"}
    names = ("fixed_time", "max_pressure", "sotl", "ppo.zip", "program")

    missing = [(anchor, name) for anchor in sorted(compared) for name in names if name not in Page(section(html, anchor)).text]

    assert [] == missing
    assert "runs/cologne1/ppo.zip" in Page(section(html, "provenance")).text


def test_the_headline_leads(tmp_path: Path) -> None:
    """The first heading is the result, in words."""
    html = written(recorded(), tmp_path)

    heading = Page(re.findall(r"<h1>.*?</h1>", html)[0]).text

    assert "ppo.zip: 44 % less delay than fixed_time" == heading


def test_the_report_tells_how_it_was_made(tmp_path: Path) -> None:
    """SUMO's version and options, the scenario's digest, preset, observation and seeds."""
    told = Page(section(written(recorded(), tmp_path), "provenance")).text

    assert [] == [
        words for words in ("1.28.0", "5f0c" * 16, "resco", "area", "101, 102, 103", "--time-to-teleport -1") if words not in told
    ]


def test_a_collapse_is_said_at_the_head_and_counted_in_its_section(tmp_path: Path) -> None:
    """Gridlocked seeds by policy, mean, median, worst seed and how many times the yardstick; in words where the reader begins."""
    gridlocked = [episode("sotl", seed, 500.0 + seed % 3, gridlocked=seed != 102) for seed in (101, 102, 103)]
    html = written([*(one for one in recorded() if one.policy != "sotl"), *gridlocked], tmp_path)
    words = "sotl collapses here: 501.0 s, 15.2 times program (median 501.0 s, worst 502.0 s with seed 101); 2 of 3 seeds gridlocked"

    told = Page(section(html, "collapse")).text.replace("\u202f", " ")
    head = Page(html.partition("</header>")[0]).text.replace("\u202f", " ")

    assert words in head
    assert words in told
    assert "sotl501.0501.0502.010115.22 of 3101, 103" in told
    assert "program33.033.034.0101the yardstick0 of 3–" in told


def test_no_collapse_is_said_too(tmp_path: Path) -> None:
    """Or that it cannot be told, because neither fixed time nor the program was run."""
    told = Page(section(written(recorded(), tmp_path), "collapse")).text
    alone = Page(section(written([episode("a")], tmp_path), "collapse")).text

    assert "No seed ended in gridlock, and no policy collapsed against program." in told
    assert "No seed ended in gridlock." in alone
    assert "Neither fixed_time nor program was run" in alone


def test_the_scale_of_the_demand_is_told(tmp_path: Path) -> None:
    """Where the table is, and where it is told how to make the runs again."""
    html = written([episode("a", scale=1.5)], tmp_path)

    assert "resco:cologne1 at 1.5 times its demand" in Page(section(html, "figures")).text
    assert "1.5 times the scenario's own" in Page(section(html, "provenance")).text


def test_delay_is_explained(tmp_path: Path) -> None:
    """The reader learns that vehicles that never got in count."""
    assert "never got in counts the whole time" in Page(section(written(recorded(), tmp_path), "reading")).text


def test_violations_are_quoted(tmp_path: Path) -> None:
    """What the audit found stands under the policy that did it."""
    told = Page(section(written(recorded(), tmp_path), "violations")).text

    assert "program: 12 over 3 seeds, an outside reference" in told
    assert "link 4 went from green to red without yellow" in told


def test_every_drawing_has_words_and_numbers(tmp_path: Path) -> None:
    """Who cannot see a figure reads its caption and the numbers behind it; drawings are hidden from a screen reader or named for it."""
    html = written(recorded(), tmp_path)
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    drawings = re.findall(r"<svg (?!viewBox=\"0 0)[^>]*>", html)

    assert len(figures) > 8
    assert [] == [figure[:80] for figure in figures if "<table" not in figure or not ("<figcaption" in figure or "<caption" in figure)]
    assert [] == [
        drawing for drawing in drawings if "aria-hidden" not in drawing and 'role="img"' not in drawing and "strip" not in drawing
    ]


def test_names_are_escaped(tmp_path: Path) -> None:
    """A name cannot become markup, wherever it stands."""
    results = [
        dataclasses.replace(
            one,
            policy=one.policy.replace("sotl", "<b>&sotl"),
            series=one.series
            and dataclasses.replace(
                one.series,
                movements=(Movement(origin="<i>a", destination='"b"', trips=3, delay_s=20.0),),
                stages=(
                    StageTime(signal="<u>&", start_s=0.0, end_s=30.0, stage=0),
                    StageTime(signal="<u>&", start_s=30.0, end_s=34.0, stage=-1),
                ),
                violations=("<s>gone",),
            ),
        )
        for one in recorded()
    ]

    html = written(results, tmp_path)
    page = Page(html)

    assert [] == page.faults
    assert not page.elements.keys() & {"u", "s"}
    assert not re.search(r"<i>a|<b>&sotl|<u>&|<s>gone", html)
    assert "<b>&sotl" in page.text


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    """A report has no date and no chance in it."""
    assert written(recorded(), tmp_path) == written(recorded(), tmp_path)


def test_a_report_stays_small(tmp_path: Path) -> None:
    """Twenty signals and hundreds of movements are not all drawn: under 2 MB, and it says what was left out."""
    html = written(recorded(signals=21, movements=300), tmp_path)

    assert len(html.encode()) < 2_000_000
    assert "Drawn are 4 of 21 signals" in Page(section(html, "phases")).text
    assert "the other 285" in Page(section(html, "movements")).text


def test_runs_without_series_are_reported_by_their_figures(tmp_path: Path) -> None:
    """What was not recorded is said not to have been, instead of drawn as nothing."""
    results = [episode(policy, seed, delay_s, co2_kg=math.nan) for policy, delay_s in POLICIES.items() for seed in (101, 102)]

    page = Page(written(results, tmp_path))

    assert [] == page.faults
    told = [f"No {what} were recorded" for what in ("movements", "queues", "arrivals", "stages", "verdicts")]
    assert [] == [words for words in [*told, "Emissions were not recorded"] if words not in page.text]


def test_one_run_is_reported_too(tmp_path: Path) -> None:
    """One policy and one seed have a report without intervals."""
    page = Page(written([episode("actuated", 101, 25.0, series=series(101, 25.0))], tmp_path))

    assert [] == page.faults
    assert "One seed gives no interval" in page.text
    assert "±" not in page.text


def test_policies_without_series_are_left_out_of_the_drawings_alone(tmp_path: Path) -> None:
    """The others are drawn."""
    results = [dataclasses.replace(one, series=None) if one.policy == "sotl" else one for one in recorded()]

    html = written(results, tmp_path)

    assert "sotl" in section(html, "figures")
    assert "sotl" not in section(html, "queues")
    assert "max_pressure" in section(html, "queues")


def test_series_cut_short_are_not_stretched(tmp_path: Path) -> None:
    """A figure that has not a value for every instant counts as not recorded."""
    cut = Series(time_s=(0.0, 60.0, 120.0), queue=(1.0, 2.0), due_cumulative=(0, 1, 2), arrived_cumulative=(0, 0, 1))

    html = written([episode("a", 101, series=cut)], tmp_path)

    assert "No queues were recorded" in section(html, "queues")
    assert "1 of 2 arrived" in Page(section(html, "arrivals")).text


def test_a_phase_diagram_shows_each_green_where_it_was(tmp_path: Path) -> None:
    """A green from 150 to 300 s of ten minutes is drawn from a quarter to a half, its transition behind it."""
    stages = (
        StageTime(signal="J", start_s=150.0, end_s=300.0, stage=2),
        StageTime(signal="J", start_s=300.0, end_s=306.0, stage=-1),
        StageTime(signal="J", start_s=306.0, end_s=600.0, stage=0),
    )
    one = Series(time_s=(0.0, 600.0), queue=(0.0, 0.0), stages=stages)

    drawn = section(written([episode("a", 101, series=one)], tmp_path), "phases")

    assert '<path d="M250 0H500V1000H250z" class="s2">' in drawn
    assert '<path d="M500 0H510V1000H500z" class="transition">' in drawn
    assert '<path d="M510 0H1000V1000H510z" class="s0">' in drawn


def test_geometry_names_and_pictures_stages(tmp_path: Path) -> None:
    """A signal bears its name, and each stage seen is an arrow diagram that says in words what it shows."""
    way: list[StageMovement] = [
        {"approach": 0.0, "exit": 180.0, "protected": True},
        {"approach": 180.0, "exit": 270.0, "protected": False},
    ]
    signal: SignalGeometry = {
        "name": "Aachener Straße",
        "stages": [way] * 3,
        "crossings": [[90.0], [], []],
        "words": ["southbound through", "", "northbound <left>"],
    }

    drawn = section(written(recorded(), tmp_path, Geography(signals={"GS_cluster_1": signal})), "phases")

    assert "<h3>Aachener Straße</h3>" in drawn
    assert 'aria-label="stage 0: southbound through"' in drawn
    assert 'aria-label="stage 1: from 0° to 180°, from 180° to 270°"' in drawn
    assert "<small>northbound &lt;left&gt;</small>" in drawn
    assert (3, 1) == (drawn.count('class="arrow permissive"'), drawn.count('class="walk"'))


def test_movements_bear_their_names(tmp_path: Path) -> None:
    """In an engineer's words where they are known, the edges one touch away; the others by their edges."""
    drawn = section(written(recorded(), tmp_path, Geography(movements={("north", "south"): "southbound through"})), "movements")

    assert '<th scope="row" title="north → south">southbound through</th>' in drawn
    assert '<th scope="row" title="south → north">south → north</th>' in drawn


def test_what_cannot_be_compared_leaves_no_file(tmp_path: Path) -> None:
    """A refused comparison does not touch an older report."""
    with pytest.raises(UserError, match="SUMO versions"):
        write_report([episode("a"), episode("b", sumo_version="1.0")], tmp_path / "report.html", title="")

    assert [] == list(tmp_path.iterdir())
