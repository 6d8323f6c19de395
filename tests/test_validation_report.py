"""The report: one file with all inside, whose numbers are those of the metrics."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inverse.maps import ExampleFit, Maps
from inverse.recipe import Recipe
from inverse.refine import Status
from validation import report
from validation.metrics import lattice_metrics
from validation.truth import Truth, eroded
from xrdct.errors import InputError
from xrdct.scan import Scan

N = 12
TIMES_S = {"phantom": 0.5, "simulate": 3.25, "refine": 2.0, "total": 5.75}


def fabricated(material: bool = True) -> tuple[Maps, Truth]:
    """One square particle on N × N voxels, two interior ones of which failed; or nothing."""
    rng = np.random.default_rng(5)
    scan = Scan(n_offsets=N, step_um=1.0, n_angles=N)
    particle = np.full((N, N), -1)
    particle[2:10, 2:10] = 0 if material else -1
    filled = particle >= 0
    interior = filled & (rng.random((N, N)) < 0.9)
    a_A = np.where(filled, 8.2, np.nan)
    truth = Truth(
        scan=scan, a_A=a_A, volume_fraction=filled.astype(float), lattice_a_A=np.stack([a_A] * 3),
        lattice_fraction=np.zeros((3, N, N)), extra_fraction={}, particle=particle,
        depth_um=np.where(filled, 1.0, np.nan), interior=interior,
        eroded=eroded(interior, particle), two_lattices=~filled | (rng.random((N, N)) < 0.1),
    )  # fmt: skip
    failed = np.zeros((N, N), dtype=bool)
    failed[tuple(np.argwhere(interior & ~truth.two_lattices)[:2].T)] = True
    status = np.where(filled, Status.CONVERGED, Status.NO_MATERIAL)
    status[failed] = Status.NOT_CONVERGED
    esd = np.where(filled & ~failed, 1e-3, np.nan)
    channel = np.arange(50.0)
    maps = Maps(
        phase="LiMn2O4", scan=scan, a_A=a_A + esd * rng.normal(0.3, 1.0, (N, N)),
        a_esd_noise_A=esd / 2, a_esd_total_A=esd, volume_fraction=filled.astype(float),
        volume_fraction_esd_noise=esd, volume_fraction_esd_total=esd,
        chi2_reduced=np.ones((N, N)), status=status.astype(float), recipe=Recipe(),
        example=ExampleFit((5, 5), channel, channel, channel + 1, channel, channel),
    )  # fmt: skip
    return maps, truth


def metrics_of(maps: Maps, truth: Truth, **changes: Any) -> dict[str, Any]:
    return {
        "schema": "xrdct-twin metrics 1",
        "experiment": "pristine electrode",
        "config_sha256": "0123456789abcdef" * 4,
        "seed": 20,
        "versions": {"numpy": "2.4.6", "xrdct-twin": "0.1.0"},
        "scan": {"n_points": 122_850, "beam_time_s": 1345.2, "mode": "patterns"},
        "timing_s": TIMES_S,
        "peak_memory_MB": 2100.4,
        "lattice": {maps.phase: lattice_metrics(maps, truth)},
    } | changes


class Page(HTMLParser):
    """Tags with their attributes, tables as lists of rows of cell texts, and all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._rows: list[list[str]] = []
        self._in_cell = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables[str(dict(attrs)["id"])] = []
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
        self._in_cell = self._in_cell or tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self._rows[-1][-1] += data


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("\u202f", ""))


@pytest.fixture(scope="module")
def run() -> tuple[Maps, Truth]:
    return fabricated()


@pytest.fixture(scope="module")
def page(run: tuple[Maps, Truth], tmp_path_factory: pytest.TempPathFactory) -> Page:
    maps, truth = run
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    report.write_report(maps, truth=truth, metrics=metrics_of(maps, truth), path=path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return Page(path)


def test_report_needs_no_pyplot() -> None:
    """A rule of the package: the plotting library's global state is never touched."""
    code = "import validation.report, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    root = Path(report.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_report_is_self_contained(page: Page) -> None:
    """By the definition of self-contained: nothing refers outside, and each image is inside."""
    images = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 7
    for image in images:
        kind, data = image.split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for tag, attributes in page.tags:
        assert "href" not in attributes
        assert tag == "img" or "src" not in attributes
    assert not re.search(r"https?:|url\(|@import", page.text)


def test_scorecard_numbers_read_back(page: Page, run: tuple[Maps, Truth]) -> None:
    """Truth: the metrics themselves; tolerance half a unit of the last printed decimal."""
    maps, truth = run
    expected = lattice_metrics(maps, truth)
    keys = [*expected["interior"]]
    rows = page.tables["scorecard"]
    assert rows[0][2:] == ["LiMn2O4, interior", "LiMn2O4, eroded"]
    assert len(rows) == 1 + len(keys)
    for key, row in zip(keys, rows[1:], strict=True):
        scale, half_unit = (1000.0, 5e-4) if key.endswith("_A") else (1.0, 5e-3)
        for region, text in zip(("interior", "eroded"), row[2:], strict=True):
            assert abs(number(text) - scale * expected[region][key]) <= half_unit * (1 + 1e-9)


def test_statuses_count_every_voxel(page: Page, run: tuple[Maps, Truth]) -> None:
    """Truth: how the maps were made; every voxel has one status, two interior ones failed."""
    rows = page.tables["status"][1:]
    assert sum(number(row[1]) for row in rows) == N * N
    assert sum(number(row[2]) for row in rows) == run[1].interior.sum()
    failed = next(row for row in rows if "converge" in row[0])
    assert failed[1:] == ["2", "2"]


def test_origin_is_told(page: Page) -> None:
    """Truth: the metrics; 1345.2 s are 22.42 min."""
    origin = dict(page.tables["origin"])
    assert "0123456789abcdef" * 4 in origin.values()
    assert origin["seed"] == "20"
    assert number(origin["scan points"]) == 122_850
    assert "22.4 min" in origin.values()
    assert "5.75 s" in origin.values()
    assert dict(page.tables["versions"]) == {"numpy": "2.4.6", "xrdct-twin": "0.1.0"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rotation_axis_um": {"found": -3.3684, "true": -3.37}}, "−3.368 (true: −3.370)"),
        ({"rotation_axis_um": {"found": 0.5}}, "0.500"),
        ({}, None),
    ],
)
def test_the_rotation_axis_is_told_where_it_was_looked_for(given, told) -> None:
    """Truth: the metrics, to a nanometre."""
    metrics = {
        "config_sha256": "", "seed": 1, "scan": {"n_points": 1, "beam_time_s": 1.0, "mode": ""},
        "timing_s": {}, "peak_memory_MB": 1.0,
    }  # fmt: skip
    assert dict(report._origin(metrics | given)).get("rotation axis (µm)") == told


