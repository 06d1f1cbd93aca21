"""The settings file: what is read from it, and one clear line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from focusnet.errors import InputError
from focusnet.node.rules import Rule, SeriesFacts, choose_rule
from focusnet.node.settings import LOCAL, Settings, read_settings

GOOD = """
[node]
spool = "spool"
quiet_seconds = 20
spool_limit_gb = 2
keep_scans_hours = 1.5

[[peer]]
ae_title = "CT1"
host = "10.0.0.5"
port = 104
find = true

[[destination]]
name = "archive"
ae_title = "PACS"
port = 4242

[[destination]]
name = "cloud"
url = "https://dicomweb.example/studies"

[[rule]]
name = "head and neck"
description = "head|neck"
slice_thickness_mm = [0.5, 5]
body_part = "HEAD"
from = ["CT1"]
outputs = ["rtstruct", "seg"]
to = ["archive", "cloud"]
"""


def settings_of(folder: Path, text: str) -> Settings:
    path = folder / "node.toml"
    path.write_text(text)
    return read_settings(path)


def test_a_whole_file_becomes_settings(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, GOOD)
    assert settings.spool == tmp_path / "spool"
    assert settings.host == LOCAL
    assert settings.quiet_s == 20
    assert settings.spool_limit_bytes == 2_000_000_000
    assert settings.keep_scans_s == 5400
    assert settings.peer("CT1") is not None
    assert settings.peer("OTHER") is None
    assert settings.rules[0].outputs == ("rtstruct", "seg")
    assert settings.rules[0].slice_thickness_mm == (0.5, 5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[node]", "[node", "is not valid TOML"),
        ('spool = "spool"', "", "[node] has no 'spool'"),
        ('spool = "spool"', "spool = 3", "spool is 3; text in quotes is expected"),
        ("quiet_seconds = 20", "quiet = 20", "[node] has an unknown key 'quiet'"),
        ("quiet_seconds = 20", 'quiet_seconds = "20"', "a number is expected"),
        ("quiet_seconds = 20", "quiet_seconds = -1", "quiet_seconds is not above 0"),
        ("quiet_seconds = 20", "port = 99999", "port is 99999"),
        ("quiet_seconds = 20", "workers = 1.5", "a whole number is expected"),
        ("quiet_seconds = 20", 'ae_title = "FAR TOO LONG A TITLE"', "1 to 16 plain characters"),
        ("[[peer]]", "[peer]", "written in another way than [[peer]]"),
        ('ae_title = "CT1"', "", "[[peer]] 1 has no 'ae_title'"),
        ('host = "10.0.0.5"', "", "find = true but no host and port"),
        ("find = true", "find = true\ntls = true", "there is no [tls]"),
        ("port = 4242", "", "has no 'port'"),
        ('ae_title = "PACS"', 'ae_title = "PACS"\nurl = "http://x"', "needs either 'url' or 'ae_title'"),
        ("https://", "ftp://", "it starts with http"),
        ('name = "cloud"', 'name = "archive"', "two [[destination]] are called 'archive'"),
        ('description = "head|neck"', 'description = "head("', "is no regular expression"),
        ("[0.5, 5]", "[5, 0.5]", "two numbers are expected"),
        ('from = ["CT1"]', 'from = ["CT2"]', "is for sender 'CT2'"),
        ('"seg"]', '"stl"]', "use rtstruct and seg"),
        ('to = ["archive", "cloud"]', 'to = ["nowhere"]', "sends to 'nowhere'; the destinations are: archive, cloud"),
        ('to = ["archive", "cloud"]', "", "[[rule]] 1 has no 'to'"),
        ('to = ["archive", "cloud"]', 'to = "archive"', "a list"),
        ("[[rule]]", "[[rules]]", "unknown key 'rules'"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file_and_the_page_with_an_example(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as problem:
        settings_of(tmp_path, GOOD.replace(old, new, 1))
    message = str(problem.value)
    assert said in message
    assert "\n" not in message
    assert "node.toml" in message
    assert "docs/node.md" in message


def facts(**changes: object) -> SeriesFacts:
    values: dict[str, object] = {
        "sender": "CT1", "modality": "CT", "description": "Head 2 mm", "body_part": "HEADNECK", "slice_thickness_mm": 2.0,
    }  # fmt: skip
    return SeriesFacts(**{**values, **changes})  # type: ignore[arg-type]


RULE = Rule(
    name="hn", to=("archive",), description="head|neck", body_part="^head", slice_thickness_mm=(0.5, 5.0), senders=("CT1",)
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"description": "NECK"}, ""),
        ({"modality": "MR"}, "modality MR, CT expected"),
        ({"sender": "CT2"}, "sent by CT2"),
        ({"description": "Thorax Secretova"}, "another description"),
        ({"body_part": "CHEST"}, "another body part"),
        ({"slice_thickness_mm": 7.5}, "slices of 7.5 mm"),
        ({"slice_thickness_mm": None}, "no slice thickness"),
    ],
)
def test_a_rule_says_why_it_does_not_fit_without_repeating_free_text(changes: dict[str, object], why: str) -> None:
    said = RULE.why_not(facts(**changes))
    assert said.startswith(why)
    assert bool(said) == bool(why)
    assert "Secretova" not in said


def test_the_first_rule_that_fits_counts() -> None:
    wide, never = Rule(name="all", to=("archive",)), Rule(name="mr", to=("archive",), modality="MR")
    assert choose_rule([never, RULE, wide], facts())[0] is RULE
    assert choose_rule([never, RULE, wide], facts(sender="CT2"))[0] is wide
    rule, why = choose_rule([never], facts())
    assert rule is None
    assert why == "no rule fits (mr: modality CT, MR expected)"
