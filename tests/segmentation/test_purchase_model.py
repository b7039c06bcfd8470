"""BG/NBD and Gamma-Gamma: the published figures, the story they tell, and data that leave a parameter open."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from segmentation import purchase_likelihoods, purchase_model
from segmentation.purchase_model import NotFittedError, PurchaseModel

WEEK = 7.0


def model(r=0.243, alpha=4.414 * WEEK, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44):
    """A model that was not fitted; as it stands, the papers' for CDNOW."""
    return PurchaseModel(r, alpha, a, b, p, q, v, 0, 0.0, 0, 0.0, None, (), True)


def arrays(orders, as_of):
    """frequency, recency, age and spend of a log with the columns `customer`, `day`, `spend`, up to a day."""
    days = orders[orders["day"] <= as_of].groupby(["customer", "day"])["spend"].sum().reset_index()
    first, last = (days.groupby("customer")["day"].agg(which) for which in ("min", "max"))
    later = days[days["day"] > days["customer"].map(first)].groupby("customer")["spend"]
    frequency = later.size().reindex(first.index, fill_value=0).to_numpy()
    recency, age = (last - first).dt.days.to_numpy(), (pd.Timestamp(as_of) - first).dt.days.to_numpy()
    return frequency, recency, age, later.mean().reindex(first.index).to_numpy()


def live(rng, customers, age, horizon, truth):
    """Customers who live as BG/NBD says: x, t_x at their age, whether alive then, and orders within the horizon."""
    age = np.broadcast_to(np.asarray(age, dtype="float64"), customers)
    rate, drop_out = rng.gamma(truth.r, 1 / truth.alpha, customers), rng.beta(truth.a, truth.b, customers)
    x, t_x, later, now = (np.zeros(customers) for _ in range(4))
    alive, going = np.ones(customers, dtype=bool), np.arange(customers)
    while len(going):
        now[going] += rng.exponential(1 / np.maximum(rate[going], 1e-300))
        going = going[now[going] <= age[going] + horizon]
        before = now[going] <= age[going]
        x[going[before]] += 1
        t_x[going[before]] = now[going[before]]
        later[going[~before]] += 1
        leaves = rng.random(len(going)) < drop_out[going]
        alive[going[leaves & before]] = False
        going = going[~leaves]
    return x, t_x, age, alive, later


def spend_of(rng, x, truth):
    """Mean spends as Gamma-Gamma says; NaN for who never came back."""
    rate = rng.gamma(truth.q, 1 / truth.v, len(x))
    return np.where(x > 0, rng.gamma(np.maximum(truth.p * x, 1e-9), 1 / rate) / np.maximum(x, 1), np.nan)


@pytest.fixture(scope="session")
def cdnow(real_data):
    path = real_data / "cdnow_sample.txt"
    if not path.exists():
        pytest.skip(f"the CDNOW sample is not at {path}; FENQUN_REAL_DATA names its folder")
    names = ["master", "customer", "day", "units", "spend"]
    orders = pd.read_csv(path, sep=r"\s+", header=None, names=names, dtype={"day": str})
    return orders.assign(day=pd.to_datetime(orders["day"]))


@pytest.fixture(scope="session")
def online_retail(real_data):
    path = real_data / "online_retail_2010_2011.csv.gz"
    if not path.exists():
        pytest.skip(f"the UCI Online Retail file is not at {path}; FENQUN_REAL_DATA names its folder")
    lines = pd.read_csv(path, usecols=["Quantity", "InvoiceDate", "UnitPrice", "CustomerID"])
    lines = lines[lines["CustomerID"].notna() & (lines["Quantity"] > 0) & (lines["UnitPrice"] > 0)]
    day = pd.to_datetime(lines["InvoiceDate"].str[:10])
    return pd.DataFrame({"customer": lines["CustomerID"], "day": day, "spend": lines["Quantity"] * lines["UnitPrice"]})


