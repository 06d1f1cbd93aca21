"""``focusnet datasets``: the check finds what would spoil a training, init writes a start, the cache survives two processes and damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.datasets.cache import Cache
from focusnet.datasets.check import CheckReport, check_dataset
from focusnet.datasets.open_dataset import open_dataset
from focusnet.datasets.outliers import OrganMeasures, find_outliers
from focusnet.errors import DatasetError

from ..helpers_dataset import write_dataset
from ..helpers_layouts import PAIRS_TOML, patient, write, write_pairs, write_pddca, write_structseg


def problems(report: CheckReport, case: str = "") -> str:
    return "\n".join(str(p) for p in report.problems if p.case == case)


def test_a_sound_folder_is_usable_and_its_table_counts_the_organs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path)
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    assert main(["datasets", "check", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["splits"] == {"train": 2, "val": 1}
    assert report["organs"]["Brainstem"]["cases"] == {"train": 2, "val": 1}
    assert report["organs"]["Brainstem"]["volume_ml"]["median"] == pytest.approx(
        float(np.median([patient(s)[1].mask("Brainstem").sum() * 0.15 for s in (0, 1, 0)]))
    )
    assert main(["datasets", "check", str(folder)]) == 0
    assert "0 errors" in capsys.readouterr().out


def test_bad_cases_are_all_reported_with_their_names_and_the_status_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(number: int, hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if number == 1:  # sides swapped
            labels = np.array([0, 1, 3, 2], np.uint8)[labels]
        if number == 2:
            hu = patient(0)[0].array  # the scan of p1
        if number == 3:
            labels = np.zeros_like(labels)
        if number == 4:
            labels = np.where(labels == 3, 0, labels).astype(
                np.uint8
            )  # no right parotid; the left one lies on the right
            labels = np.where(labels == 2, 0, labels).astype(np.uint8)
            labels[patient(0)[1].mask("Parotid_R")] = 2
        return hu, labels

    folder = write_pairs(tmp_path, 6, edit=edit)
    (folder / "dataset.toml").write_text(
        PAIRS_TOML.replace('["p1", "p2"]', '["p1", "p2", "p4", "p5", "p6"]').replace(
            "[splits]", '4 = "OpticChiasm"\n[splits]'
        )
    )
    (folder / "p6" / "ct.mha").write_bytes(b"damaged")
    assert main(["datasets", "check", str(folder)]) == 2
    said = capsys.readouterr().out
    assert "error: p2: left and right are swapped: Parotid_L and Parotid_R." in said
    assert "error: p3: its CT is the same, voxel by voxel, as that of p1, in the split train and not val." in said
    assert "error: p4: no organ has a contour." in said
    assert "warning: p5: Parotid_L lies on the other side of the patient's middle." in said
    assert "error: p6: " in said
    assert "error: OpticChiasm is contoured in no case of train (cases that could not be read: 1)." in said
    assert "not usable" in said


def test_scans_that_were_masked_to_their_contours_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As some planning systems export: a few slices hold nothing but the organs. The other cases are not named."""

    def edit(number: int, hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if number == 1:
            hu = hu.copy()
            slices = np.flatnonzero(labels.any(axis=(1, 2)))[:5]
            hu[slices] = np.where(labels[slices] > 0, hu[slices], -1024)
        return hu, labels

    folder = write_pairs(tmp_path, edit=edit)
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    assert main(["datasets", "check", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "warning: 1 case with slices that hold hardly any tissue but contoured organs (so many): p2 (5)." in said


def test_a_missing_folder_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "check", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_an_openkbp_folder_is_checked_and_its_exclusions_hold(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    report = check_dataset(open_dataset(folder))
    assert report.splits == {"train": 3, "val": 2}
    (folder / "dataset.toml").write_text('exclude = ["pt_1"]\n')
    dataset = open_dataset(folder)
    assert dataset.patients("train") == ["pt_2", "pt_3"]
    assert "pt_1" in dataset.notes[0]


def test_an_organ_of_odd_size_or_place_is_flagged_and_its_neighbours_are_not() -> None:
    rng = np.random.default_rng(0)
    cases = {}
    for number in range(30):
        at = {"Brainstem": (0, 0, 0), "Parotid_L": (55, 0, -30), "Parotid_R": (-55, 0, -30), "Larynx": (0, -40, -100)}
        centres = {o: np.array(p) + rng.normal(0, 3, 3) + 100 * number for o, p in at.items()}
        cases[f"p{number}"] = OrganMeasures({o: 20 * np.exp(rng.normal(0, 0.2)) for o in at}, centres)
    assert find_outliers(cases) == []
    cases["p3"].centroids_mm["Larynx"] += (0, 0, 60)  # type: ignore[operator]
    cases["p7"].volumes_ml["Brainstem"] /= 20  # type: ignore[index]
    found = {(case, organ) for case, organ, _ in find_outliers(cases)}
    assert found == {("p3", "Larynx"), ("p7", "Brainstem")}


def test_init_writes_what_is_recognised_leaves_the_rest_to_the_user_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pddca(tmp_path / "pddca")
    for case in folder.iterdir():
        (case / "structures" / "Chiasm.nrrd").rename(case / "structures" / "GTV.nrrd")
    assert main(["datasets", "init", str(folder)]) == 0
    text = (folder / "dataset.toml").read_text()
    assert '"BrainStem" = "Brainstem"' in text
    assert '# "GTV" = "?"' in text
    before = open_dataset(folder)
    (folder / "dataset.toml").unlink()
    assert {s: before.patients(s) for s in before.splits()} == {
        s: open_dataset(folder).patients(s) for s in ("train", "val")
    }
    (folder / "dataset.toml").write_text("# mine\n")
    capsys.readouterr()
    assert main(["datasets", "init", str(folder)]) == 2
    assert "exists and is left as it is" in capsys.readouterr().err
    assert (folder / "dataset.toml").read_text() == "# mine\n"
    nameless = write_pairs(tmp_path / "pairs")
    assert main(["datasets", "init", str(nameless)]) == 0
    assert '# "3" = "?"  # in 3 cases' in (nameless / "dataset.toml").read_text()


def test_the_cache_gives_the_same_case_notices_new_content_and_rebuilds_a_damaged_file(tmp_path: Path) -> None:
    folder = write_structseg(tmp_path / "data")
    kept = tmp_path / "cache"
    plain, cached = open_dataset(folder), open_dataset(folder, kept)
    split, name = "train", plain.patients("train")[0]
    first = cached.case(split, name)
    entry = next(kept.glob("*.safetensors"))
    again = open_dataset(folder, kept).case(split, name)
    for case in (first, again):
        assert np.array_equal(case.labels, plain.case(split, name).labels)
        assert np.array_equal(case.hu, plain.case(split, name).hu)
        assert case.geometry == plain.case(split, name).geometry
        assert case.contoured == plain.case(split, name).contoured
    whole = entry.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"x" * 100):
        entry.write_bytes(damaged)
        assert np.array_equal(open_dataset(folder, kept).case(split, name).labels, first.labels)
        assert len(entry.read_bytes()) == len(whole)
    volume, organs = patient(0)
    write(folder / name / "label.nii.gz", np.where(organs.mask("Brainstem"), 1, 0).astype(np.uint8), volume.geometry)
    assert open_dataset(folder, kept).case(split, name).contoured == {"Brainstem"}


def test_the_cache_remembers_that_an_organ_is_absent_and_not_unknown(tmp_path: Path) -> None:
    folder = write_pddca(tmp_path / "data")
    for case in folder.iterdir():
        (case / "structures" / "Chiasm.nrrd").unlink()
    (folder / "dataset.toml").write_text(
        '[contoured]\neverywhere = ["OpticChiasm"]\n[organs]\n"Chiasm" = "OpticChiasm"\n'
    )
    for _ in ("read", "from the cache"):
        dataset = open_dataset(folder, tmp_path / "cache")
        case = dataset.case("train", dataset.patients("train")[0])
        assert "OpticChiasm" in case.contoured
        assert "OpticChiasm" not in case.centroids_mm_xyz


def test_a_cached_case_is_really_taken_from_the_cache(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "data", 2)
    case = open_dataset_with_toml(folder).read("train", "p1")
    cache = Cache(tmp_path / "cache")
    paths = [folder / "p1" / "ct.mha"]
    cache.get(paths, {}, lambda: case)

    def never() -> None:
        raise DatasetError("read again")

    assert np.array_equal(cache.get(paths, {}, never).hu, case.hu)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="read again"):
        cache.get(paths, {"organs": ["another"]}, never)  # type: ignore[arg-type]


def open_dataset_with_toml(folder: Path):
    (folder / "dataset.toml").write_text(
        '[organs]\n1 = "Brainstem"\n2 = "Parotid_L"\n3 = "Parotid_R"\n[splits]\ntrain=["p1"]\nval=["p2"]\n'
    )
    return open_dataset(folder)


READ_ALL = """
import sys
from focusnet.datasets.open_dataset import open_dataset
for _ in range(3):
    dataset = open_dataset(sys.argv[1], sys.argv[2])
    print(sum(int(c.labels.sum()) + int(c.hu.astype(int).sum()) for s in dataset.splits() for c in dataset.cases(s)))
"""


def test_two_processes_that_fill_one_cache_at_once_read_the_same(tmp_path: Path) -> None:
    folder, kept = write_structseg(tmp_path / "data", 4), tmp_path / "cache"
    command = [sys.executable, "-c", READ_ALL, str(folder), str(kept)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=600)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    dataset = open_dataset(folder)
    truth = sum(int(c.labels.sum()) + int(c.hu.astype(int).sum()) for s in dataset.splits() for c in dataset.cases(s))
    assert said == [[str(truth)] * 3] * 2
    assert len(list(kept.iterdir())) == 4  # nothing temporary is left


@pytest.mark.slow
def test_the_real_openkbp_cases_with_wrong_contours_are_flagged(real_data: Path) -> None:
    report = check_dataset(open_dataset(real_data / "openkbp"))
    assert report.usable
    flagged = {p.case for p in report.problems}
    assert {"pt_215", "pt_216", "pt_221"} <= flagged
    masked = next(p.text for p in report.problems if "hardly any tissue" in p.text)
    assert masked.startswith("75 cases")
    assert "pt_203 (28)" in masked
