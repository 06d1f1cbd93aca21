"""Organs are told apart by name and side, however they are written; the table obeys TG-263 and DICOM."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from focusnet.image.organs import ORGAN_SETS, ORGANS, Organ, _key, find_organ, guess, has_vendor_word, organ_set
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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Parotid Rt", "Parotid_R"), ("lt_parotid", "Parotid_L"), ("LPAROTID", "Parotid_L"), ("RT EYE", "Eye_R"),
        ("Parotid_L_MBS", "Parotid_L"), ("CHIASMA_AI", "OpticChiasm"), ("Auto Brainstem", "Brainstem"),  # English habits and vendors
        ("L_Submand_Glnd", "Glnd_Submand_L"), ("Mandible_Bone", "Bone_Mandible"), ("L_Optic_Nrv", "OpticNrv_L"),  # TG-263, reverse
        ("R_Temporal_Lobe", "Lobe_Temporal_R"), ("L_TM_Joint", "Joint_TM_L"), ("R_Internal_Ear", "Ear_Internal_R"),
        ("Truncus encephali", "Brainstem"), ("Nervus opticus dexter", "OpticNrv_R"), ("Bulbus oculi sin.", "Eye_L"),  # Latin
        ("OHRSPEICHELDRUESE LI", "Parotid_L"), ("Rueckenmark", "SpinalCord"), ("Sehnerv rechts", "OpticNrv_R"), ("Innenohr re", "Ear_Internal_R"),
        ("Gl. submandibularis re", "Glnd_Submand_R"), ("Tränendrüse links", "Glnd_Lacrimal_L"),  # German
        ("OEIL G", "Eye_L"), ("Crist D", "Lens_R"), ("Moelle épinière", "SpinalCord"), ("Œsophage", "Esophagus"),
        ("Glande sous-maxillaire gauche", "Glnd_Submand_L"), ("ATM D", "Joint_TM_R"),  # French
        ("Tronco encefalico", "Brainstem"), ("Parótida izq.", "Parotid_L"), ("Parotida D", "Parotid_R"), ("Médula espinal", "SpinalCord"),
        ("Quiasma óptico", "OpticChiasm"), ("Cristalino I", "Lens_L"),  # Spanish
        ("Midollo spinale", "SpinalCord"), ("Parotide dx", "Parotid_R"), ("Nervo ottico sx", "OpticNrv_L"), ("Mandibola", "Bone_Mandible"),
        ("Ruggenmerg", "SpinalCord"), ("Hersenstam", "Brainstem"), ("Slokdarm", "Esophagus"), ("Oog links", "Eye_L"),  # Dutch
        ("Medula espinhal", "SpinalCord"), ("Olho E", "Eye_L"), ("Parótida dir", "Parotid_R"), ("Esôfago", "Esophagus"),  # Portuguese
    ],
)  # fmt: skip
def test_names_in_other_languages_and_from_contouring_programs_are_known(written: str, name: str) -> None:
    organ = find_organ(written)
    assert organ is not None
    assert organ.name == name


@pytest.mark.parametrize(
    "written",
    [
        *("Parotids", "Parotid_L+R", "Parotid_G", "Parotid_D", "Parotid_DIR", "Parotid_re", "Parotid sin PTV", "Parotis", "Oeil", "Linse"),
        *("Cord+", "Cord+5mm", "Parotid_L-PTV", "Brainstem PRV", "Parotid_DL_L", "Parotid_Sup_L", "zz_mandible_l_test", "Medulla"),
        *("Tronco", "Bulbo", "Parotida", "Coclea", "Parotide", "Cristalino", "AI", "MBS", "Auto", "L_AI", "Submandibular", "Mandible_L_R", "Optic tract L"),
    ],
)  # fmt: skip
def test_what_could_mean_something_else_stays_unknown(written: str) -> None:
    assert find_organ(written) is None


def test_no_two_organs_share_a_key_with_the_short_sides_of_every_language() -> None:
    from focusnet.image.organ_table import PAIRS
    from focusnet.image.organs import _LONG_KEYS, _short_sided

    meanings: dict[str, set[str]] = {}
    for row in PAIRS:
        for key, name in _short_sided(row).items():
            meanings.setdefault(key, set()).add(name)
    for key, organ in _LONG_KEYS.items():
        meanings.setdefault(key, set()).add(organ.name)
    assert len(meanings) > 2000
    assert {key: names for key, names in meanings.items() if len(names) > 1} == {}


@pytest.mark.parametrize(
    ("written", "guessed"),
    [
        ("zz_mandible_l_test", " (Bone_Mandible_L?)"), ("Parotid", " (Parotid_L or Parotid_R?)"), ("Parotd_L", " (Parotid_L?)"),
        ("Parotid_G", " (Parotid_L or Parotid_R?)"), ("Brainstm", " (Brainstem?)"), ("Larynx_SG", " (Larynx?)"),
        ("PTV_6000", ""), ("BODY", ""), ("Parotid_L-PTV", ""), ("Cord+", ""), ("", ""), ("Mandible", ""), ("Heart", ""),
    ],
)  # fmt: skip
def test_an_unknown_name_is_guessed_at_but_no_margin_is(written: str, guessed: str) -> None:
    assert (guess(written) if find_organ(written) is None else "") == guessed


def test_a_vendors_word_is_noticed() -> None:
    assert has_vendor_word("Parotid_L_MBS")
    assert not has_vendor_word("Parotid_L")
    assert not has_vendor_word("Heart_MBS")