def test_cdnow_gives_the_published_parameters(cdnow):
    x, t_x, age, spend = arrays(cdnow, "1997-09-30")
    fitted = purchase_model.fit(x, t_x, age, spend)
    assert (fitted.customers, fitted.spend_customers) == (2357, 946)
    assert fitted.r == pytest.approx(0.243, abs=0.001)
    assert fitted.alpha / WEEK == pytest.approx(4.414, rel=0.002)
    assert fitted.a == pytest.approx(0.793, rel=0.005)
    assert fitted.b == pytest.approx(2.426, rel=0.005)
    assert fitted.log_likelihood + x.sum() * np.log(WEEK) == pytest.approx(-9582.4, abs=0.05)
    assert fitted.p == pytest.approx(6.25, rel=0.005)
    assert fitted.q == pytest.approx(3.74, rel=0.005)
    assert fitted.v == pytest.approx(15.44, rel=0.005)
    assert fitted.converged
    assert fitted.at_bounds == ()


def test_weeks_with_fractions_as_in_the_papers_are_the_same_model(cdnow):
    x, t_x, age, spend = arrays(cdnow, "1997-09-30")
    days, weeks = (purchase_model.fit(x, t_x / unit, age / unit, spend * unit) for unit in (1, WEEK))
    assert weeks.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert weeks.alpha * WEEK == pytest.approx(days.alpha, rel=1e-6)
    assert weeks.v / WEEK == pytest.approx(days.v, rel=1e-6)
    for name in ("r", "a", "b", "p", "q"):
        assert getattr(weeks, name) == pytest.approx(getattr(days, name), rel=1e-6)


def test_the_published_forecast_of_one_customer():
    """Fader and Hardie's worksheet: 1.226 orders in 39 weeks after x = 2, t_x = 30.43, T = 38.86 weeks."""
    found = purchase_model.predict(model(), [2], [30.43 * WEEK], [38.86 * WEEK], [22.0], 39 * WEEK)
    assert found["expected_orders"][0] == pytest.approx(1.226, abs=0.001)


@pytest.mark.parametrize("as_of", ["1997-01-20", "1997-02-15", "1997-03-31", "1997-06-30", "1998-01-01", "1998-06-30"])
def test_cdnow_converges_on_any_day(cdnow, as_of):
    check(*arrays(cdnow, as_of))


@pytest.mark.parametrize(
    "as_of",
    ["2010-12-05", "2010-12-10", "2010-12-31", "2011-01-18", "2011-03-31", "2011-05-18", "2011-09-10", "2011-12-09"],
)
def test_online_retail_converges_on_any_day(online_retail, as_of):
    check(*arrays(online_retail, as_of))


def check(x, t_x, age, spend):
    """A fit converges, twice to the same bits, and what it predicts is finite and possible."""
    fitted = purchase_model.fit(x, t_x, age, spend)
    assert fitted.converged
    assert fitted == purchase_model.fit(x, t_x, age, spend)
    numbers = [each for each in fitted.as_dict().values() if isinstance(each, float)]
    assert np.isfinite(numbers).all()
    found = purchase_model.predict(fitted, x, t_x, age, spend, 90)
    for name in ("alive_probability", "expected_orders", *(("expected_spend",) if fitted.p else ())):
        assert np.isfinite(found[name]).all(), name
        assert (found[name] >= 0).all(), name
    assert (found["alive_probability"] <= 1).all()
    return fitted, found


@pytest.mark.parametrize("parameters", [(0.243, 1.2, 0.793, 2.426), (30.0, 40.0, 0.004, 60.0), (1e-3, 1e-3, 5.0, 1e-2)])
def test_the_likelihood_of_orders_is_the_papers_and_its_gradient_is_true(parameters):
    rng = np.random.default_rng(1)
    x = np.sort(np.r_[np.zeros(5), rng.integers(1, 9, 20), 40]).astype("float64")
    age = rng.uniform(0.5, 2, len(x))
    t_x = np.where(x > 0, age * rng.uniform(0.1, 1, len(x)), 0)
    r, alpha, a, b = parameters
    paper = special.beta(a, b + x) / special.beta(a, b) * special.poch(r, x) * alpha**r / (alpha + age) ** (r + x)
    dead = special.beta(a + 1, b + np.maximum(x, 1) - 1) / special.beta(a, b) * special.poch(r, x) * alpha**r
    paper += np.where(x > 0, dead / (alpha + t_x) ** (r + x), 0)
    groups = purchase_likelihoods.grouped(*np.repeat([x, t_x, age], 3, axis=1))
    assert len(groups[0]) == len(x)
    value, gradient = purchase_likelihoods.of_orders(np.log(parameters), *groups)
    assert value == pytest.approx(3 * np.log(paper).sum(), rel=1e-11)
    assert gradient == pytest.approx(
        slopes(lambda logs: purchase_likelihoods.of_orders(logs, *groups)[0], np.log(parameters)),
        rel=1e-6,
        abs=1e-5,
    )


