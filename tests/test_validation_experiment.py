"""An experiment file means what it says, or is refused with one sentence that says where."""

import copy
import json
import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inverse.recipe import Recipe
from phantoms.library import Electrode, Particle1
from phantoms.particle import Particle, RadialLaw, RadialTable
from validation.crystals import placed_recipe
from validation.experiment import (
    Experiment,
    ParticleList,
    load_experiment,
    load_recipe,
    validated,
)
from validation.steps import experiment_hash, simulate
from xrdct.errors import InputError
from xrdct.scan import SCAN_PRESETS

TINY = Path(__file__).parent / "data" / "tiny.toml"
TABLE = tomllib.loads(TINY.read_text())
HEAD = TINY.read_text().split("[[sample.particles]]")[0]


@pytest.fixture
def told(tmp_path):
    """The complaint about a file, without its name, which must come first."""

    def load(text):
        path = tmp_path / "e.toml"
        path.write_text(text)
        with pytest.raises(InputError) as refused:
            load_experiment(path)
        sentence = str(refused.value)
        assert sentence.startswith(f"{path}: ") or sentence.startswith(f"{path} is not")
        assert "\n" not in sentence
        return sentence.removeprefix(f"{path}: ")

    return load


def edited(old, new):
    text = TINY.read_text()
    assert old in text
    return text.replace(old, new, 1)


def test_file_means_what_it_says():
    experiment = load_experiment(TINY)
    assert experiment.name == "tiny"
    assert experiment.scan.n_points == 180
    assert experiment.sample.particles[0].x == 0.95
    assert experiment.sample.particles[1].x == RadialLaw(core=0.98, surface=0.85)
    assert experiment.beam.energy_keV == 50.0
    assert experiment.recipe.fixed_phases[0].crystal == "Li2MnO3"
    assert experiment.folder == TINY.parent.resolve()


def test_seed_given_replaces_that_of_the_file():
    assert load_experiment(TINY).seed == 3
    assert load_experiment(TINY, seed=0).seed == 0


def test_presets_may_be_changed_key_by_key(tmp_path):
    path = tmp_path / "e.toml"
    path.write_text(HEAD.replace("[scan]\nn_offsets = 15\nstep_um = 1.0\nn_angles = 12", (
        '[scan]\npreset = "roi"\nn_angles = 90'
    )) + "[sample]\nparticles = []\n")  # fmt: skip
    expected = SCAN_PRESETS["roi"].model_copy(update={"n_angles": 90})
    assert load_experiment(path).scan == expected


def test_byte_order_mark_of_windows_editors_is_no_obstacle(tmp_path):
    path = tmp_path / "e.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TINY.read_bytes())
    assert load_experiment(path).config_json() == load_experiment(TINY).config_json()


def test_hash_is_of_the_experiment_and_not_of_where_it_lies(tmp_path):
    (tmp_path / "other.toml").write_text("# a comment\n" + TINY.read_text())
    one, other = load_experiment(TINY), load_experiment(tmp_path / "other.toml")
    assert one.config_sha256() == other.config_sha256()
    assert experiment_hash(one) == experiment_hash(other)
    reseeded = load_experiment(TINY, seed=4)
    assert reseeded.config_sha256() != one.config_sha256()
    assert experiment_hash(reseeded) != experiment_hash(one)


def test_experiment_survives_its_own_json():
    # What the truth file does with it.
    one = load_experiment(TINY)
    again = Experiment.model_validate(json.loads(one.config_json()))
    assert again.config_json() == one.config_json()


