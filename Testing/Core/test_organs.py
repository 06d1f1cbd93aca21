"""Organs are told apart by name and side, however they are written; the table obeys TG-263 and DICOM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from focusnet.io.terminology import terminology_entry
from focusnet.organs import ORGANS, _key, find_organ, organ_set


@pytest.mark.parametrize(
    ("name", "count", "pairs"), [("paper22", 22, 9), ("pddca", 9, 3), ("tcia-oars", 21, 8), ("openkbp", 7, 1)]
)
def test_each_set_has_its_organs(name: str, count: int, pairs: int) -> None:
    organs = organ_set(name)
    assert len(organs) == count
    assert sum(o.side == "left" for o in organs) == sum(o.side == "right" for o in organs) == pairs


def test_the_papers_small_organs_are_the_six_shaded_rows_of_table_1() -> None:
    small = {o.name for o in organ_set("paper22") if o.small}
    assert small == {"Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "OpticChiasm", "Pituitary"}


def test_no_way_of_writing_a_name_means_two_organs() -> None:
    meanings: dict[str, set[str]] = {}
    for organ in ORGANS:
        for written in (organ.name, organ.title, *organ.synonyms):
            meanings.setdefault(_key(written), set()).add(organ.name)
    assert {key: names for key, names in meanings.items() if len(names) > 1} == {}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Parotid_L", "Parotid_L"), ("parotid l", "Parotid_L"), ("L Parotid", "Parotid_L"), ("Left parotid gland", "Parotid_L"),
        ("Parotid-Rt", "Parotid_R"), ("PAROTID_RIGHT", "Parotid_R"), ("BrainStem", "Brainstem"), ("Chiasm", "OpticChiasm"),
        ("OpticNerve_L", "OpticNrv_L"), ("Opt Nerve R", "OpticNrv_R"), ("Submandibular_L", "Glnd_Submand_L"), ("Orbit-Lt", "Eye_L"),
        ("Mandible", "Bone_Mandible"), ("Mandible L", "Bone_Mandible_L"), ("Mid Ear R", "Ear_Middle_R"), ("TMJ L", "Joint_TM_L"),
        ("Temporal Lobes L", "Lobe_Temporal_L"), ("Spinal-Canal", "SpinalCanal"), ("oesophagus", "Esophagus"), ("Lacrimal-Rt", "Glnd_Lacrimal_R"),
    ],
)  # fmt: skip
def test_names_from_data_sets_and_clinics_are_known(written: str, name: str) -> None:
    organ = find_organ(written)
    assert organ is not None
    assert organ.name == name


@pytest.mark.parametrize("written", ["Parotid", "Lens", "Left", "", "Heart", "Parotid_L_R", "Eye", "Cochlea"])
def test_a_name_that_would_need_a_guess_is_unknown(written: str) -> None:
    assert find_organ(written) is None


def test_every_paired_organ_has_its_mirror_image() -> None:
    for organ in ORGANS:
        twin = find_organ(organ.mirrored_name)
        assert twin is not None
        if organ.side:
            assert {organ.side, twin.side} == {"left", "right"}
            assert (twin.snomed_code, twin.small, twin.sets) == (organ.snomed_code, organ.small, organ.sets)
            assert twin.mirrored_name == organ.name
        else:
            assert twin is organ


def test_names_fit_tg_263_and_colours_can_be_told_apart() -> None:
    assert all(len(o.name) <= 16 and len(o.title) <= 64 for o in ORGANS)
    assert len({o.name for o in ORGANS}) == len(ORGANS)
    for i, a in enumerate(ORGANS):
        for b in ORGANS[i + 1 :]:
            assert sum(abs(x - y) for x, y in zip(a.color_rgb, b.color_rgb, strict=True)) >= 25, (a.name, b.name)


def test_the_side_is_in_the_terminology_as_a_modifier() -> None:
    left, right, middle = (find_organ(n) for n in ("Parotid_L", "Parotid_R", "Brainstem"))
    assert left is not None
    assert right is not None
    assert middle is not None
    assert terminology_entry(left)["typeModifier"][1] == "7771000"
    assert terminology_entry(right)["typeModifier"][1] == "24028007"
    assert "typeModifier" not in terminology_entry(middle)
    assert terminology_entry(left)["type"] == terminology_entry(right)["type"]


def test_the_names_of_the_real_data_sets_are_all_known(real_data: Path) -> None:
    bits = json.loads((real_data / "tcia-oars" / "dataset.json").read_text())["bits"]
    assert {find_organ(n) for n in bits} == set(organ_set("tcia-oars"))
    labels = json.loads((real_data / "openkbp" / "dataset.json").read_text())["labels"]
    assert {find_organ(n) for n in labels} == set(organ_set("openkbp"))
    structures = {p.stem for p in (real_data / "pddca-labels").glob("*/structures/*.nrrd")}
    assert structures
    assert {find_organ(n) for n in structures} <= set(organ_set("pddca"))