@pytest.mark.parametrize("parameters", [(6.25, 3.74, 15.44), (0.01, 1.3, 900.0), (300.0, 200.0, 1.0)])
def test_the_likelihood_of_spend_is_the_notes_and_its_gradient_is_true(parameters):
    rng = np.random.default_rng(2)
    x = np.sort(rng.integers(1, 9, 30)).astype("float64")
    spend = rng.gamma(3, 10, 30)
    p, q, v = parameters
    density = [
        integrate.quad(
            lambda rate, times=times, mean=mean: (
                stats.gamma.pdf(mean, p * times, scale=1 / (times * rate)) * stats.gamma.pdf(rate, q, scale=1 / v)
            ),
            0,
            np.inf,
        )[0]
        for times, mean in zip(x, spend, strict=True)
    ]
    logs = np.log([p, q - 1, v])
    value, gradient = purchase_likelihoods.of_spend(logs, x, spend)
    if p < 100:  # the integral is too narrow for quad
        assert value == pytest.approx(np.log(density).sum(), rel=1e-5)
    expected = slopes(lambda at: purchase_likelihoods.of_spend(at, x, spend)[0], logs)
    assert gradient == pytest.approx(expected, rel=1e-6, abs=1e-5)


def slopes(function, at, step=1e-5):
    """Central finite differences."""
    return [(function(at + side) - function(at - side)) / (2 * step) for side in np.eye(len(at)) * step]


def test_probability_alive_and_expected_orders_are_those_of_customers_who_live_so():
    rng, truth = np.random.default_rng(3), model(r=1.0, alpha=40.0, a=1.0, b=2.5)
    x, t_x, age, alive, later = live(rng, 400_000, rng.choice([60.0, 200.0], 400_000), 90, truth)
    found = purchase_model.predict(truth, x, t_x, age, None, 90)
    checked = 0
    for known in (60.0, 200.0):
        for times in range(7):
            for part in range(4 if times else 1):
                group = (age == known) & (x == times) & (np.floor(4 * t_x / known) == part)
                if group.sum() < 300:
                    continue
                for expected, happened in (("alive_probability", alive), ("expected_orders", later)):
                    error = happened[group].std() / np.sqrt(group.sum())
                    assert happened[group].mean() == pytest.approx(
                        found[expected][group].mean(), abs=4.5 * error + 1e-3
                    )
                checked += 1
    assert checked > 40


def test_expected_spend_is_that_of_customers_who_spend_so():
    rng, truth = np.random.default_rng(4), model()
    x = rng.integers(0, 5, 200_000)
    rate = rng.gamma(truth.q, 1 / truth.v, len(x))
    spend = np.where(x > 0, rng.gamma(truth.p * np.maximum(x, 1), 1 / rate) / np.maximum(x, 1), np.nan)
    next_mean = truth.p / rate
    found = purchase_model.predict(truth, x, x * 10.0, np.full(len(x), 100.0), spend, 30)
    value = found["expected_order_value"]
    assert value[x == 0] == pytest.approx(truth.p * truth.v / (truth.q - 1))
    for group in (x == 0, x == 1, x == 4, (x == 1) & (spend > 50), (x == 3) & (spend < 15)):
        assert next_mean[group].mean() == pytest.approx(value[group].mean(), rel=0.02)
    assert found["expected_spend"] == pytest.approx(found["expected_orders"] * value)