UNKNOWN_KEYS = [
    ("step_um = 1.0", "step_mm = 1e-3", "unknown key scan.step_mm: did you mean step_um?"),
    ("step_um = 1.0", "step = 1.0", "unknown key scan.step: did you mean step_um?"),
    ("seed = 3", "sead = 3", "unknown key sead: did you mean seed?"),
    ("seed = 3", "Seed = 3", "unknown key Seed: did you mean seed?"),
    ("x = 0.95", "X = 0.95", "unknown key sample.particles[0].X: did you mean x?"),
    (
        "diameter_um = 6.2",
        "diameter_nm = 6200",
        "unknown key sample.particles[1].diameter_nm: did you mean diameter_um?",
    ),
    (
        "surface = 0.85",
        "surfce = 0.85",
        "unknown key sample.particles[1].x.surfce: did you mean surface?",
    ),
    (
        "core = 0.98, surface = 0.85",
        "r_over_R = [0, 1], values = [0.9, 0.8]",
        "unknown key sample.particles[1].x.values: did you mean value?",
    ),
    (
        "thickness_um = 1.0",
        "thickness = 1.0",
        "unknown key sample.particles[1].shells[0].thickness: did you mean thickness_um?",
    ),
    (
        "[recipe]",
        "[beam]\nflux = 1e11\n[recipe]",
        "unknown key beam.flux: did you mean flux_per_s",
    ),
    (
        "[recipe]",
        "[beam]\nenergy_eV = 5e4\n[recipe]",
        "unknown key beam.energy_eV: did you mean energy_keV?",
    ),
    (
        "[recipe]",
        "[recipe]\ncalibration = { distance_m = 0.7, profile = { u_deg2 = 1 } }",
        "unknown key recipe.calibration.profile.u_deg2: did you mean U_deg2?",
    ),
    ("[scans.coarse]", "[scans.Big]\nstep_mm = 1", "unknown key scans.Big.step_mm: did you mean"),
    ("[recipe]", "[effects]\nnoize = true\n[recipe]", "unknown key effects.noize: did you mean"),
    ("step_um = 1.0", "presett = 'roi'", "unknown key scan.presett: did you mean preset?"),
    (
        "step_um = 1.0",
        "foo = 1.0",
        "unknown key scan.foo (known here: angle_range_deg, angles_deg, dead",
    ),
    ("seed = 3", 'folder = "x"', "unknown key folder: CIF files are looked for beside this file"),
    ("seed = 3", '"a key" = 1', "unknown key 'a key' (known here: accuracy, beam, calibrant"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), UNKNOWN_KEYS)
def test_unknown_key_is_told_with_the_likely_one(told, old, new, sentence):
    assert told(edited(old, new)).startswith(sentence)


