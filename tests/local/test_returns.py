"""Which sale a cancellation takes back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.returns import LOOK_BACK, Movement, match


def movement(row, time, quantity, price="1.00", key="anna, mug"):
    return Movement(key=key, time=time, line_no=row, row=row, quantity=quantity, price=Decimal(price))


@pytest.mark.parametrize(
    ("why", "sales", "cancelled", "expected"),
    [
        ("the latest", [movement(1, 1, 6), movement(2, 2, 6)], movement(9, 3, 2), [(2, 2)]),
        ("the latest that is big enough", [movement(1, 1, 6), movement(2, 2, 1)], movement(9, 3, 2), [(1, 2)]),
        ("the same price first", [movement(1, 1, 6), movement(2, 2, 6, "2.00")], movement(9, 3, 2), [(1, 2)]),
        ("another price if need be", [movement(1, 1, 1), movement(2, 2, 6, "2.00")], movement(9, 3, 2), [(2, 2)]),
        ("spread over several", [movement(1, 1, 3), movement(2, 2, 4)], movement(9, 3, 6), [(2, 4), (1, 2)]),
        ("as many as there are", [movement(1, 1, 3)], movement(9, 3, 10), [(1, 3)]),
        ("no sale after it", [movement(1, 4, 3)], movement(9, 3, 1), None),
        ("in the same minute, by line", [movement(1, 3, 3), movement(10, 3, 3)], movement(9, 3, 1), [(1, 1)]),
        ("nobody else's", [movement(1, 1, 3, key="bert, mug")], movement(9, 3, 1), None),
        ("no other product's", [movement(1, 1, 3, key="anna, cup")], movement(9, 3, 1), None),
    ],
)
def test_match_takes_back(why, sales, cancelled, expected):
    assert match(sales, [cancelled]).get(9) == expected


def test_what_is_returned_once_is_not_returned_again():
    taken = match([movement(1, 1, 5)], [movement(2, 2, 3), movement(3, 3, 3), movement(4, 4, 3)])

    assert taken == {2: [(1, 3)], 3: [(1, 2)]}


def test_matching_does_not_look_back_without_end():
    sales = [movement(row, row, 1) for row in range(3 * LOOK_BACK)]

    taken = match(sales, [movement(10 * LOOK_BACK, 10 * LOOK_BACK, 2 * LOOK_BACK)])

    assert sum(pieces for _, pieces in taken[10 * LOOK_BACK]) == LOOK_BACK


_MOVES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 5), st.sampled_from(["1", "2"]), st.sampled_from("ab")),
    max_size=40,
)


@given(_MOVES)
def test_never_more_than_was_sold_before_nor_more_than_was_cancelled(moves):
    made = [movement(row, time, pieces, price, key) for row, (_, time, pieces, price, key) in enumerate(moves)]
    sales = {m.row: m for m, move in zip(made, moves, strict=True) if move[0]}
    cancelled = {m.row: m for m, move in zip(made, moves, strict=True) if not move[0]}

    taken = match(sales.values(), cancelled.values())

    back = dict.fromkeys(sales, 0)
    for row, parts in taken.items():
        assert 0 < sum(pieces for _, pieces in parts) <= cancelled[row].quantity
        for sale, pieces in parts:
            assert (sales[sale].time, sale) < (cancelled[row].time, row)
            assert sales[sale].key == cancelled[row].key
            back[sale] += pieces
    assert all(back[row] <= sale.quantity for row, sale in sales.items())