@pytest.mark.parametrize(
    ("r", "alpha", "a", "b"),
    [
        (0.243, 30.9, 0.793, 2.426),
        (0.8, 68.0, 0.007, 9.5),
        (0.5, 10.0, 1.0, 2.0),  # the pole of the closed form
        (0.3, 50.0, 3.0, 2e4),
        (2e4, 2e4, 0.5, 5.0),
        (0.2, 0.05, 0.5, 2.0),  # a horizon of thousands of alpha
        (1.0, 30.0, 2e4, 2e4),
    ],
)
@pytest.mark.parametrize("x", [0, 1, 20, 2000])
def test_expected_orders_are_right_far_out(r, alpha, a, b, x):
    """Against a plain midpoint rule over the drop-out probability, on a fine grid of its logit."""
    age = np.array([float(x), x + 300.0])
    found = purchase_model.predict(model(r, alpha, a, b), [x, x], age * (x > 0), age, None, 90)
    expected = found["expected_orders"] / found["alive_probability"]
    edges = grid(a, b + x)
    p, weight = (edges[1:] + edges[:-1]) / 2, np.diff(special.betainc(a, b + x, edges))
    for place in range(2):
        over = -np.expm1(-(r + x) * np.log1p(p * 90 / (alpha + age[place]))) / p
        assert expected[place] == pytest.approx(np.sum(over * weight), rel=2e-6)


def grid(a, b):
    """Edges of a fine grid over (0, 1) that is finest where Beta(a, b) is."""
    low, high = special.betaincinv(a, b, 1e-13), special.betaincinv(a, b, 1 - 1e-13)
    middle = np.linspace(special.logit(max(low, 1e-18)), special.logit(min(high, 1 - 1e-15)), 40_000)
    return np.r_[0.0, special.expit(middle), 1.0]


def test_expected_orders_are_those_of_the_closed_form_where_it_can_be_used():
    truth, x, age = model(a=1.7), np.arange(6.0), 200.0
    z = 90 / (truth.alpha + age + 90)
    series = special.hyp2f1(truth.r + x, truth.b + x, truth.a + truth.b + x - 1, z)
    closed = (truth.a + truth.b + x - 1) / (truth.a - 1) * (1 - (1 - z) ** (truth.r + x) * series)
    found = purchase_model.predict(truth, x, x * 20, np.full(6, age), None, 90)
    assert found["expected_orders"] / found["alive_probability"] == pytest.approx(closed, rel=1e-10)


def test_what_was_simulated_is_found_again():
    rng, truth = np.random.default_rng(5), model(r=0.6, alpha=25.0, a=0.9, b=2.5, p=4.0, q=3.5, v=20.0)
    x, t_x, age, _, _ = live(rng, 40_000, rng.uniform(0, 600, 40_000), 0, truth)
    fitted = purchase_model.fit(x, t_x, age, spend_of(rng, x, truth))
    for name in ("r", "alpha", "a", "b", "p", "q", "v"):
        assert getattr(fitted, name) == pytest.approx(getattr(truth, name), rel=0.1), name


def poisson(rng, age, rate):
    """Customers who never leave and all order at one rate, on whole days."""
    x = np.minimum(rng.poisson(rate * age), age)
    t_x = np.where(x > 0, np.maximum(np.ceil(age * rng.beta(np.maximum(x, 1), 1)), 1), 0)
    return x.astype("float64"), t_x, age.astype("float64")


