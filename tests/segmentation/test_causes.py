"""What is told of an error names no row, no person and no login."""

import pytest

from segmentation import causes, conversion, gate, warehouse
from segmentation.errors import FinalError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FinalError("orders: 3 of 9 rows, for example O-17, C-4\nitems: 1 of 2"), "orders: 3 of 9 rows\nitems: 1 of 2"),
        (gate.GateError("all, for example C-4", summary="raw of 2026-01-02 breaks a rule"), "raw of 2026-01-02 breaks"),
        (conversion.UnreadableValueError("age must be int64, and 'Li Wei' is not"), "age must be int64, and … is not"),
        (conversion.UnreadableValueError('age must be int64, and "O\'Neil" is not'), "age must be int64, and … is not"),
        (warehouse.DuplicateKeyError("Key (customer_id)=(C-4) is duplicated."), "Key (customer_id)=(…) is duplicated."),
        (FinalError("train: make run DAG=train_models_weekly DAY=2026-01-02"), "DAY=2026-01-02"),
        (ValueError('invalid input syntax for type integer: "C-4"\nCONTEXT: C-5'), "ValueError: invalid input syntax"),
        (KeyError("LAKE_URI"), "KeyError: 'LAKE_URI'"),
        (
            ConnectionError("postgresql://me:secret@db:5432/shop of ann@shop.example"),
            "postgresql://…@db:5432/shop of …",
        ),
        (None, "killed"),
        ("Task timed out after 'C-4'", "Task timed out after '…'"),
    ],
)
def test_a_cause_says_what_and_not_whose(error, told):
    cause = causes.cause_of(error)
    assert told in cause
    assert not [secret for secret in ("C-4", "C-5", "O-17", "Li Wei", "Neil", "secret", "ann@") if secret in cause]


def test_a_cause_is_of_bounded_length():
    assert len(causes.cause_of(FinalError("x" * 9_999))) == causes.MOST_CHARACTERS


def test_errors_say_what_kind_of_failure_they_are():
    kinds = {type(each).__name__: each.kind for each in (FinalError("x"), gate.GateError("x"))}
    assert kinds == {"FinalError": "failed task", "GateError": "failed gate"}
