"""The file of strategies: what is delivered is right, and of a bad edit every problem is said with its line."""

import pytest

from segmentation import strategy_file

GOOD = """\
- id: coupon
  name: {en: Coupon, zh: 优惠券}
  priority: 1
  who: value_tier = 'low'
  offer: Five per cent off
  channels: [email, push]
  cost_per_contact: 0.02
  expected_margin: 20%
  expected_lift: 1.2
  budget: 100
  frequency_cap: {contacts: 2, days: 30}
  holdout_share: 0.1
"""


def read(tmp_path, text):
    path = tmp_path / "strategies.yaml"
    path.write_text(text, encoding="utf-8")
    return strategy_file.read(path)


def problems(tmp_path, text):
    with pytest.raises(strategy_file.StrategiesError) as told:
        read(tmp_path, text)
    assert str(told.value).startswith("strategies.yaml has ")
    return [f"{line}: {why}" for line, why in told.value.problems]


def test_the_strategies_that_are_delivered_are_right_and_cover_the_uses():
    planned = strategy_file.read()
    assert len(planned) >= 15
    assert [each.strategy.priority for each in planned] == sorted(each.strategy.priority for each in planned)
    named = {column for each in planned for column in each.condition.columns}
    assert named >= {
        "new_customer_potential", "interest_group", "value_tier", "churn_risk", "anniversary_in_days",
        "preferred_channel", "video_share", "service_risk",
    }  # fmt: skip
    assert all(0.05 <= each.strategy.holdout_share <= 0.2 for each in planned)


def test_a_strategy_is_read_as_it_is_written(tmp_path):
    [planned] = read(tmp_path, GOOD)
    strategy = planned.strategy
    assert (strategy.name.zh, strategy.margin_share, strategy.margin_amount) == ("优惠券", 0.2, None)
    assert (planned.line, strategy.most_contacts, strategy.brakes.service_risk) == (1, 5000, None)
    [amount] = read(tmp_path, GOOD.replace("20%", "12.5"))
    assert (amount.strategy.margin_share, amount.strategy.margin_amount) == (None, 12.5)


@pytest.mark.parametrize(("budget", "cost", "contacts"), [("0.3", "0.1", 3), ("1.1", "0.1", 11), ("0.29", "0.1", 2)])
def test_a_budget_pays_for_as_many_contacts_as_it_does_on_paper(tmp_path, budget, cost, contacts):
    text = GOOD.replace("budget: 100", f"budget: {budget}").replace("contact: 0.02", f"contact: {cost}")
    assert read(tmp_path, text)[0].strategy.most_contacts == contacts


def test_an_empty_file_has_no_strategies(tmp_path):
    assert read(tmp_path, "# none yet\n") == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("id: coupon", "id: Coupon 1", "1: Coupon 1: id is 'Coupon 1': string should match pattern"),
        ("zh: 优惠券", "de: Gutschein", "2: coupon: name.zh is missing"),
        ("zh: 优惠券", "zh: 优惠券, de: x", "2: coupon: name.de is no field that a strategy has"),
        ("priority: 1", "priority: first", "3: coupon: priority is 'first': input should be a valid integer"),
        ("'low'", "'lwo'", "4: coupon: who: value_tier is never 'lwo'; it is 'high', 'medium', 'low'"),
        ("value_tier =", "value_teir =", "4: coupon: who: there is no column 'value_teir'; is value_tier meant?"),
        ("value_tier = 'low'", "gender = 'male'", "4: coupon: who: gender may not be named: nobody gets an offer for"),
        ("value_tier = 'low'", "strategy_id = 'x'", "4: coupon: who: there is no column 'strategy_id'"),
        ("value_tier = 'low'", "log(tenure_days) > 2", "4: coupon: who: there is no function 'log' here"),
        ("value_tier = 'low'", "tenure_days = 'x'", "4: coupon: who: tenure_days is a number and 'x' is a text"),
        ("email, push", "email, post", "6: coupon: channels.1 is 'post': input should be 'email', 'sms' or 'push'"),
        ("email, push", "email, email", "6: coupon: channels has a channel twice"),
        ("0.02", "yes", "7: coupon: cost_per_contact is 'True': input should be a valid number"),
        ("0.02", "-1", "7: coupon: cost_per_contact is '-1': input should be greater than or equal to 0"),
        ("20%", "much", "8: coupon: expected_margin must be an amount such as 12.5, or a share"),
        ("20%", "120%", "8: coupon: expected_margin must be an amount such as 12.5, or a share"),
        ("20%", "0.1", "8: coupon: expected_margin of 0.1 never pays for a contact of 0.02 at that lift"),
        ("1.2", "0.9", "9: coupon: expected_lift is '0.9': input should be greater than 1"),
        ("  budget: 100\n", "", "1: coupon: budget is missing: a contact costs 0.02"),
        ("budget: 100", "budget: 0.01", "10: coupon: budget of 0.01 a day is impossible: one contact costs 0.02"),
        ("  frequency_cap: {contacts: 2, days: 30}\n", "", "1: coupon: frequency_cap is missing"),
        ("contacts: 2", "contacts: 0", "11: coupon: frequency_cap.contacts is '0'"),
        ("holdout_share: 0.1", "holdout_share: 10", "12: coupon: holdout_share is '10'"),
        ("holdout_share", "holdout", "12: coupon: holdout is no field that a strategy has"),
        ("priority: 1", "priority: 1\n  priority: 2", "4: priority stands in line 3 already"),
        ("id: coupon", "id: coupon\n  brakes: {mood: bad}", "2: coupon: brakes.mood is no field that a strategy has"),
    ],
)
def test_each_mistake_is_said_with_its_line(tmp_path, old, new, told):
    assert old in GOOD
    assert any(each.startswith(told) for each in problems(tmp_path, GOOD.replace(old, new, 1))), told


def test_all_problems_are_said_at_once_in_the_order_of_the_lines(tmp_path):
    second = GOOD.replace("'low'", "'hihg'").replace("email, push", "fax").replace("  offer: Five per cent off\n", "")
    third = GOOD.replace("budget: 100", "budget: 0.001")
    found = problems(tmp_path, GOOD + second + third)
    assert [int(each.split(":")[0]) for each in found] == [13, 13, 15, 16, 17, 24, 26, 33]
    assert "fax" in found[4]
    assert found[5:7] == [
        "24: coupon: id coupon is that of line 1 already",
        "26: coupon: priority 1 is that of line 3 already",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- id: a\n  name: [", "2: this is no YAML: "),
        ("id: coupon\n", "1: the file is a list: - id: ..."),
        ("- coupon\n", "1: a strategy is a list of fields"),
        ("- {[a]: b}\n", "1: this is no YAML: found unhashable key"),
    ],
)
def test_what_is_no_list_of_strategies_is_said(tmp_path, text, told):
    assert problems(tmp_path, text)[0].startswith(told)