def degenerate(kind, rng):
    """x, t_x and age that leave a parameter open, or nearly break the arithmetic."""
    ages = rng.integers(0, 700, 2000)
    x, t_x, age = poisson(rng, ages, 0.01)
    match kind:
        case "everyone buys every day":
            return ages, ages, ages
        case "everyone buys every day for as long":
            return (np.full(500, 100.0),) * 3
        case "nobody leaves":
            return poisson(rng, ages, 0.05)
        case "everyone left after one return":
            return np.ones(500), np.ones(500), np.full(500, 700.0)
        case "all are new":
            x = np.r_[np.zeros(2000), np.ones(20)]
            return x, x, np.r_[rng.integers(0, 3, 2000), np.full(20, 2)]
        case "first orders on the day itself":
            return (np.r_[each, np.zeros(5000)] for each in (x, t_x, age))
        case "few come back":
            x = np.r_[np.zeros(500), np.ones(12)]
            return x, x * 3, np.full(512, 30.0)
        case "one orders 2000 times":
            return np.r_[x, 2000], np.r_[t_x, 699], np.r_[age, 699]
        case "one orders a million times":
            return np.r_[x, 1e6], np.r_[t_x, 699], np.r_[age, 699]
        case "all order 2000 times":
            return rng.integers(1500, 2000, 500), np.full(500, 2000), np.full(500, 2000)
        case "one is a century old":
            return np.r_[x, 3], np.r_[t_x, 36_000], np.r_[age, 36_500]
        case "microseconds":
            return x, t_x / 1e9, age / 1e9
        case "returns within a nanosecond":
            x = np.r_[np.zeros(100), np.full(100, 5)]
            return x, x * 2e-10, np.full(200, 700.0)


@pytest.mark.parametrize(
    "kind",
    [
        "everyone buys every day",
        "everyone buys every day for as long",
        "nobody leaves",
        "everyone left after one return",
        "all are new",
        "first orders on the day itself",
        "few come back",
        "one orders 2000 times",
        "one orders a million times",
        "all order 2000 times",
        "one is a century old",
        "microseconds",
        "returns within a nanosecond",
    ],
)
def test_degenerate_orders_end_at_a_finite_maximum(kind):
    rng = np.random.default_rng(6)
    x, t_x, age = degenerate(kind, rng)
    check(x, t_x, age, spend_of(rng, np.asarray(x), model()))


def test_who_buys_every_day_will_go_on():
    days = np.full(500, 100.0)
    fitted, found = check(days, days, days, None)
    assert "r" in fitted.at_bounds
    assert found["expected_orders"] == pytest.approx(90, rel=0.001)
    assert found["alive_probability"] == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize(
    ("kind", "draw"),
    [
        ("all the same", lambda rng, n: np.full(n, 25.0)),
        ("one huge", lambda rng, n: np.r_[1e7, rng.gamma(5, 5, n - 1)]),
        ("no mean", lambda rng, n: np.abs(rng.standard_cauchy(n)) + 0.01),
        ("very skewed", lambda rng, n: np.exp(3 * rng.standard_normal(n))),
        ("two prices", lambda rng, n: np.where(rng.random(n) < 0.5, 0.01, 1e4)),
        ("tiny", lambda rng, n: rng.gamma(2, 1e-9, n)),
        ("vast", lambda rng, n: rng.gamma(2, 1e13, n)),
    ],
)
def test_degenerate_spend_ends_at_a_finite_maximum(kind, draw):
    rng = np.random.default_rng(7)
    x, t_x, age = poisson(rng, rng.integers(0, 700, 3000), 0.01)
    spend = draw(rng, 3000)
    fitted, found = check(x, t_x, age, spend)
    newcomer = found["expected_order_value"][x == 0][0]
    assert np.median(spend) / 3 < newcomer < 10 * max(np.median(spend), spend[x > 0].mean())
    assert ("q" in fitted.at_bounds) == (kind in ("all the same", "no mean", "very skewed"))


def test_the_order_of_the_customers_does_not_matter():
    rng = np.random.default_rng(8)
    x, t_x, age, _, _ = live(rng, 5000, rng.integers(0, 60, 5000), 0, model())
    rows = np.stack([x, np.ceil(t_x), age, spend_of(rng, x, model())])  # on whole days many are alike, but for spend
    shuffled = rng.permutation(5000)
    for limit in (None, 2000):
        one, other = (purchase_model.fit(*each, max_customers=limit, seed=1) for each in (rows, rows[:, shuffled]))
        assert one == other
        assert one.customers == (limit or 5000)
    assert purchase_model.fit(*rows, max_customers=2000, seed=2) != one
    one, other = purchase_model.predict(one, *rows, 90), purchase_model.predict(one, *rows[:, shuffled], 90)
    for name in one:
        assert one[name][shuffled].tobytes() == other[name].tobytes()


