"""Several models in one run: each organ comes from the model that knows it best, and the result says which, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import focusnet
from focusnet.errors import Cancelled, FocusNetError, InputError, ModelError
from focusnet.image import drawn_by
from focusnet.image.volume import Volume
from focusnet.inference import segment as engine
from focusnet.inference.options import SegmentOptions
from focusnet.nets.bundle import ModelBundle
from focusnet.nets.known_organs import best_models, known_organ
from focusnet.nets.several import load_bundles, model_names
from focusnet.progress import Progress

from ..helpers_engine import head
from ..helpers_several import CAUTION, REAL_ORGANS, real_bundle, simulated_bundle


@pytest.fixture(scope="module")
def volume() -> Volume:
    return head()


@pytest.fixture
def real(tmp_path: Path) -> ModelBundle:
    return real_bundle(tmp_path)


@pytest.fixture
def simulated(tmp_path: Path) -> ModelBundle:
    return simulated_bundle(tmp_path)


def test_each_organ_is_from_the_model_that_knows_it_best(
    volume: Volume, real: ModelBundle, simulated: ModelBundle
) -> None:
    result = focusnet.segment(volume, [real, simulated], device="cpu", check_orientation=False)
    made = result.provenance
    assert [r.organ.name for r in result.results] == [*REAL_ORGANS, "Lens_R", "Lens_L", "OpticChiasm"]
    assert {name: drawn_by.model_of(made, name) for name in ("Brainstem", "Larynx", "Lens_L")} == {
        "Brainstem": "real7",
        "Larynx": "real7",
        "Lens_L": "eyes22",
    }
    assert drawn_by.chosen_because(made, "Brainstem") == (
        "real7 (DSC 0.80 on real CT) was taken before eyes22 (DSC 0.90 on simulated CT)."
    )
    assert drawn_by.chosen_because(made, "Lens_L") == "Drawn by no other model."
    assert made["model"] == "real7 + eyes22"
    assert [model["bundle_sha256"] for model in drawn_by.models_of(made)] == [real.digest, simulated.digest]


def test_organs_that_do_not_overlap_are_as_their_own_model_drew_them(
    volume: Volume, real: ModelBundle, simulated: ModelBundle
) -> None:
    merged = focusnet.segment(volume, [real, simulated], device="cpu", check_orientation=False)
    for bundle, name in ((real, "SpinalCord"), (simulated, "Lens_L")):
        alone = focusnet.segment(volume, bundle, device="cpu", check_orientation=False)
        lost = alone.mask(name) & ~merged.mask(name)
        assert not (merged.mask(name) & ~alone.mask(name)).any()
        assert (merged.labels[lost] > 0).all(), "what it lost, another organ has"


def test_the_caution_stands_beside_the_organs_of_its_model_alone(
    volume: Volume, real: ModelBundle, simulated: ModelBundle
) -> None:
    made = focusnet.segment(volume, [real, simulated], device="cpu", check_orientation=False).provenance
    assert drawn_by.caution_of(made, "Lens_L") == CAUTION
    assert drawn_by.caution_of(made, "Brainstem") == ""
    assert drawn_by.cautions(made) == [f"Lens_R, Lens_L, OpticChiasm by eyes22: {CAUTION}"]


def test_the_order_of_the_models_decides_ties_alone(real: ModelBundle, tmp_path: Path) -> None:
    same = real_bundle(tmp_path, "other7")
    assert best_models([real, same])["Larynx"].bundle is real
    assert best_models([same, real])["Larynx"].bundle is same
    better = replace(same, manifest={**same.manifest, "held_out": {"organs": {"Larynx": {"dsc_mean": 0.81}}}})
    assert best_models([real, better])["Larynx"].bundle is better
    assert best_models([better, real])["Larynx"].bundle is better
    assert best_models([better, real])["Brainstem"].bundle is real, "what was measured comes before what was not"


def test_scores_that_cannot_be_read_count_as_not_measured() -> None:
    for row in ({"dsc": "high", "measured_on": "real CT"}, {"dsc": 0.9}, {"dsc": 7, "measured_on": "real CT"}, None):
        assert str(known_organ({"known_organs": {"Larynx": row}}, "Larynx")) == "not measured"
    assert str(known_organ({"held_out": {"organs": {"Larynx": {"dsc_mean": 0.5}}}}, "Larynx")) == "DSC 0.50 on real CT"


def test_a_model_of_ones_own_is_known_by_its_trainings_validation() -> None:
    stages = {"snet": {"validation": {"Larynx": 0.6, "Brainstem": 0.7}}, "tune": {"validation": {"Larynx": 0.65}}}
    tuned = {"training": {"stages": stages}}
    assert str(known_organ(tuned, "Larynx")) == "DSC 0.65 on real CT"
    assert str(known_organ(tuned, "Brainstem")) == "DSC 0.70 on real CT"
    assert str(known_organ({**tuned, "caution": CAUTION}, "Larynx")) == "DSC 0.65 on simulated CT"
    assert str(known_organ({**tuned, "held_out": {"organs": {}}}, "Larynx")) == "not measured"


def test_a_model_that_fails_does_not_lose_what_the_other_draws(
    volume: Volume, real: ModelBundle, simulated: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, real, InputError("The scan does not show the neck."))
    result = focusnet.segment(volume, [real, simulated], device="cpu", check_orientation=False)
    assert [r.organ.name for r in result.results] == ["Brainstem", "Lens_R", "Lens_L", "OpticChiasm"]
    assert result.provenance["model"] == "eyes22"
    assert result.provenance["caution"] == CAUTION
    (told,) = drawn_by.failures(result.provenance)
    assert told == (
        "Model real7 could not be used: The scan does not show the neck. Not drawn: SpinalCord, Parotid_R, Parotid_L, Larynx."
    )
    assert told in result.provenance["notes"]


def test_organs_of_a_model_that_fails_late_are_drawn_by_the_next_best(
    volume: Volume, real: ModelBundle, simulated: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, real, InputError("No."))
    result = focusnet.segment(volume, [simulated, real], device="cpu", check_orientation=False)
    assert "Brainstem" in [r.organ.name for r in result.results]
    assert [r.organ.name for r in result.results] == ["Brainstem", "Lens_R", "Lens_L", "OpticChiasm"]
    assert result.provenance["bundle_sha256"] == simulated.digest
    assert result.provenance["failed_models"][0]["model"] == "real7"
    usable = best_models([simulated, real], failed=[real])["Brainstem"]
    assert usable.reason.endswith("was taken before real7 (DSC 0.80 on real CT), because real7 could not be used.")


def test_what_no_model_can_do_is_refused_as_by_the_first(
    volume: Volume, real: ModelBundle, simulated: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, None, InputError("Not a head."))
    with pytest.raises(FocusNetError, match="Not a head"):
        focusnet.segment(volume, [real, simulated], device="cpu")


def test_only_models_that_are_needed_run(
    volume: Volume, real: ModelBundle, simulated: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fail(monkeypatch, real, AssertionError("it must not run"))
    seeds = {"Lens_L": (20.0, -20.0, 10.0)}
    result = focusnet.segment(
        volume, [real, simulated], device="cpu", organs=["Lens_L"], seeds=seeds, check_orientation=False
    )
    assert asked == ["eyes22"]
    assert result.provenance["model"] == "eyes22"
    assert result.provenance["seeds_mm_lps"] == {"Lens_L": [20.0, -20.0, 10.0]}


def test_a_seed_is_refused_by_the_model_that_draws_its_organ(real: ModelBundle, simulated: ModelBundle) -> None:
    with pytest.raises(InputError, match="Model real7 has no SOS-Nets"):
        SegmentOptions([real, simulated], device="cpu", seeds={"Brainstem": (0, 0, 0)})
    with pytest.raises(InputError, match="Models real7 and eyes22 have no organ 'Spleen'"):
        SegmentOptions([real, simulated], device="cpu", seeds={"Spleen": (0, 0, 0)})


def test_progress_runs_once_from_start_to_end_and_names_the_model(
    volume: Volume, real: ModelBundle, simulated: ModelBundle
) -> None:
    seen: list[Progress] = []
    focusnet.segment(volume, [real, simulated], device="cpu", progress=seen.append, check_orientation=False)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {p.message.split(",")[0] for p in seen} >= {"real7", "eyes22"}


def test_a_cancelled_run_stops_whichever_model_runs(volume: Volume, real: ModelBundle, simulated: ModelBundle) -> None:
    def stop(progress: Progress) -> None:
        if progress.fraction > 0.55:
            raise Cancelled

    with pytest.raises(Cancelled):
        focusnet.segment(volume, [real, simulated], device="cpu", progress=stop, check_orientation=False)


def test_models_are_named_with_commas_or_as_a_result_names_them(
    real: ModelBundle, simulated: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path))
    for text in ("real7,eyes22", "real7, eyes22", "real7 + eyes22", f"real7,{simulated.folder}"):
        assert [bundle.name for bundle in load_bundles(text)] == ["real7", "eyes22"]
    with pytest.raises(ModelError, match="named twice"):
        load_bundles("real7,real7")
    with pytest.raises(ModelError, match="No model is named"):
        load_bundles(",")
    odd = tmp_path / "with, comma"
    odd.mkdir()
    assert model_names(str(odd)) == [str(odd)]


def fail(monkeypatch: pytest.MonkeyPatch, bundle: ModelBundle | None, problem: BaseException) -> list[str]:
    """Let a model (None: any) raise when it is run. Returns which models are run, as they are."""
    run, asked = engine._segment_with_one, []

    def failing(volume: Volume, options: SegmentOptions, report: focusnet.progress.ProgressCallback) -> object:
        asked.append(options.bundle.name)
        if bundle is None or options.bundle.digest == bundle.digest:
            raise problem
        return run(volume, options, report)

    monkeypatch.setattr(engine, "_segment_with_one", failing)
    return asked


def test_labels_are_numbered_in_order_and_fit_their_results(
    volume: Volume, real: ModelBundle, simulated: ModelBundle
) -> None:
    result = focusnet.segment(volume, [real, simulated], device="cpu", check_orientation=False)
    assert [r.label for r in result.results] == list(range(1, 9))
    ml = volume.geometry.voxel_ml
    for r in result.results:
        assert r.volume_ml == pytest.approx(np.count_nonzero(result.labels == r.label) * ml)
