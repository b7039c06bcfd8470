"""What features add to a prediction: it sums to the prediction, and is what Shapley's formula says by enumeration."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier
from xgboost import DMatrix, XGBClassifier, XGBRegressor

from segmentation import explain, preparation, tree_shap
from segmentation.ensembles import AmountEnsemble, ProbabilityEnsemble

ROWS = 600
QUIET = {"verbose": -1, "n_jobs": 1}
CLASSIFIERS = {
    "linear": LogisticRegression(),
    "xgboost": XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1),
    "deep xgboost": XGBClassifier(n_estimators=60, max_depth=7, n_jobs=1),
    "lightgbm": LGBMClassifier(n_estimators=20, max_depth=3, **QUIET),
    "deep lightgbm": LGBMClassifier(n_estimators=60, num_leaves=12, min_child_samples=3, **QUIET),
    "forest": RandomForestClassifier(30, max_depth=6, random_state=1),
    "tree": DecisionTreeClassifier(max_depth=4),
}
REGRESSORS = {
    "tweedie": TweedieRegressor(power=1.5, alpha=0.1, max_iter=500),
    "xgboost": XGBRegressor(n_estimators=20, max_depth=3, objective="reg:tweedie", n_jobs=1),
    "lightgbm": LGBMRegressor(n_estimators=20, max_depth=3, objective="tweedie", **QUIET),
    "forest": RandomForestRegressor(30, max_depth=6, random_state=1),
}


@pytest.fixture(scope="module")
def shop():
    """(inputs, whether, amount): an outcome that two numbers, a gap and a category have to do with."""
    rng = np.random.default_rng(5)
    inputs = pd.DataFrame(
        {
            "age": rng.gamma(2, 30, ROWS),
            "orders": rng.poisson(3, ROWS).astype(float),
            "noise": rng.normal(size=ROWS),
            "channel": rng.choice(["app", "store", "web"], ROWS, p=[0.2, 0.3, 0.5]).astype(object),
        }
    )
    inputs.loc[rng.random(ROWS) < 0.2, "orders"] = np.nan
    logit = inputs["age"] / 40 - inputs["orders"].fillna(0) / 2 + (inputs["channel"] == "app") - inputs["orders"].isna()
    whether = rng.random(ROWS) < 1 / (1 + np.exp(-logit))
    return inputs, whether, np.where(whether, rng.gamma(2, 20, ROWS) * (1 + inputs["age"] / 50), 0)


def member(estimator):
    is_linear = isinstance(estimator, LogisticRegression | TweedieRegressor)
    numbers = preparation.scaled_numbers() if is_linear else None
    select = preparation.FeatureSelector({"min_examples": 2, "max_chi2_p": 1.0, "min_mutual_information": 0.0})
    return Pipeline([("select", select), ("encode", preparation.Encoder(numbers)), ("model", estimator)])


@pytest.fixture(scope="module")
def fitted(shop):
    inputs, whether, amount = shop
    members = {("yes", name): member(model).fit(inputs, whether) for name, model in CLASSIFIERS.items()}
    for name, model in REGRESSORS.items():
        made = member(model)
        made.steps[0] = ("select", members["yes", "tree"].named_steps["select"])
        encoded = made["encode"].fit(made["select"].transform(inputs)).transform(made["select"].transform(inputs))
        made["model"].fit(encoded, amount)
        members["amount", name] = made
    return members


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_contributions_sum_to_the_calibrated_logit(shop, fitted, name):
    ensemble = ProbabilityEnsemble.of([("one", fitted["yes", name])], slope=0.8, intercept=-0.3)
    found = explain.contributions(ensemble, shop[0])
    np.testing.assert_allclose(
        found.base + found.values.sum(axis=1), ensemble.decision_function(shop[0]), rtol=1e-4, atol=1e-4
    )
    assert set(found.columns) <= set(shop[0].columns)


def test_a_matrix_that_was_made_before_is_made_no_more(shop, fitted, monkeypatch):
    members = [(n, fitted["yes", n]) for n in ("linear", "xgboost", "forest")]
    ensemble = ProbabilityEnsemble.of(members, [2, 1, 0], slope=0.9, intercept=0.1)
    plain, chances = explain.contributions(ensemble, shop[0]), ensemble.predict_proba(shop[0])
    encoded = ensemble.encoded(shop[0])
    assert encoded[2] is None  # the forest weighs nothing
    monkeypatch.setattr(preparation.Encoder, "transform", None)
    found = explain.contributions(ensemble, shop[0], encoded)
    assert (found.values == plain.values).all()
    assert found.base == plain.base
    assert (ensemble.predict_proba(shop[0], encoded) == chances).all()


def test_contributions_of_members_count_by_weight(shop, fitted):
    names = ["linear", "xgboost", "forest"]
    ensemble = ProbabilityEnsemble.of([(n, fitted["yes", n]) for n in names], [3, 2, 1], slope=0.9, intercept=0.1)
    found = explain.contributions(ensemble, shop[0])
    np.testing.assert_allclose(
        found.base + found.values.sum(axis=1), ensemble.decision_function(shop[0]), rtol=1e-4, atol=1e-4
    )
    alone = explain.contributions(ProbabilityEnsemble.of([("linear", fitted["yes", "linear"])]), shop[0])
    others = [explain.contributions(ProbabilityEnsemble.of([(n, fitted["yes", n])]), shop[0]) for n in names[1:]]
    age = [each.values[:, each.columns.index("age")] for each in (alone, *others)]
    expected = 0.9 * (3 * age[0] + 2 * age[1] + age[2]) / 6
    np.testing.assert_allclose(found.values[:, found.columns.index("age")], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", REGRESSORS)
def test_contributions_sum_to_the_amount(shop, fitted, name):
    ensemble = AmountEnsemble.of([("one", fitted["amount", name])], factor=1.1)
    found = explain.contributions(ensemble, shop[0])
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), ensemble.predict(shop[0]), rtol=1e-3, atol=1e-3)


def test_a_linear_models_contributions_are_shapley_values_by_enumeration(shop, fitted):
    inputs, _, _ = shop
    pipeline = fitted["yes", "linear"]
    encoder, model = pipeline["encode"], pipeline["model"]
    matrix = pipeline[:-1].transform(inputs)
    found = explain.contributions(ProbabilityEnsemble.of([("linear", pipeline)]), inputs.head(3))

    def worth(row, known):
        columns = np.isin(encoder.sources_, list(known))
        return np.where(columns, matrix[row], matrix.mean(axis=0)) @ model.coef_[0] + model.intercept_[0]

    for row in range(3):
        by_formula = shapley(found.columns, lambda known, row=row: worth(row, known))
        np.testing.assert_allclose(found.values[row], by_formula, atol=1e-9)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_boosted_trees_contributions_are_shapley_values_by_enumeration(shop, fitted, name):
    inputs, _, _ = shop
    pipeline = fitted["yes", name]
    matrix = pipeline[:-1].transform(inputs)
    trees = (trees_of_xgboost if name == "xgboost" else trees_of_lightgbm)(pipeline["model"])
    _, values, _ = explain._of_estimator(pipeline["model"], matrix, pipeline["encode"].means_)
    for row in range(3):
        by_formula = shapley(
            range(matrix.shape[1]),
            lambda known, row=row: sum(worth_of_tree(tree, matrix[row], known) for tree in trees),
        )
        np.testing.assert_allclose(values[row], by_formula, atol=1e-4)


@pytest.mark.parametrize("name", ["xgboost", "deep xgboost", "lightgbm", "deep lightgbm"])
def test_boosted_trees_contributions_are_the_librarys_own(shop, fitted, name):
    pipeline = fitted["yes", name]
    matrix, model = pipeline[:-1].transform(shop[0]), pipeline["model"]
    matrix[:40] = np.nan
    assert tree_shap.tables_of(model) is not None
    _, values, _ = explain._of_estimator(model, matrix, pipeline["encode"].means_)
    if "xgboost" in name:
        own = model.get_booster().predict(DMatrix(matrix), pred_contribs=True)
    else:
        own = model.predict(matrix, pred_contrib=True)
    np.testing.assert_allclose(values, own[:, :-1], atol=2e-5)


def test_trees_that_are_too_deep_for_tables_go_along_paths(shop):
    inputs, whether, _ = shop
    matrix = inputs[["age", "noise"]].to_numpy()
    for model in (
        XGBClassifier(n_estimators=2, max_depth=20, min_child_weight=0, reg_lambda=0, gamma=0, n_jobs=1),
        LGBMClassifier(n_estimators=2, num_leaves=200, min_child_samples=1, **QUIET),
    ):
        model.fit(matrix, whether)
        assert tree_shap.tables_of(model) is None
        base, values, _ = explain._of_estimator(model, matrix, np.zeros(2))
        yes = model.predict_proba(matrix)[:, 1]
        np.testing.assert_allclose(1 / (1 + np.exp(-base - values.sum(axis=1))), yes, atol=1e-4)


def test_a_trees_paths_are_what_its_splits_move(shop):
    inputs, whether, _ = shop
    matrix = inputs[["age"]].to_numpy()
    tree = DecisionTreeClassifier(max_depth=1).fit(matrix, whether)
    base, values, scale = explain._of_estimator(tree, matrix, np.zeros(1))
    assert (base, scale) == (pytest.approx(whether.mean()), explain.SHARE)
    np.testing.assert_allclose(base + values[:, 0], tree.predict_proba(matrix)[:, 1])


def test_paths_of_a_deep_model_sum_to_the_same_and_mostly_name_the_same_first(shop, fitted, monkeypatch):
    for name in ("deep xgboost", "deep lightgbm"):
        ensemble = ProbabilityEnsemble.of([(name, fitted["yes", name])])
        exact = explain.contributions(ensemble, shop[0])
        with monkeypatch.context() as patch:
            patch.setattr(explain.tree_shap, "tables_of", lambda _: None)
            along_paths = explain.contributions(ensemble, shop[0])
        assert not np.allclose(exact.values, along_paths.values)
        sums = [each.base + each.values.sum(axis=1) for each in (exact, along_paths)]
        np.testing.assert_allclose(*sums, rtol=1e-3, atol=1e-3)
        first = [np.abs(each.values).argmax(axis=1) for each in (exact, along_paths)]
        assert np.mean(first[0] == first[1]) > 0.75


def test_a_model_of_another_kind_is_not_explained(shop):
    inputs, whether, _ = shop
    ensemble = ProbabilityEnsemble.of([("near", member(KNeighborsClassifier()).fit(inputs[["age"]], whether))])
    with pytest.raises(explain.NotExplainedError, match="KNeighborsClassifier"):
        explain.contributions(ensemble, inputs)


def shapley(columns, worth):
    """Shapley's formula over all subsets."""
    columns = list(columns)
    values = []
    for column in columns:
        others = [each for each in columns if each != column]
        value = 0.0
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(columns) - size - 1) / math.factorial(len(columns))
            for known in itertools.combinations(others, size):
                value += weight * (worth({*known, column}) - worth(set(known)))
        values.append(value)
    return values


