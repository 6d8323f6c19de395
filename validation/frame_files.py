"""Frames on disk: a scan measured into shards and a master, resumed where it was interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forward.frame_scan import FrameScanner
from forward.frames import FrameModel
from forward.motion import acquisition_order
from forward.pilatus import LARGEST_COUNT
from inverse.recipe import Recipe
from validation.batch.cluster import Cluster
from validation.batch.frames import FrameMakers, frame_makers
from validation.calibration import with_calibration
from validation.experiment import Experiment
from validation.feasible import check_one_plane
from validation.laboratory import Laboratory, laboratory
from validation.outputs import other_scan_path
from validation.steps import experiment_hash, known_truth, share_of
from validation.truthfile import read_truth, write_truth
from xrdct.compiled import single_threaded_algebra
from xrdct.errors import InputError
from xrdct.framefile import FrameScan, read_frame_scan, write_frame_scan
from xrdct.manifest import Layout, Manifest
from xrdct.rawfile import CLOCK_START
from xrdct.shardreader import Shards
from xrdct.shards import ShardWriter
from xrdct.versions import versions

Progress = Callable[[str, float], None]
_GAP, _DEAD = 1, 2
"""Bits of an NXdetector's pixel mask."""


def write_frames(
    experiment: Experiment,
    path: Path,
    *,
    truth: Path | None = None,
    force: bool = False,
    workers: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> None:
    """Measure all scans of an experiment into frames, the one to reconstruct into ``path``.

    Shards that are there and whole are kept, as are whole scans and a truth of this experiment;
    masters are written last. With ``force``, what has these names is removed first. A ``cluster``
    makes the frames, if there is one; files are the same.

    Raises InputError for an experiment without noise, whose frames are no counts, where files of
    these names are of another experiment, and where the cluster cannot be had or is lost.
    """
    if not experiment.effects.noise:
        raise InputError(
            "frames on disk are counts, so effects.noise must be true: without noise, use "
            "`run --mode frames`, which integrates frames as they are made"
        )
    check_one_plane(experiment.all_scans())
    names = [path, *(other_scan_path(path, name) for name in experiment.scans)]
    _check_own(experiment, names, truth, force=force)
    with frame_makers(experiment, cluster) as makers:
        _write_all(
            experiment, names, truth, force=force, workers=workers, makers=makers,
            progress=progress,
        )  # fmt: skip


def _write_all(
    experiment: Experiment,
    names: list[Path],
    truth: Path | None,
    *,
    force: bool,
    workers: int | None,
    makers: FrameMakers | None,
    progress: Progress | None,
) -> None:
    tell = progress or (lambda _step, _fraction: None)
    tell("phantom", 0.0)
    lab = laboratory(experiment)
    recipe = with_calibration(experiment, lab.instrument)
    if truth is not None and (force or not truth.exists()):
        write_truth(
            known_truth(lab, workers=workers), truth, experiment=experiment,
            instrument=lab.instrument, timing_s={},
        )  # fmt: skip
    model = lab.detector(lab.prepared("frames", workers=workers))
    with single_threaded_algebra():
        for number in reversed(range(len(names))):  # the main scan last: it marks all as complete
            _write_scan(
                lab, model, recipe, number, names[number], force=force, workers=workers,
                makers=makers, progress=share_of(tell, lab.scans, number),
            )  # fmt: skip


def _check_own(
    experiment: Experiment, masters: list[Path], truth: Path | None, *, force: bool
) -> None:
    """Refuse to go on where what lies there is of another experiment."""
    if force:
        return
    own = experiment_hash(experiment)
    found = [(path, read_frame_scan(path).experiment_hash) for path in masters if path.exists()]
    if truth is not None and truth.exists():
        found.append((truth, experiment_hash(read_truth(truth).experiment)))
    for path, identity in found:
        if identity != own:
            raise InputError(
                f"{path} is of another experiment: choose another name, or use --force"
            )


def _write_scan(
    lab: Laboratory,
    model: FrameModel,
    recipe: Recipe,
    number: int,
    path: Path,
    *,
    force: bool,
    workers: int | None,
    makers: FrameMakers | None,
    progress: Callable[[float], None],
) -> None:
    scan, conditions = lab.scans[number], lab.conditions[number]
    layout = Layout(
        stem=path.stem,
        identity=experiment_hash(lab.experiment),
        frame_shape=lab.experiment.detector.shape,
        n_frames=scan.n_points,
    )
    if force:
        path.unlink(missing_ok=True)
        shutil.rmtree(path.parent / layout.folder_name, ignore_errors=True)
    elif path.exists():
        return
    scanner, order = lab.scanner(model, number), acquisition_order(scan)
    manifest = _write_shards(scanner, order, layout, path.parent, workers, makers, progress)
    readings = conditions.readings
    line = order // scan.n_offsets
    write_frame_scan(
        FrameScan(
            scan=scan,
            beam=lab.experiment.beam,
            detector=lab.experiment.detector,
            geometry=lab.experiment.geometry,
            shards=Shards(path.parent, manifest),
            raster=order,
            encoder_offset_um=readings.encoder_offset_um.ravel()[order],
            encoder_rotation_rad=readings.encoder_rotation_rad[line],
            elapsed_s=readings.time_s.ravel()[order],
            monitor=conditions.monitor.ravel()[order],
            transmitted=scanner.all_transmitted().ravel()[order],
            pixel_mask=_pixel_mask(model),
            clock_start=CLOCK_START,
            flat_field=model.known_flat,
            saturation=LARGEST_COUNT,
            recipe=recipe.model_dump(mode="json"),
            title=lab.experiment.name,
            versions=versions(),
        ),
        path,
    )


def _write_shards(
    scanner: FrameScanner,
    order: NDArray[np.int64],
    layout: Layout,
    folder: Path,
    workers: int | None,
    makers: FrameMakers | None,
    progress: Callable[[float], None],
) -> Manifest:
    """Make the shards that are missing, and return the list of all."""

    def make(number: int) -> NDArray[np.int32]:
        return scanner.frame(int(order[number]))

    with ShardWriter(folder, layout, workers=workers) as writer:
        missing = writer.missing()
        if makers is None:
            for index in missing:
                progress(index / layout.n_shards)
                writer.make_shard(index, make)
            return writer.finished()
        numbers = [number for index in missing for number in layout.frames_of(index)]
        with closing(makers.chunks(scanner.scan_number, order[numbers].tolist())) as chunks:
            for index in missing:
                progress(index / layout.n_shards)
                writer.write_chunks(index, islice(chunks, len(layout.frames_of(index))))
        return writer.finished()


def _pixel_mask(model: FrameModel) -> NDArray[np.uint32]:
    """Return what the beamline knows of bad pixels: gaps and the dead ones on the maker's list."""
    mask = np.where(model.state.live, 0, _GAP).astype(np.uint32)
    if model.virtual.effects.bad_pixels:
        mask[model.state.known_dead] |= np.uint32(_DEAD)
    return mask