WRONG_VALUES = [
    ("step_um = 1.0", "step_um = -1.0", "scan.step_um must be greater than 0 (found -1.0)"),
    ("step_um = 1.0", 'step_um = "1.0"', "scan.step_um must be a number, without quotes"),
    ("step_um = 1.0", "step_um = true", "scan.step_um must be a number (found true)"),
    ("step_um = 1.0", "step_um = nan", "scan.step_um must be a finite number (found nan)"),
    ("step_um = 1.0", "step_um = -inf", "scan.step_um must be a finite number (found -inf)"),
    ("step_um = 1.0", "step_um = [1.0]", "scan.step_um must be a number"),
    ("step_um = 1.0", f"step_um = 1{'0' * 400}", "scan.step_um must be a number (found 1000000"),
    ("step_um = 1.0", f"step_um = 1{'0' * 5000}", "e.toml is not valid TOML: Exceeds the limit"),
    ("n_angles = 12", "n_angles = 0", "scan.n_angles must be at least 1 (found 0)"),
    ("n_angles = 12", "n_angles = 12.5", "scan.n_angles must be a whole number (found 12.5)"),
    ("n_angles = 12", f"n_angles = {10**30}", "scan.n_angles must be at most 100000 (found 1000"),
    ("n_angles = 12", "", "missing key scan.n_angles"),
    ("seed = 3", "seed = -1", "seed must be at least 0 (found -1)"),
    ("seed = 3", "seed = 18446744073709551616", "seed must be less than 9223372036854775808"),
    ('name = "tiny"', "name = 3", 'name must be text in quotes, "…" (found 3)'),
    ('name = "tiny"', 'name = ""', "name must have at least 1 character (found '')"),
    ("[recipe]", "[effects]\nnoise = 'off'\n[recipe]", "effects.noise must be true or false, with"),
    ("[recipe]", "[effects]\nnoise = 0\n[recipe]", "effects.noise must be true or false (found 0)"),
    ("[recipe]", "beam = 3\n[recipe]", "unknown key unknowns.beam"),
    ("seed = 3", "beam = 3", "beam must be a table (found 3)"),
    ("seed = 3", "effects = []", "effects must be a table"),
    (
        "centre_um = [-3.2, 0.5, 0.0]",
        "centre_um = [-3.2, 0.5]",
        "sample.particles[0].centre_um needs more than 2 entries",
    ),
    (
        "centre_um = [-3.2, 0.5, 0.0]",
        "centre_um = [-3.2, 0.5, 0.0, 1.0]",
        "sample.particles[0].centre_um must have 3 entries, not 4",
    ),
    (
        "centre_um = [-3.2, 0.5, 0.0]",
        "centre_um = -3.2",
        "sample.particles[0].centre_um must be a list, [ … ] (found -3.2)",
    ),
    ("x = 0.95", "x = []", "sample.particles[0].x must be a number"),
    ("x = 0.95", "x = {}", "missing key sample.particles[0].x.core"),
    ("x = 0.95", "x = '0.95'", "sample.particles[0].x must be a number, without quotes"),
    (
        "x = 0.95",
        "x = { r_over_R = [0.0, 1.2], value = [0.9, 0.9] }",
        "sample.particles[0].x.r_over_R[1] must be at most 1 (found 1.2)",
    ),
    (
        "x = 0.95",
        "x = { r_over_R = [0.5, 0.5], value = [0.9, 0.9] }",
        "sample.particles[0].x: r_over_R must increase from entry to entry",
    ),
    (
        "weight_fraction = 0.04",
        "weight_fraction = 4",
        "sample.particles[1].shells[0].weight_fraction must be at most 1 (found 4)",
    ),
    (
        "weight_fraction = 0.04",
        "weight_fraction = [0.1, 2]",
        "sample.particles[1].shells[0].weight_fraction[1] must be at most 1 (found 2)",
    ),
    (
        "distance_ppm = [-200.0, 200.0]",
        "distance_ppm = [200.0, -200.0]",
        "unknowns.distance_ppm: the low end 200.0 exceeds the high end -200.0",
    ),
    (
        "two_theta_max_deg = 9.0",
        "two_theta_max_deg = 2.0",
        "geometry: two_theta_max_deg (2.0) must lie above two_theta_min_deg (2.5)",
    ),
    ("[scan]\n", '[scan]\npreset = "rio"\n', "scan: no scan preset 'rio'; there are broad, coarse"),
    ("[scan]\n", "[scan]\npreset = []\n", "scan: no scan preset []; there are broad, coarse"),
    ("[scans.coarse]", "[scans.entry]", "scans: a scan cannot be named 'entry'"),
    ("[scans.coarse]", "[scans.main]", "scans: a scan cannot be named 'main'"),
    ("[scans.coarse]", '[scans."a/b"]', "scans: a scan cannot be named 'a/b'"),
    ("[scans.coarse]", '[scans.".."]', "scans: a scan cannot be named '..'"),
    ("[scans.coarse]", f"[scans.{'a' * 41}]", "scans: a scan cannot be named 'aaaa"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), WRONG_VALUES)
def test_wrong_value_is_told_with_its_key_and_rule(told, old, new, sentence):
    assert sentence in told(edited(old, new))