def test_names_are_escaped(
    run: tuple[Maps, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rules of HTML a name with markup in it must come back as text, never as tags."""
    maps, truth = run
    monkeypatch.setattr(report, "_images", lambda *_: defaultdict(str))  # no part of this
    name = "<script>alert(\"1\")</script> & 'co'"
    card = metrics_of(maps, truth, experiment=name, versions={"<b>x</b>": "<i>1</i>"})
    card["lattice"] = {"<u>phase</u>": lattice_metrics(maps, truth)}
    report.write_report(maps, truth=truth, metrics=card, path=tmp_path / "r.html")
    escaped = Page(tmp_path / "r.html")
    assert not {tag for tag, _ in escaped.tags} & {"script", "b", "i", "u"}
    assert name in escaped.text
    assert escaped.tables["versions"] == [["<b>x</b>", "<i>1</i>"]]


def _none_recovered(maps: Maps, truth: Truth) -> tuple[Maps, Truth]:
    return replace(maps, a_A=np.full((N, N), np.nan), example=None), truth


def _no_interior(maps: Maps, truth: Truth) -> tuple[Maps, Truth]:
    nowhere = np.zeros((N, N), dtype=bool)
    return maps, replace(truth, interior=nowhere, eroded=nowhere)


def _empty(_maps: Maps, _truth: Truth) -> tuple[Maps, Truth]:
    return fabricated(material=False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_none_recovered, "not recovered in a single interior voxel"),
        (_no_interior, "nothing to score"),
        (_empty, "nothing to score"),
    ],
)
def test_report_of_little(
    run: tuple[Maps, Truth], tmp_path: Path, change: Any, sentence: str
) -> None:
    """A run with nothing to show must say so, and show a dash where a figure does not exist."""
    maps, truth = change(*run)
    card = metrics_of(maps, truth)
    report.write_report(maps, truth=truth, metrics=card, path=tmp_path / "r.html")
    report.write_picture(maps, truth=truth, path=tmp_path / "p.png")
    little = Page(tmp_path / "r.html")
    assert sentence in little.text
    bias = next(row for row in little.tables["scorecard"] if row[0].startswith("bias"))
    assert bias[2:] == ["—", "—"]


def test_incomplete_metrics_and_other_grids_are_refused(
    run: tuple[Maps, Truth], tmp_path: Path
) -> None:
    """By the contract in the docstring; and a refused report leaves no file."""
    maps, truth = run
    card = metrics_of(maps, truth)
    path = tmp_path / "r.html"
    with pytest.raises(InputError, match="seed"):
        report.write_report(
            maps, truth=truth, metrics={k: card[k] for k in card if k != "seed"}, path=path
        )
    coarse = replace(truth, scan=truth.scan.model_copy(update={"step_um": 3.0}))
    with pytest.raises(InputError, match=r"3\.0 µm"):
        report.write_report(maps, truth=coarse, metrics=card, path=path)
    with pytest.raises(InputError, match=r"3\.0 µm"):
        report.write_picture(maps, truth=coarse, path=path)
    assert not list(tmp_path.iterdir())


def test_interrupted_writing_leaves_the_old_file(
    run: tuple[Maps, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the final name is always complete: here the disk fails before it is synced."""
    maps, truth = run
    path = tmp_path / "p.png"
    monkeypatch.setattr(report, "png", lambda _figure, **_options: b"old")
    report.write_picture(maps, truth=truth, path=path)

    def fail(_descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    monkeypatch.setattr(report, "png", lambda _figure, **_options: b"new")
    with pytest.raises(OSError, match="disk full"):
        report.write_picture(maps, truth=truth, path=path)
    assert path.read_bytes() == b"old"


def test_same_run_same_picture(run: tuple[Maps, Truth], tmp_path: Path) -> None:
    """Reproducibility: nothing but the data enters the file, neither date nor chance."""
    maps, truth = run
    for name in ("a.png", "b.png"):
        report.write_picture(maps, truth=truth, path=tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
