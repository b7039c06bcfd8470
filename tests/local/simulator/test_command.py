"""`make simulate`: when it makes a new shop, when it lets one grow, and what it says."""

from datetime import date
from types import SimpleNamespace

import pytest

from local import reset
from local.errors import StackError
from local.simulator import command
from tests.local.simulator.conftest import fetch, publish


@pytest.fixture
def stack(warehouse_dsn, monkeypatch):
    forgotten = []
    monkeypatch.setattr(reset, "forget_previous_shop", lambda stack, say: forgotten.append(stack))
    return SimpleNamespace(
        addresses=lambda: SimpleNamespace(warehouse=warehouse_dsn), forgotten=forgotten, dsn=warehouse_dsn
    )


def settings(stack):
    return fetch(stack.dsn, "select customers, seed, last_day::text from truth.settings")[0]


def test_it_makes_a_shop_where_there_is_none_and_lets_it_grow(stack, capsys):
    command.simulate(stack, None, 40, None)
    assert settings(stack) == (2_000, 20_260_630, "2026-06-30")
    assert "Simulated 40 days of a shop" in capsys.readouterr().out

    command.simulate(stack, None, None, None)
    assert settings(stack)[2] == "2026-07-01"
    command.simulate(stack, None, 7, None)
    assert settings(stack)[2] == "2026-07-08"

    assert "7 days older: its last day is 2026-07-08\n  the first day that knows them all: 2026-07-09" in (
        capsys.readouterr().out
    )
    assert len(stack.forgotten) == 1


def test_with_customers_or_a_seed_it_makes_a_new_one(stack):
    command.simulate(stack, 30, 20, None)
    command.simulate(stack, 40, 20, 5)
    assert settings(stack) == (40, 5, "2026-06-30")
    command.simulate(stack, None, 10, 6)

    assert settings(stack) == (2_000, 6, "2026-06-30")
    assert len(stack.forgotten) == 3


def test_it_answers_to_what_is_published(stack, capsys):
    with pytest.raises(StackError, match="A new shop has nothing published to answer to"):
        command.simulate(stack, 200, 40, None, is_answering=True)
    command.simulate(stack, 200, 40, None)
    command.simulate(stack, None, 1, None, is_answering=True)
    assert "nothing new is published: no campaign began" in capsys.readouterr().out
    publish(stack.dsn, date(2026, 7, 2))

    command.simulate(stack, None, 1, None)
    assert fetch(stack.dsn, "select count(*) from truth.answers") == [(0,)]
    command.simulate(stack, None, 1, None, is_answering=True)

    contacted, held_out = fetch(
        stack.dsn, "select count(*) filter (where is_treated), count(*) filter (where not is_treated) "
                   "from truth.answered_contacts")[0]  # fmt: skip
    assert min(contacted, held_out) > 0
    told = capsys.readouterr().out
    assert f"it answered to 2026-07-02: 1 campaigns, {contacted} customers contacted, {held_out} held out" in told


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((0, None, None), "A simulated shop cannot have customers = 0."),
        ((10, 0, None), "A simulated shop grows by 1 to 20,000 days, not by 0."),
        ((10, 10**17, None), "not by 100,000,000,000,000,000."),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(stack, numbers, sentence):
    with pytest.raises(StackError) as caught:
        command.simulate(stack, *numbers)

    assert str(caught.value).endswith(sentence)
    assert stack.forgotten == []