WRONG_SAMPLES = [
    ('library = "particle_3"', "sample.library: no sample named 'particle_3' in the library"),
    ("library = [1]", "sample.library: no sample named [1] in the library"),
    ('library = "particle_1"\nparticles = []', "[sample] takes either a library name or particles"),
    ("", "[sample] needs particles, or a library name: one of particle_1, particle_2, electrode"),
    ("particles = [3]", "sample.particles[0] must be a table (found 3)"),
    ("particles = { a = 1 }", "sample.particles must be a list"),
    ('library = "electrode"\nmedian_mm = 5', "unknown key sample.median_mm (known here: crystal"),
    (
        'library = "electrode"\nmedian_particle_nm = 5',
        "unknown key sample.median_particle_nm: did you mean median_particle_um?",
    ),
    (
        'library = "electrode"\nlargest_particle_um = 1.0',
        "sample: smallest_particle_um (1.5) must lie below largest_particle_um (1)",
    ),
    (
        'library = "electrode"\ndiameter_um = 15.0',
        "sample: largest_particle_um (20) must not exceed the electrode's diameter_um (15)",
    ),
    ('library = "particle_1"\ndiameter_um = "9"', "sample.diameter_um must be a number, without"),
    ('library = "particle_2"\nfilled_fraction = 1.1', "sample.filled_fraction must be at most 1"),
]


@pytest.mark.parametrize(("sample", "sentence"), WRONG_SAMPLES)
def test_wrong_sample_is_told(told, sample, sentence):
    assert told(f"{HEAD}[sample]\n{sample}\n").startswith(sentence)


WRONG_TOGETHER = [
    (
        "[3.4, -0.5",
        "[1.0, -0.5",
        "sample: particles must not overlap, but particles[0] (centre -3.2, 0.5, 0 µm) and "
        "particles[1] (centre 1, -0.5, 0.3 µm) do",
    ),
    (
        "x = 0.95",
        "x = 1.2",
        "sample: particles[0] (centre -3.2, 0.5, 0 µm): x must lie between 3y, where all manganese "
        "is Mn4+, and 1; got x = 1.2 at y = 0",
    ),
    ("x = 0.95", "x = 0.2\ny = 0.1", "got x = 0.2 at y = 0.1"),
    ("x = 0.95", "y = 0.11", "y must lie between 0 and 0.10, got y = 0.11"),
    (
        "x = 0.95",
        "x = { r_over_R = [0, 0.51, 0.52, 0.53, 1], value = [0.9, 0.9, 1.1, 0.9, 0.9] }",
        "got x = 1.1 at y = 0",
    ),
    (
        '"Li2MnO3", thick',
        '"Li2MnO4", thick',
        "sample.particles[1].shells[0].phase: unknown",
    ),
    ('phase = "Li2MnO3"', 'phase = "LiMn2O4"', "a shell cannot be of LiMn2O4, which the particle"),
    ("thickness_um = 1.0", "depth_um = 5, thickness_um = 1", "begins at a depth of 5 µm, but its"),
    ('[{ crystal = "Li2MnO3" }]', '[{ crystal = "x" }]', "recipe.fixed_phases[0].crystal: unknown"),
    (
        '[{ crystal = "Li2MnO3" }]',
        '[{ crystal = "Al" }, { crystal = "Al" }]',
        "recipe.fixed_phases[1].crystal: Al is listed twice",
    ),
    (
        "[recipe]",
        '[recipe]\nphase = { crystal = "x" }',
        "recipe.phase.crystal: unknown crystal",
    ),
    ("[recipe]", '[recipe]\nphase = { crystal = "graphite" }', "graphite is not cubic, so cannot"),
    (
        "[recipe]",
        '[recipe]\nphase = { crystal = "Al" }',
        "must lie within 10% of a = 4.0495 Å",
    ),
    (
        "[recipe]",
        "[recipe]\nphase = { a_min_A = 8.2, a_max_A = 8.205 }",
        "recipe.phase: a_max_A (8.205) must exceed a_min_A (8.2) by at least 0.01 Å",
    ),
    ("[recipe]", '[calibrant]\ncrystal = "LaB7"\n[recipe]', "calibrant.crystal: unknown crystal"),
    (
        "two_theta_max_deg = 9.0",
        "two_theta_max_deg = 4.0",
        "calibrant.crystal: at least 3 of the lines of LaB6 must lie between 2.5° and 4° of 2θ "
        "(see geometry), but 1 do",
    ),
    ("[scan]\n", "[scan]\nangle_range_deg = 90.0\n", "scan.angle_range_deg must be 180 or 360"),
    (
        "[recipe]",
        "[calibrant]\nexposure_s = 1e9\n[recipe]",
        "calibrant.exposure_s must be at most 3600 (found 1e+09)",
    ),
    (
        "[scan]\n",
        "[beam]\nflux_per_s = 1e16\n[scan]\n",
        "beam.flux_per_s times calibrant.exposure_s must be at most 1e+15 photons (found 1e+17)",
    ),
    (
        "[geometry]",
        "[geometry]\ndistance_m = 20.0",
        "geometry.distance_m: at 20 m no ring of the pattern falls on the detector",
    ),
    (
        "[scan]\n",
        '[detector]\nname = "Pilatus9"\n[scan]\n',
        "detector.name: pyFAI knows no det",
    ),
]