def worth_of_tree(node, row, known):
    """What a tree is expected to say of a row of which some columns are known: both ways, by cover, where not."""
    if "leaf" in node:
        return node["leaf"]
    if node["column"] in known:
        return worth_of_tree(node["yes"] if node["goes"](row[node["column"]]) else node["no"], row, known)
    share = node["yes"]["cover"] / (node["yes"]["cover"] + node["no"]["cover"])
    return share * worth_of_tree(node["yes"], row, known) + (1 - share) * worth_of_tree(node["no"], row, known)


def trees_of_xgboost(model):
    import json

    def told(node):
        if "leaf" in node:
            return {"leaf": node["leaf"], "cover": node["cover"]}
        children = {child["nodeid"]: told(child) for child in node["children"]}
        limit, missing = np.float32(node["split_condition"]), node["missing"] == node["yes"]
        return {
            "column": int(node["split"].removeprefix("f")),
            "goes": lambda value: missing if np.isnan(value) else np.float32(value) < limit,
            "yes": children[node["yes"]],
            "no": children[node["no"]],
            "cover": node["cover"],
        }

    return [told(json.loads(each)) for each in model.get_booster().get_dump(with_stats=True, dump_format="json")]


def trees_of_lightgbm(model):
    def told(node):
        if "leaf_value" in node:
            return {"leaf": node["leaf_value"], "cover": node["leaf_count"]}

        def goes(value, limit=node["threshold"], left=node["default_left"], gap=node["missing_type"]):
            return left if np.isnan(value) and gap == "NaN" else np.nan_to_num(value) <= limit

        return {
            "column": node["split_feature"],
            "goes": goes,
            "yes": told(node["left_child"]),
            "no": told(node["right_child"]),
            "cover": node["internal_count"],
        }

    return [told(each["tree_structure"]) for each in model.booster_.dump_model()["tree_info"]]
