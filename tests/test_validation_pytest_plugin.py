"""The plugin does nothing until asked, and the documented test file runs as it stands."""

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from validation.experiment import load_experiment
from validation.properties import NAMED
from validation.properties.subjects import pair

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parent.parent / "docs" / "testing.md"
LOADED = any(point.value == "validation.pytest_plugin" for point in entry_points(group="pytest11"))
PLUGIN = () if LOADED else ("-p", "validation.pytest_plugin")


@pytest.fixture
def run(pytester):
    """Run pytest on a text, in this process: what is compiled stays compiled."""

    def run(text, *options):
        pytester.makepyfile(test_it=text)
        return pytester.runpytest_inprocess(*PLUGIN, "--strict-markers", *options)

    return run


def documented():
    (block,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    return block


def test_documented_test_file_passes(run):
    run(documented(), "-W", "error").assert_outcomes(passed=13)


def test_loading_it_imports_nothing_heavy():
    # A fresh interpreter: what the plugin needs before any fixture is asked for.
    code = (
        "import sys, pytest; before = set(sys.modules); import validation.pytest_plugin;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    root = Path(__file__).parent.parent
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    ours = {"xrdct", "phantoms", "forward", "inverse", "numpy", "scipy", "numba", "hypothesis"}
    assert "validation" in found.stdout.split()
    assert not ours & set(found.stdout.split())


def test_tests_that_do_not_use_it_run_as_ever(run):
    result = run("def test_nothing():\n    pass\n")
    result.assert_outcomes(passed=1)
    shown = [line for line in result.outlines if not line.startswith("plugins:")]
    assert not any("xrdct" in line for line in shown)


PAIR_OF = "def test_it(pipeline, xrdct_scan):\n    scan = xrdct_scan({})\n"


def test_failure_shows_experiment_and_seed_that_can_be_run_again(run, tmp_path):
    result = run(PAIR_OF.format("'pair'") + "    assert not scan.raw.title\n")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    shown = re.search(r"xrdct-twin: experiments and seeds -+\n(.*?)\n(?:-----|=====)", text, re.S)
    assert shown is not None
    assert "seed 0" in shown[1]
    path = tmp_path / "again.toml"
    path.write_text(shown[1])
    assert load_experiment(path).config_json() == pair().config_json()


def test_broken_law_shows_its_experiments(run):
    text = (
        "from validation.properties import NAMED, PropertyError\n"
        "def test_it():\n    raise PropertyError('law', 'is broken', [NAMED['ball'](5)])\n"
    )
    shown = run(text).stdout.str()
    assert "law: is broken (seed 5; experiment " in shown
    assert "xrdct-twin: experiments and seeds" in shown
    assert 'name = "ball"' in shown


def test_scan_is_simulated_once_and_read_as_it_was(run, monkeypatch):
    text = PAIR_OF.format("'pair'") + (
        "    from pathlib import Path\n"
        "    counts = Path('counts')\n"
        "    if not counts.exists():\n        counts.write_bytes(scan.raw.counts.tobytes())\n"
        "    assert counts.read_bytes() == scan.raw.counts.tobytes()\n"
        "    assert scan.truth.eroded.any() and scan.instrument.b_iso_factor == 1.0\n"
        "    assert xrdct_scan('pair') is scan\n"
    )
    run(text).assert_outcomes(passed=1)

    def refuse(experiment):
        raise RuntimeError("simulated again")

    monkeypatch.setattr("validation.steps.simulate", refuse)
    run(text).assert_outcomes(passed=1)
    run(PAIR_OF.format("NAMED['pair'](1)") + "from validation.properties import NAMED\n")
    result = run("from validation.properties import NAMED\n" + PAIR_OF.format("NAMED['pair'](1)"))
    result.assert_outcomes(failed=1)  # another seed is another experiment
    assert "simulated again" in result.stdout.str()


def test_experiment_may_be_a_file(run, pytester):
    pytester.path.joinpath("mine.toml").write_text(
        (Path(__file__).parent / "data" / "tiny.toml").read_text()
    )
    text = PAIR_OF.format("'mine.toml'") + "    assert set(scan.others) == {'coarse'}\n"
    run(text).assert_outcomes(passed=1)


def test_pipeline_is_the_one_that_the_option_names(run, pytester):
    pytester.makepyfile(mine="class Chain:\n    @staticmethod\n    def maps(raw, others): ...\n")
    pytester.syspathinsert()
    text = "import mine\ndef test_it(pipeline):\n    assert pipeline is mine.Chain.maps\n"
    run(text, "--xrdct-pipeline", "mine:Chain.maps").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no_module_of_this_name:maps", "cannot be imported"),
        ("math", "named as module:function"),
        ("math:pi", "not callable but a float"),
    ],
)
def test_wrong_option_is_told_in_a_sentence(run, name, complaint):
    result = run("def test_it(pipeline):\n    pass\n", "--xrdct-pipeline", name)
    assert complaint in result.stdout.str() + result.stderr.str()
    assert result.ret != 0


def test_unknown_experiment_is_told_with_those_there_are(run):
    shown = run(PAIR_OF.format("'triple'")).stdout.str()
    assert "no experiment is named 'triple'" in shown
    assert all(name in shown for name in NAMED)


TWO = (
    "import pytest\n"
    "@pytest.mark.xrdct_property('null_sample', 'flux_scaling')\n"
    "def test_it(xrdct_property):\n    assert callable(xrdct_property)\n"
    "def test_all(xrdct_property):\n    assert callable(xrdct_property)\n"
    "def test_other():\n    pass\n"
)


def test_marker_picks_properties_and_selects_tests(run):
    run(TWO).assert_outcomes(passed=2 + 11 + 1)
    run(TWO, "-m", "xrdct_property").assert_outcomes(passed=2 + 11, deselected=1)


def test_unknown_property_is_told(run):
    result = run(TWO.replace("null_sample", "nul_sample"))
    assert "no property is named nul_sample" in result.stdout.str() + result.stderr.str()


@pytest.mark.slow
def test_processes_share_what_is_simulated(pytester):
    # Each of two processes runs two of four tests; the folder then holds one simulation, whole.
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.parametrize('number', range(4))\n"
        "def test_it(xrdct_scan, number):\n    assert xrdct_scan('pair').raw.counts.any()\n"
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-n", "2")
    result.assert_outcomes(passed=4)
    (kept,) = (pytester.path / ".pytest_cache" / "d" / "xrdct").iterdir()
    assert {file.name for file in kept.iterdir()} == {"scan.h5", "truth.h5"}