@pytest.mark.parametrize(("old", "new", "sentence"), WRONG_TOGETHER)
def test_what_cannot_be_is_told_when_loading(told, old, new, sentence):
    assert sentence in told(edited(old, new))


def test_full_turn_and_a_few_missing_degrees_are_allowed(tmp_path):
    for degrees in (360.0, 175.0):
        path = tmp_path / "e.toml"
        path.write_text(edited("[scan]\n", f"[scan]\nangle_range_deg = {degrees}\n"))
        assert load_experiment(path).scan.angle_range_deg == degrees


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "missing key sample"),
        (b"\xff\xfe\x00", "is not a text file in UTF-8"),
        (b"a = ", "is not valid TOML: Invalid value"),
        (b"a = " + b"[" * 5000, "is not valid TOML"),
        (b"a = 1\na = 2", "is not valid TOML: Cannot overwrite a value"),
        (b"sample = 4\nscan = 3", "sample must be a table (found 4)"),
        (b"name = 1979-05-27", 'name must be text in quotes, "…"'),
    ],
)
def test_file_that_is_no_experiment(tmp_path, content, sentence):
    path = tmp_path / "e.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as told:
        load_experiment(path)
    assert str(told.value).startswith(str(path))
    assert sentence in str(told.value)


def test_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "e.toml"
    with path.open("wb") as file:
        file.truncate(51 * 2**20)
    with pytest.raises(InputError, match=r"e\.toml is larger than 50 MB"):
        load_experiment(path)


def test_several_planes_are_told_before_anything_is_built():
    experiment = Experiment(sample=Electrode(), scan=SCAN_PRESETS["volume"])
    with pytest.raises(InputError, match=r"scan\.n_planes is 20, but one plane is simulated"):
        simulate(experiment)
    scans = {"volume": SCAN_PRESETS["volume"]}
    experiment = Experiment(sample=Electrode(), scan=SCAN_PRESETS["roi"], scans=scans)
    with pytest.raises(InputError, match=r"scans\.volume\.n_planes is 20"):
        simulate(experiment)


def test_calibrant_that_hardly_scatters_is_told():
    # 10 000 photons give 1 % each to the heights of a few lines, hardly their widths.
    tiny = load_experiment(TINY)
    weak = tiny.calibrant.model_copy(update={"exposure_s": 1e-9})
    with pytest.raises(InputError, match=r"calibrant\.exposure_s \(1e-09\) gives \d+ photons, but"):
        simulate(tiny.model_copy(update={"calibrant": weak}))


