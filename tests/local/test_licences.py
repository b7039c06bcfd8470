"""Every package is under a licence that was looked at, and docs/licences.md says which."""

import pytest

from local import licences
from local.licences import Licensed
from segmentation import plain_yaml


@pytest.fixture(scope="module")
def rules():
    return plain_yaml.load(licences.RULES)


@pytest.fixture(scope="module")
def found(rules):
    return licences.packages(rules)


def test_every_package_is_under_a_licence_that_is_allowed(found, rules):
    assert licences.faults(found, rules) == []


def test_the_page_is_what_the_packages_say(found):
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page(found), "run `make licences`"


def test_every_pinned_package_is_there(found):
    pins = sum(
        line[0].isalnum()
        for file in licences.PINS
        for line in (licences.REPOSITORY / file).read_text().split("\n")
        if line
    )
    names = {each.name for each in found}
    assert len(names) == len(found) > 200
    assert {"apache-airflow", "mlflow", "pyspark", "pytest"} <= names
    assert len(names) <= pins


@pytest.mark.parametrize(
    ("licence", "told"),
    [(None, "x: its licence is not known"), ("AGPL-3.0-only", "x: AGPL-3.0-only is not allowed"),
     ("MIT AND SSPL-1.0", "x: MIT AND SSPL-1.0 is not allowed"), ("SSPL-1.0 OR MIT", None),
     ("(MIT OR GPL-3.0-only) AND SSPL-1.0", "is not allowed")],
)  # fmt: skip
def test_a_licence_that_nobody_looked_at_is_named(licence, told):
    said = licences.faults([Licensed("x", "the product", licence)], {"allowed": {"MIT": ""}, "reviewed": {}})
    assert (not said) if told is None else (len(said) == 1 and told in said[0])


def test_what_was_set_by_hand_for_a_package_that_is_gone_is_told(found, rules):
    more = {**rules, "reviewed": {**rules["reviewed"], "gone": {"licence": "MIT", "why": "x"}}}
    assert licences.faults(found, more) == ["gone: reviewed, but not installed any more"]


def test_a_package_that_is_not_installed_and_not_reviewed_is_unknown():
    assert licences._of_metadata("no-such-package", {}) is None
    assert licences._of_metadata("Hypothesis", {}) == "MPL-2.0"
