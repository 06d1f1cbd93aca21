"""Panel on stand-ins: two models as one choice, and cautions wherever a model that asks for one is shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from focusnet.nets.bundle import available_bundles
from FocusNetSegmentationLib.panel import model_list

from ...paths import ROOT
from ..helpers_panel_review import choose
from ..helpers_worker import worker_python
from .test_models import SHIPPED, own_model

CAUTION = "Trained on simulated CT only, research preview."
LAST = ("Larynx", "Bone_Mandible")  # by the second model of the stand-in's merged result


@pytest.fixture
def both(open_panel: Callable[..., Any], tmp_path: Path) -> Any:
    """A panel that lists head22-synthetic, here a model of two organs, one of which the shipped one knows better."""
    entries = json.loads((SHIPPED / "bundle.json").read_text("utf-8"))["organs"]
    lens = {"name": "Lens_L", "title": "Left lens"}
    known = {"Lens_L": {"dsc": 0.74, "measured_on": "simulated CT"}}
    own_model(tmp_path, "head22-synthetic", organs=[entries[0], lens], held_out={}, known_organs=known, caution=CAUTION)
    return open_panel()


def test_both_models_are_one_choice_beside_each_alone(both: Any) -> None:
    box = both.ui.modelComboBox
    assert [box.itemText(i) for i in range(box.count)] == [
        "head22-synthetic (caution)", "han7-openkbp", "All organs: han7-openkbp + head22-synthetic",
    ]  # fmt: skip
    box.setCurrentIndex(2)
    both.settle()
    assert both.parameters.model == "han7-openkbp,head22-synthetic"
    assert both.ui.organsCollapsibleButton.text == "Organs: all 8"
    assert both.text("modelInfoLabel") == (
        "⚠ 8 organs, each from the model that knows it best: han7-openkbp draws 7; head22-synthetic draws 1 "
        f"({CAUTION.rstrip('.')}). The models run one after the other."
    )
    listed = both.ui.organsListWidget
    tips = [listed.item(i).toolTip() for i in range(listed.count)]
    assert tips[0].startswith("Brainstem han7-openkbp (DSC 0.7")
    assert tips[0].endswith("was taken before head22-synthetic (not measured).")
    assert tips[-1] == "Lens_L Drawn by no other model."
    assert not both.ui.removeModelButton.enabled
    assert not both.ui.verifyModelButton.enabled


def test_a_model_that_asks_for_caution_says_so_before_it_is_run(both: Any) -> None:
    both.ui.modelComboBox.setCurrentIndex(0)
    both.settle()
    assert both.text("modelInfoLabel").startswith(f"⚠ {CAUTION} 2 organs.")


def test_what_ships_is_offered_alone_and_together_the_model_of_real_scans_first(panel: Any) -> None:
    box = panel.ui.modelComboBox
    assert [box.itemText(i) for i in range(box.count)] == [
        "han7-openkbp", "head22-synthetic (caution)", "All organs: han7-openkbp + head22-synthetic",
    ]  # fmt: skip
    assert box.currentIndex == 0
    box.setCurrentIndex(2)
    panel.settle()
    assert panel.ui.organsCollapsibleButton.text == "Organs: all 20"


def test_without_the_second_model_there_is_no_such_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [folder for folder in available_bundles() if folder.name != "head22-synthetic"]
    monkeypatch.setattr(model_list, "available_bundles", lambda: others)
    assert [entry.title for entry in model_list.list_models()] == ["han7-openkbp"]


def test_a_merged_result_shows_the_caution_and_each_organs_model(both: Any) -> None:
    both.volume()
    both.parameters.model = "han7-openkbp,head22-synthetic"
    both.settle()
    both.worker("merged")
    both.apply()
    assert both.text("cautionLabel") == f"⚠ {', '.join(LAST)}: {CAUTION}"
    rows = {row.organ: row for row in both.panel.review.table.rows}
    for organ, row in rows.items():
        assert (row.caution == CAUTION) == (organ in LAST), organ
    assert rows["Larynx"].origin == "By head22-synthetic. Only head22-synthetic draws it."
    assert rows["Brainstem"].origin == "By han7-openkbp. Drawn by no other model."
    assert not any("different models" in note for note in both.panel.review.review.notes())
    from FocusNetSegmentationLib.panel.review_table import tool_tip

    assert tool_tip(rows["Larynx"]).endswith(f"Only head22-synthetic draws it.\n{CAUTION}")


def test_a_result_of_one_model_shows_no_caution_of_another(both: Any) -> None:
    both.volume()
    both.worker("good")
    both.apply()
    assert both.text("cautionLabel") == ""
    assert not both.shown("cautionLabel")


def test_several_models_are_not_fine_tuned_together(both: Any) -> None:
    both.parameters.model = "han7-openkbp,head22-synthetic"
    both.settle()
    both.panel.review.finish.learn.fine_tune()
    assert "One model is fine-tuned at a time" in both.text("reviewStatusLabel") + both.says


def test_a_seed_is_offered_for_what_the_model_that_draws_the_organ_can_do(both: Any) -> None:
    from FocusNetSegmentationLib.review.seed_points import why_no_seed

    both.parameters.model = "han7-openkbp,head22-synthetic"
    both.settle()
    entry = both.panel.models.entry
    entry.part_of("Lens_L").manifest["network"].update(has_sos=True, small_organs=["Lens_L"])
    assert why_no_seed(entry.part_of("Lens_L").manifest, "Lens_L") == ""
    assert "han7-openkbp has no SOS-Nets" in why_no_seed(entry.part_of("Larynx").manifest, "Larynx")


@pytest.mark.slow
def test_the_whole_way_of_two_models_with_the_real_worker(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    """Apply both, look at the caution, draw one organ again at a seed: the others stay, and each keeps its model."""
    python = worker_python()
    make = (
        "from pathlib import Path; import sys; from Testing.Core.helpers_several import real_bundle, simulated_bundle;"
        "real_bundle(Path(sys.argv[1]), 'han7-openkbp'); simulated_bundle(Path(sys.argv[1]), 'head22-synthetic')"
    )
    subprocess.run([python, "-c", make, str(tmp_path / "models")], check=True, cwd=ROOT)
    panel = open_panel(python=python)
    panel.volume()
    panel.parameters.model = "han7-openkbp,head22-synthetic"
    panel.settle()
    panel.ui.applyButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.settle()
    assert "Done in" in panel.says, panel.says
    assert panel.text("cautionLabel") == f"⚠ Lens_R, Lens_L, OpticChiasm: {CAUTION}"
    panel.ui.reviewCollapsibleButton.collapsed = False
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    review = panel.panel.review.review
    assert review.notes(panel.panel.review._chosen_model()) == []
    before = review.current_fingerprints()
    choose(panel, "Lens_L")
    panel.ui.seedButton.click()
    panel.ui.runSeedButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.settle()
    after = review.current_fingerprints()
    assert all(after[name].same_as(before[name]) for name in after if name != "Lens_L")
    assert panel.text("cautionLabel") == f"⚠ Lens_R, Lens_L, OpticChiasm: {CAUTION}"
    from FocusNetSegmentationLib.scene.run_tags import node_provenance

    known = node_provenance(panel.parameters.resultSegmentation)
    assert [model["model"] for model in known["models"]] == ["han7-openkbp", "head22-synthetic"]
    assert review.notes(panel.panel.review._chosen_model()) == []