def test_recipe_file(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('n_background = 3\n[reconstruction]\nfilter = "hann"\n')
    assert load_recipe(path) == Recipe(n_background=3, reconstruction={"filter": "hann"})
    for text, sentence in (
        ("n_background = 0", "n_background must be at least 1 (found 0)"),
        ('reconstruction = { filter = "han" }', "reconstruction.filter must be 'ramp', 'shepp-log"),
        ('fixed_phases = ["Al"]', "fixed_phases[0] must be a table (found 'Al')"),
        (
            'phase = { crystal = "none.cif" }',
            f"phase.crystal: {tmp_path / 'none.cif'}: there",
        ),
        ("[recipe]\nn_background = 3", "unknown key recipe"),
    ):
        path.write_text(text)
        with pytest.raises(InputError) as told:
            load_recipe(path)
        assert str(told.value).startswith(f"{path}: {sentence}")


def test_cif_files_of_a_recipe_get_whole_paths(tmp_path):
    # So that they are found from wherever the scan is read.
    fixed = [{"crystal": "Al"}, {"crystal": "b.cif"}]
    recipe = Recipe(phase={"crystal": "a.CIF"}, fixed_phases=fixed)
    placed = placed_recipe(recipe, folder=tmp_path / "x" / "..")
    assert placed.phase.crystal == str(tmp_path / "a.CIF")
    assert [p.crystal for p in placed.fixed_phases] == ["Al", str(tmp_path / "b.cif")]


def test_library_sample_from_python_and_from_a_table_are_equal():
    scan = SCAN_PRESETS["roi"]
    written = Experiment(sample=Particle1(diameter_um=9.0), scan=scan)
    table = {"sample": {"library": "particle_1", "diameter_um": 9.0}, "scan": {"preset": "roi"}}
    assert Experiment.model_validate(table) == written


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from([0, 1, -1, 0.5, 1e308, math.nan, math.inf, "", "roi", "x.cif", [], {}, [[]]]),
)
KEYS = st.sampled_from(
    [
        "sample", "library", "particles", "scan", "scans", "preset", "x", "y", "core", "surface",
        "r_over_R", "value", "shells", "phase", "weight_fraction", "centre_um", "diameter_um",
        "n_offsets", "step_um", "recipe", "calibration", "profile", "U_deg2", "unknowns", "beam",
        "float", "number", "RadialLaw", "[key]", "folder", "Particle1", "µm", "",
    ]
)  # fmt: skip
TABLES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


def places(node, path=()):
    """Every place in a nested table."""
    yield path
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            yield from places(value, (*path, key))


def put(table, path, value):
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value


def told_or_accepted(table):
    """Law of the loader: an experiment, which can be told again, or an InputError of one line."""
    try:
        experiment = validated(Experiment, table, source=Path("e.toml"))
    except InputError as error:
        return str(error)
    assert Experiment.model_validate(json.loads(experiment.config_json())) == experiment
    return None


@settings(max_examples=200)
@given(table=st.dictionaries(KEYS, TABLES, max_size=5))
def test_any_table_is_an_experiment_or_refused(table):
    sentence = told_or_accepted(table)
    assert sentence is None or (sentence.startswith("e.toml: ") and "\n" not in sentence)


@settings(max_examples=300)
@given(data=st.data())
def test_any_change_gives_an_experiment_or_is_refused(data):
    table = copy.deepcopy(TABLE)
    for _ in range(data.draw(st.integers(1, 3))):
        here = [path for path in places(table) if path]
        path = data.draw(st.sampled_from(here))
        if data.draw(st.booleans()) and isinstance(path[-1], str):
            path = (*path[:-1], data.draw(KEYS))
        put(table, path, copy.deepcopy(data.draw(TABLES)))
    sentence = told_or_accepted(table)
    assert sentence is None or (sentence.startswith("e.toml: ") and "\n" not in sentence)


@settings(max_examples=30)
@given(x=st.floats(0.0, 1.0), exponent=st.floats(0.1, 10.0), r=st.floats(0.01, 0.99))
def test_laws_survive_json(x, exponent, r):
    law = RadialLaw(core=x, surface=1.0, exponent=exponent)
    table = RadialTable(r_over_R=(0.0, r, 1.0), value=(x, 1.0, x))
    particles = tuple(
        Particle(centre_um=(30.0 * i, 0, 0), diameter_um=9, x=each)
        for i, each in enumerate((x, law, table))
    )
    sample = ParticleList(particles=particles)
    again = ParticleList.model_validate(json.loads(sample.model_dump_json()))
    assert again == sample
