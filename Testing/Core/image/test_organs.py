"""Organs are told apart by name and side, however they are written; the table obeys TG-263 and DICOM."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from focusnet.image.organs import ORGAN_SETS, ORGANS, Organ, _key, find_organ, organ_set
from focusnet.io.terminology import terminology_entry

STRUCTSEG = [  # StructSeg 2019, task 1: the paper's 22 organs by their public names
    *("optical chiasma", "pituitary", "brain stem", "spinal cord"),
    *(f"{side} {organ}" for side in ("left", "right") for organ in (
        "eye", "lens", "optical nerve", "temporal lobes", "parotid gland", "inner ear", "middle ear", "TM joint", "mandible")),
]  # fmt: skip
DICOM_KEYWORDS = {
    "SpinalCord": "SpinalCord", "OpticChiasm": "OpticChiasm", "Pituitary": "Pituitary", "Bone_Mandible": "Mandible",
    "Esophagus": "Esophagus", "Larynx": "Larynx", "Brain": "Brain", "SpinalCanal": "VertebralCanal", "Eye_L": "Eyeball",
    "Lens_L": "Lens", "OpticNrv_L": "OpticNerve", "Lobe_Temporal_L": "TemporalLobe", "Parotid_L": "ParotidGland",
    "Ear_Internal_L": "InnerEar", "Ear_Middle_L": "MiddleEar", "Joint_TM_L": "TemporomandibularJoint", "Bone_Mandible_L": "Mandible",
    "Glnd_Submand_L": "SubmandibularGland", "Glnd_Lacrimal_L": "LacrimalGland", "Lung_L": "Lung",
}  # fmt: skip


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
        ("LParotid", "Parotid_L"), ("ParotidRt", "Parotid_R"), ("Parotis links", "Parotid_L"), ("Rückenmark", "SpinalCord"),
        ("eye_lens_left", "Lens_L"), ("submandibular_gland_right", "Glnd_Submand_R"), ("TMJoint_R", "Joint_TM_R"),
        ("Temporal Lobes L", "Lobe_Temporal_L"), ("Spinal-Canal", "SpinalCanal"), ("oesophagus", "Esophagus"), ("Lacrimal-Rt", "Glnd_Lacrimal_R"),
    ],
)  # fmt: skip
def test_names_from_data_sets_and_clinics_are_known(written: str, name: str) -> None:
    organ = find_organ(written)
    assert organ is not None
    assert organ.name == name


@pytest.mark.parametrize(
    "written", ["Parotid", "Lens", "Left", "", "Heart", "Parotid_L_R", "Eye", "Cochlea", "腮腺_L", "L"]
)
def test_a_name_that_would_need_a_guess_is_unknown(written: str) -> None:
    assert find_organ(written) is None


def test_the_public_names_of_the_papers_organs_are_known() -> None:
    assert {find_organ(n) for n in STRUCTSEG} == set(organ_set("paper22"))


@pytest.mark.parametrize(
    "part", ["Larynx_SG", "Glottis", "Esophagus_S", "Eye_AL", "Eye_PR", "SpinalCord_PRV05", "OpticNrv_PRV03_L"]
)
def test_a_part_or_a_margin_is_not_taken_for_the_organ(part: str) -> None:
    assert find_organ(part) is None


def test_every_paired_organ_has_its_mirror_image() -> None:
    for organ in ORGANS:
        twin = find_organ(organ.mirrored_name)
        assert twin is not None
        if organ.side:
            assert {organ.side, twin.side} == {"left", "right"}
            assert (twin.snomed_code, twin.small, twin.sets) == (organ.snomed_code, organ.small, organ.sets)
            assert twin.mirrored_name == organ.name
            other = {"left": "_R", "right": "_L"}[organ.side]
            assert twin.synonyms == tuple(name[:-2] + other for name in organ.synonyms)
        else:
            assert twin is organ


def test_names_fit_tg_263_and_dicom() -> None:
    assert all(len(o.name) <= 16 and len(o.title) <= 64 and len(o.snomed_meaning) <= 64 for o in ORGANS)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]*(_[A-Z][A-Za-z]*)*", o.name) for o in ORGANS)
    assert len({o.name for o in ORGANS}) == len(ORGANS)


def _lab(organ: Organ) -> np.ndarray:
    """CIE L*a*b* of an organ's sRGB colour, D65."""
    rgb = np.array(organ.color_rgb) / 255.0
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("name", ORGAN_SETS)
def test_the_colours_of_a_set_can_be_told_apart_and_those_of_a_pair_are_related(name: str) -> None:
    organs = organ_set(name)
    for i, a in enumerate(organs):
        for b in organs[i + 1 :]:
            difference = float(np.linalg.norm(_lab(a) - _lab(b)))
            assert difference >= (14 if a.mirrored_name == b.name else 17), (a.name, b.name, difference)
    for organ in organs:
        if organ.side == "left":
            right = find_organ(organ.mirrored_name)
            assert right is not None
            assert all(light >= dark for light, dark in zip(organ.color_rgb, right.color_rgb, strict=True))


def test_codes_are_those_of_dicoms_own_dictionary() -> None:
    for name, keyword in DICOM_KEYWORDS.items():
        organ = find_organ(name)
        assert organ is not None
        assert organ.snomed_code == getattr(codes.SCT, keyword).value, name
    unlisted = {o.name for o in ORGANS if o.side != "right"} - set(DICOM_KEYWORDS)
    assert unlisted == {
        "Brainstem",
        "Cochlea_L",
    }  # not in pydicom's dictionary; SNOMED CT has them as 15926001 and 80169004


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
