"""A pytest plugin for tests of pipelines; harmless and quick to load where it is not used.

Fixtures
    ``pipeline``        the callable that ``--xrdct-pipeline module:function`` names, or our own
    ``xrdct_scan``      a function: an experiment, its name or the path of its file → the simulated
                        scans with their truth, simulated once and kept in pytest's cache folder
    ``xrdct_property``  each property of `validation.properties` in turn

Marker
    ``xrdct_property(*names)``  tests of properties, to select with ``-m``; with names, the fixture
                        goes through these only

A test that fails shows the experiments and seeds it used. Nothing else of this package is imported
before a fixture is asked for. Simulations are kept by the hash of the experiment, of the versions
and the state of the code that makes them, and of CIF files beside it; they are written aside and
renamed when complete, so that processes of pytest-xdist share them.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from validation.experiment import Experiment
    from validation.properties import Pipeline
    from validation.steps import Simulated

_OPTION = "--xrdct-pipeline"
_MARK = "xrdct_property"
_CACHE = "xrdct"
_USED: pytest.StashKey[list[Experiment]] = pytest.StashKey()

Simulate: TypeAlias = "Callable[[Experiment | str | Path], Simulated]"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the pipeline to be tested."""
    parser.getgroup("xrdct-twin").addoption(
        _OPTION,
        default=None,
        metavar="MODULE:FUNCTION",
        help="the pipeline from raw scans to maps that fixture 'pipeline' gives (default: our own)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", f"{_MARK}(*names): a test of properties of a pipeline (validation.properties)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Go through all properties where a test asks for fixture ``xrdct_property``."""
    if _MARK not in metafunc.fixturenames:
        return
    from validation.properties import PROPERTIES

    marks = metafunc.definition.iter_markers(_MARK)
    names = [name for mark in marks for name in mark.args]
    unknown = set(names) - {law.__name__ for law in PROPERTIES}
    if unknown:
        raise pytest.UsageError(
            f"no property is named {', '.join(sorted(unknown))}; there are "
            f"{', '.join(law.__name__ for law in PROPERTIES)}"
        )
    chosen = [law for law in PROPERTIES if not names or law.__name__ in names]
    metafunc.parametrize(_MARK, chosen, ids=[law.__name__ for law in chosen])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that go through the properties, so that ``-m`` finds them."""
    for item in items:
        if _MARK in getattr(item, "fixturenames", ()) and not item.get_closest_marker(_MARK):
            item.add_marker(_MARK)


@pytest.fixture(scope="session")
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """Return the pipeline under test."""
    from validation.properties import load_pipeline, own_pipeline
    from xrdct.errors import InputError

    name = request.config.getoption(_OPTION)
    if name is None:
        return own_pipeline
    try:
        return load_pipeline(name)
    except InputError as error:
        raise pytest.UsageError(f"{_OPTION}: {error}") from error


@pytest.fixture(scope="session")
def _xrdct_simulate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Experiment], Simulated]:
    """Return what simulates, or reads what was simulated before."""
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir(_CACHE) if cache is not None else tmp_path_factory.mktemp(_CACHE)
    held: dict[str, Simulated] = {}

    def simulate(experiment: Experiment) -> Simulated:
        key = _key(experiment)
        if key not in held:
            held[key] = _kept(experiment, folder / key)
        return held[key]

    return simulate


@pytest.fixture
def xrdct_scan(
    request: pytest.FixtureRequest, _xrdct_simulate: Callable[[Experiment], Simulated]
) -> Simulate:
    """Return a function from an experiment, its name or its file to what is measured of it."""
    used = request.node.stash.setdefault(_USED, [])

    def scan(asked: Experiment | str | Path) -> Simulated:
        experiment = _experiment(asked)
        used.append(experiment)
        return _xrdct_simulate(experiment)

    return scan


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show experiments and seeds of a test that failed."""
    report = yield
    if report.failed:
        used = [*item.stash.get(_USED, []), *_of_failures(call.excinfo)]
        if used:
            report.sections.append(("xrdct-twin: experiments and seeds", _listed(used)))
    return report


def _of_failures(excinfo: pytest.ExceptionInfo[BaseException] | None) -> list[Experiment]:
    """Return the experiments of a PropertyError, or of several in a group."""
    if excinfo is None:
        return []
    found: list[Experiment] = []
    waiting: list[Any] = [excinfo.value]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting += reversed(error.exceptions)
        elif isinstance(error, AssertionError):
            found += getattr(error, "experiments", ())
    return found


def _listed(experiments: list[Experiment]) -> str:
    from validation.properties import experiment_toml

    each = {e.config_sha256(): e for e in experiments}
    return "\n".join(
        f"# experiment {digest[:12]}, seed {experiment.seed}\n{experiment_toml(experiment)}"
        for digest, experiment in each.items()
    )


def _experiment(asked: Experiment | str | Path) -> Experiment:
    from validation.experiment import load_experiment
    from validation.properties import NAMED

    if isinstance(asked, str) and asked in NAMED:
        return NAMED[asked]()
    if isinstance(asked, str | Path):
        if isinstance(asked, str) and not asked.endswith(".toml"):
            raise pytest.UsageError(
                f"no experiment is named {asked!r}; there are {', '.join(NAMED)}, and TOML files"
            )
        return load_experiment(Path(asked))
    return asked


def _key(experiment: Experiment) -> str:
    """Return what a simulation is kept by: everything that determines it."""
    import forward
    import phantoms
    import validation
    import xrdct
    from xrdct.versions import versions

    rooms = (Path(room.__path__[0]) for room in (forward, phantoms, validation, xrdct))
    code = _stamps(file for room in rooms for file in room.glob("*.py"))
    crystals = _stamps(experiment.folder.glob("*.cif"))
    told = [experiment.config_json(), sorted(versions().items()), code, crystals]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _stamps(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of files, by which a change is noticed."""
    found = ((str(file), file.stat()) for file in sorted(files))
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def _kept(experiment: Experiment, folder: Path) -> Simulated:
    """Return the simulation in ``folder``, which is made where it is not there."""
    if not folder.is_dir():
        _keep(experiment, folder)
    return _read(experiment, folder)


def _keep(experiment: Experiment, folder: Path) -> None:
    from validation.run import RunFiles, write_simulated
    from validation.steps import simulate

    simulated = simulate(experiment)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        files = RunFiles(aside)
        write_simulated(simulated, files.scan, truth=files.truth, experiment=experiment)
        try:
            aside.rename(folder)
        except OSError:  # another process was faster; what it wrote is the same
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _read(experiment: Experiment, folder: Path) -> Simulated:
    from forward.instrument import true_instrument
    from validation.run import RunFiles
    from validation.steps import Simulated
    from validation.truthfile import read_truth
    from xrdct.rawfile import read_raw_scan

    files = RunFiles(folder)
    known = read_truth(files.truth)
    return Simulated(
        raw=read_raw_scan(files.scan),
        others={name: read_raw_scan(files.scan, name=name) for name in experiment.scans},
        truth=known.truth,
        instrument=true_instrument(
            experiment.unknowns, beam=experiment.beam, detector=experiment.detector,
            geometry=experiment.geometry, seed=experiment.seed,
        ),
        timing_s=dict(known.timing_s),
    )  # fmt: skip