def test_a_model_survives_json():
    rng = np.random.default_rng(9)
    fitted = purchase_model.fit(*poisson(rng, rng.integers(0, 300, 500), 0.02))
    text = json.dumps(fitted.as_dict(), allow_nan=False)
    fields = json.loads(text)
    assert PurchaseModel(**{**fields, "at_bounds": tuple(fields["at_bounds"])}) == fitted


@pytest.mark.parametrize(
    ("spend", "reason"),
    [
        (None, "no spend was given"),
        (np.full(500, np.nan), "0 customers with a spend above 0"),
        (np.r_[np.full(495, -1.0), np.full(5, 9.0)], "5 customers with a spend above 0 after .*; 10 are needed"),
    ],
)
def test_without_spend_there_are_orders_and_a_reason(spend, reason):
    rng = np.random.default_rng(10)
    rows = poisson(rng, rng.integers(0, 300, 500), 0.02)
    fitted = purchase_model.fit(*rows, spend)
    assert (fitted.p, fitted.q, fitted.v, fitted.spend_log_likelihood) == (None, None, None, None)
    assert re.match(reason, fitted.spend_reason)
    found = purchase_model.predict(fitted, *rows, spend, 90)
    assert np.isnan(found["expected_order_value"]).all()
    assert np.isfinite(found["expected_orders"]).all()


def test_unknown_and_negative_spends_are_predicted_too():
    nothing, refund, unknown = np.array([20.0, 0.0, np.nan]), np.array([20.0, -5.0, np.inf]), np.full(3, 2)
    days = np.full(3, 50.0)
    one, other = (
        purchase_model.predict(model(), unknown, days, days, spend, 30)["expected_order_value"]
        for spend in (nothing, refund)
    )
    assert one == pytest.approx(other)
    assert one[2] == pytest.approx(6.25 * 15.44 / 2.74)
    assert one[1] < one[0]


def test_no_horizon_brings_nothing():
    found = purchase_model.predict(model(), [0, 3], [0, 50], [0, 60], None, 0)
    assert (found["expected_orders"] == 0).all()


@pytest.mark.parametrize(
    ("x", "age", "reason"),
    [
        (np.zeros(500), np.full(500, 90.0), "0 customers who came back; 10 are needed"),
        (np.r_[np.ones(9), np.zeros(500)], np.full(509, 90.0), "9 customers who came back; 10 are needed"),
        (np.ones(49), np.full(49, 90.0), "49 customers who were known for any time; 50 are needed"),
        (np.zeros(500), np.zeros(500), "0 customers who were known for any time; 50 are needed"),
        (np.zeros(0), np.zeros(0), "0 customers who were known for any time; 50 are needed"),
    ],
)
def test_too_little_data_are_refused_in_words(x, age, reason):
    with pytest.raises(NotFittedError, match=reason):
        purchase_model.fit(x, x, age)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((1, 50, 40), "recency beyond the age"),
        ((0, 5, 40), "recency without a return"),
        ((2, 0, 40), "a return without recency"),
        ((1.5, 5, 40), "half a return"),
        ((-1, 0, 40), "less than none"),
        ((np.nan, 5, 40), "unknown frequency"),
        ((1, np.nan, 40), "unknown recency"),
        ((1, 5, np.nan), "unknown age"),
        ((1, 5, np.inf), "no beginning"),
        ((np.inf, 5, 40), "no end"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(row, why):
    x, t_x, age = (np.r_[np.full(99, good), bad] for good, bad in zip((1, 20, 30), row, strict=True))
    for call in (purchase_model.fit, lambda *rows: purchase_model.predict(model(), *rows, None, 90)):
        with pytest.raises(ValueError, match="1 of 100 customers contradict") as refused:
            call(x, t_x, age)
        assert not isinstance(refused.value, NotFittedError)


def test_shapes_and_horizons_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="have the shapes"):
        purchase_model.fit(np.ones(60), np.ones(60), np.ones(61))
    with pytest.raises(ValueError, match="spend has the shape"):
        purchase_model.fit(np.ones(60), np.ones(60), np.ones(60), np.ones(61))
    for horizon in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="the horizon is"):
            purchase_model.predict(model(), [1], [5], [9], None, horizon)
