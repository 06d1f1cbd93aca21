"""The one table of organs: the paper's 22, PDDCA's 9, the 21 of Nikolov et al. (tcia-oars), OpenKBP's 7.

Names follow AAPM TG-263 (Mayo et al. 2018; at most 16 characters); half mandibles, which TG-263 lacks, follow its grammar. Codes are
SNOMED CT, those of DICOM's context groups and of Slicer's terminologies ("3D Slicer General Anatomy list", "Segmentation category and
type - DICOM master list"); sides are modifiers there. Synonyms were seen in PDDCA, StructSeg 2019, HaN-Seg, OpenKBP, Nikolov et al.,
TotalSegmentator and clinics, TG-263's reverse order among them; a side is left out, it is added for pairs. Other languages: ``organ_words``. A part is no synonym of the whole: HaN-Seg's Larynx_SG and
Esophagus_S stay unknown. "Orbit" is the eyeball, as Nikolov et al. contour it.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER, PDDCA, TCIA, OPENKBP = "paper22", "pddca", "tcia-oars", "openkbp"


@dataclass(frozen=True)
class Row:
    """One organ, or both of a pair (then the name lacks its ``_L`` or ``_R``). ``color_rgb`` is the right one's for pairs."""

    name: str
    title: str
    small: bool
    color_rgb: tuple[int, int, int]
    snomed_code: str
    snomed_meaning: str
    synonyms: tuple[str, ...]
    sets: tuple[str, ...]


# fmt: off
SINGLES = (
    Row("Brainstem", "Brainstem", False, (85, 188, 120), "15926001", "Brainstem", ("Brain stem", "Brain stem whole", "Hirnstamm", "Truncus cerebri"), (PAPER, PDDCA, TCIA, OPENKBP)),
    Row("SpinalCord", "Spinal cord", False, (244, 214, 49), "2748008", "Spinal cord", ("Spinal-Cord", "Cord", "Cord Spinal", "Spinal Cd", "Sp Cord", "Medulla spinalis", "Rückenmark"), (PAPER, TCIA, OPENKBP)),
    Row("OpticChiasm", "Optic chiasm", True, (255, 105, 180), "244453006", "Optic chiasm", ("Chiasm", "Chiasm Optic", "Opt Chiasm", "Opt Chiasma", "Chiasma", "OpticChiasma", "Optical Chiasm", "Optical Chiasma", "Chiasma opticum"), (PAPER, PDDCA)),
    Row("Pituitary", "Pituitary gland", True, (160, 82, 255), "56329008", "Pituitary gland", ("Hypophysis", "Hypophyse", "Pituitary", "Glnd_Pituitary", "Pituitary Glnd", "Pit Gland"), (PAPER,)),
    Row("Bone_Mandible", "Mandible", False, (230, 159, 60), "91609006", "Mandible", ("Mandible", "Mandible Bone", "Mandibula", "Lower Jaw", "Lower Jaw Bone", "Unterkiefer"), (PDDCA, TCIA, OPENKBP)),
    Row("Esophagus", "Esophagus", False, (150, 70, 60), "32849002", "Esophagus", ("Oesophagus", "Ösophagus", "Gullet"), (OPENKBP,)),
    Row("Larynx", "Larynx", False, (80, 190, 240), "4596009", "Larynx", ("Kehlkopf", "Whole Larynx", "Larynx Whole"), (OPENKBP,)),
    Row("Brain", "Brain", False, (250, 235, 160), "12738006", "Brain", ("Whole brain", "Brain Whole", "Gehirn"), (TCIA,)),
    Row("SpinalCanal", "Spinal canal", False, (176, 196, 90), "61853006", "Spinal canal", ("Spinal-Canal", "Canal_Spinal", "Vertebral canal", "Canal Vertebral", "Spinalkanal"), (TCIA,)),
)

PAIRS = (
    Row("Eye", "Eyeball", False, (60, 120, 216), "79652003", "Eyeball", ("Eye", "Orbit", "Globe", "Eyeball", "Eye Globe", "Globe Eye", "Auge"), (PAPER, TCIA)),
    Row("Lens", "Lens", True, (0, 190, 170), "78076003", "Lens of eye", ("Eye Lens", "Lens Eye", "Crystalline lens", "Lens of eye", "Linse"), (PAPER, TCIA)),
    Row("OpticNrv", "Optic nerve", True, (222, 45, 120), "18234004", "Optic nerve", ("OpticNerve", "Opt Nerve", "Optic-Nerve", "Optical Nerve", "Nerve Optic", "Nrv_Optic", "Optic Nrv", "Opt Nrv", "Optic N", "Opt N", "N Optic", "OptNerve", "Nervus opticus"), (PAPER, PDDCA, TCIA)),
    Row("Lobe_Temporal", "Temporal lobe", False, (150, 120, 200), "78277001", "Temporal lobe", ("TemporalLobe", "Temporal Lobes", "Temp Lobe", "Temp Lb", "Lobe Temp", "Temporallappen"), (PAPER,)),
    Row("Parotid", "Parotid gland", False, (220, 60, 50), "45289007", "Parotid gland", ("Parotid Gland", "Parotid salivary gland", "Glnd_Parotid", "Parotid Glnd", "Parotid Gl", "Gl Parotid", "Gland Parotid", "Parotis", "Glandula parotis"), (PAPER, PDDCA, TCIA, OPENKBP)),
    Row("Ear_Internal", "Inner ear", False, (200, 50, 200), "22945000", "Inner ear", ("InnerEar", "Ear Inner", "Internal ear"), (PAPER,)),
    Row("Ear_Middle", "Middle ear", False, (120, 90, 60), "25342003", "Middle ear", ("MiddleEar", "Mid Ear", "Ear Mid", "Tympanic cavity"), (PAPER,)),
    Row("Joint_TM", "Temporomandibular joint", False, (110, 150, 40), "53620006", "Temporomandibular joint", ("TMJ", "TM Joint", "TM Jt", "Jt TM", "Temporomandibular Jt", "Temporo-mandibular joint"), (PAPER,)),
    Row("Bone_Mandible", "Half of the mandible", False, (205, 105, 20), "91609006", "Mandible", ("Mandible", "Half mandible", "Hemimandible"), (PAPER,)),
    Row("Glnd_Submand", "Submandibular gland", False, (46, 139, 87), "54019009", "Submandibular gland", ("Submandibular", "Submandibular salivary gland", "Submand", "Submand Gland", "Submand Glnd", "Submand Gl", "Submandibular Glnd", "Submandibular Gl", "Gland Submand", "Gl Submand", "Gland Submandibular", "Glnd_Submandibular", "Submaxillary", "Submaxillary gland", "SMG", "Glandula submandibularis"), (PDDCA, TCIA)),
    Row("Cochlea", "Cochlea", True, (255, 80, 0), "80169004", "Cochlea", (), (TCIA,)),
    Row("Glnd_Lacrimal", "Lacrimal gland", True, (0, 110, 130), "13561001", "Lacrimal gland", ("Lacrimal", "LacrimalGland", "Gland Lacrimal", "Lacrimal Glnd", "Lacrimal Gl", "Gl Lacrimal", "Lachrymal gland"), (TCIA,)),
    Row("Lung", "Lung", False, (140, 140, 150), "39607008", "Lung", (), (TCIA,)),
)
