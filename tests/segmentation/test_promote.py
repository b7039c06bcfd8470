"""What the comparison lets pass becomes champion; what fails stays; in between a human decides."""

import contextlib
import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

from segmentation import promote, rollback
from segmentation.registry import NoModelError, Registry

DAY = dt.date(2026, 1, 31)
NEXT = DAY + dt.timedelta(days=7)
X = pd.DataFrame({"x": [0.0, 1.0]})
SEGMENTS, CHURN = "customer_segments", "churn_90d"


@pytest.fixture
def register(stores):
    """Registers a version of any model, as training does; returns its number."""
    registry = Registry(stores.registry, stores.marketing)
    estimator = LogisticRegression().fit(X, [0, 1])

    def make(model, day=DAY):
        with registry.training(model, day) as run:
            return run.register(model, estimator, X, np.array([0.0, 1.0]), {})

    return make


class KilledError(Exception):
    """Stands for a process that ends in the middle."""


@contextlib.contextmanager
def killed_after(steps):
    """Within it, the registry takes so many changes, and then the process is gone."""
    with pytest.MonkeyPatch.context() as patch:
        left = iter([True] * steps)
        for name in (
            "set_model_version_tag",
            "delete_model_version_tag",
            "set_registered_model_alias",
            "delete_registered_model_alias",
        ):
            patch.setattr(MlflowClient, name, _mortal(getattr(MlflowClient, name), left))
        yield


def _mortal(write, left):
    def wrapped(*arguments, **others):
        if not next(left, False):
            raise KilledError
        return write(*arguments, **others)

    return wrapped


def compared(skipped=None, **verdicts):
    """A comparison of version `v` of each model with a verdict."""
    return {
        "verdicts": {
            model: {"version": version, "verdict": verdict, "reasons": [] if verdict == "pass" else ["AUC -0.010"]}
            for model, (version, verdict) in verdicts.items()
        },
        "skipped": skipped or {},
        "asked": [model for model, (_, verdict) in verdicts.items() if verdict == "ask"],
    }


def answered(*options, user="Ada"):
    return [{"chosen_options": list(options), "responded_by_user": {"id": "1", "name": user} if user else None}]


def test_what_passes_becomes_champion_and_the_old_one_previous(stores, register):
    registry = Registry(stores.registry, stores.marketing)
    first = promote.promote_models(DAY, compared(churn_90d=(register(CHURN), "pass")), None, stores)
    assert first == {CHURN: "version 1, champion: passed all rules of 2026-01-31"}
    for _ in range(2):  # the task is tried again
        version = "2" if registry.champion(CHURN).version == "2" else register(CHURN, NEXT)
        promote.promote_models(NEXT, compared(churn_90d=(version, "pass")), None, stores)
    assert registry.champion(CHURN).version == "2"
    assert registry.previous(CHURN).version == "1"


def test_a_day_that_is_trained_again_leaves_what_there_was_before_it_to_go_back_to(stores, register):
    registry = Registry(stores.registry, stores.marketing)
    for day in (DAY, NEXT, NEXT):
        promote.promote_models(day, compared(churn_90d=(register(CHURN, day), "pass")), None, stores)
    assert (registry.champion(CHURN).version, registry.previous(CHURN).version) == ("3", "1")


def test_a_skipped_target_is_noted_where_scoring_looks(stores, register):
    comparison = compared({CHURN: "too few"}, customer_segments=(register(SEGMENTS), "pass"))
    assert promote.promote_models(DAY, comparison, None, stores)[CHURN] == "skipped: too few"
    assert json.loads(Registry(stores.registry, stores.marketing).resolve(SEGMENTS, DAY).tags["skipped_targets"]) == {
        CHURN: "too few"
    }


def test_what_fails_leaves_the_champion_where_it_is_and_says_why(stores, register, caplog):
    promote.promote_models(DAY, compared(churn_90d=(register(CHURN), "pass")), None, stores)
    outcome = promote.promote_models(NEXT, compared(churn_90d=(register(CHURN, NEXT), "fail")), None, stores)
    assert outcome == {CHURN: "version 2 refused: AUC -0.010; version 1 goes on"}
    assert "version 2 refused" in caplog.text
    registry = Registry(stores.registry, stores.marketing)
    assert registry.resolve(CHURN, NEXT).version == "1"
    assert registry.version(CHURN, "2").tags["promotion"] == "AUC -0.010"


def test_without_any_champion_a_refusal_is_an_error_and_the_rest_is_promoted(stores, register):
    comparison = compared(customer_segments=(register(SEGMENTS), "pass"), churn_90d=(register(CHURN), "fail"))
    with pytest.raises(promote.PromotionRefusedError, match=r"churn_90d version 1: AUC -0\.010"):
        promote.promote_models(DAY, comparison, None, stores)
    registry = Registry(stores.registry, stores.marketing)
    assert registry.resolve(SEGMENTS, DAY).version == "1"
    with pytest.raises(NoModelError):
        registry.resolve(CHURN, DAY)


def test_a_refused_first_policy_is_no_error_as_the_file_of_strategies_goes_on(stores, register):
    comparison = compared(strategy_uplift=(register("strategy_uplift"), "fail"))
    outcome = promote.promote_models(DAY, comparison, None, stores)
    assert outcome == {"strategy_uplift": "version 1 refused: AUC -0.010; there is no champion"}
    assert Registry(stores.registry, stores.marketing).champion("strategy_uplift") is None


@pytest.mark.parametrize(
    ("answer", "champion", "decided_by"),
    [
        (answered(promote.APPROVE), "2", "Ada"),
        (answered(promote.KEEP), "1", "Ada"),
        (answered(promote.KEEP, user=None), "1", "nobody"),
        (None, "1", None),
    ],
)
def test_in_between_a_human_decides_and_silence_keeps_the_champion(stores, register, answer, champion, decided_by):
    promote.promote_models(DAY, compared(churn_90d=(register(CHURN), "pass")), None, stores)
    promote.promote_models(NEXT, compared(churn_90d=(register(CHURN, NEXT), "ask")), answer, stores)
    registry = Registry(stores.registry, stores.marketing)
    assert registry.champion(CHURN).version == champion
    if decided_by:
        assert registry.version(CHURN, "2").tags["decided_by"] == decided_by
    assert ("Ada" in registry.version(CHURN, "2").tags["promotion"]) == (decided_by == "Ada")


def test_what_passed_does_not_wait_for_the_human(stores, register):
    comparison = compared(customer_segments=(register(SEGMENTS), "pass"), churn_90d=(register(CHURN), "ask"))
    with pytest.raises(promote.PromotionRefusedError, match="churn_90d"):
        promote.promote_models(DAY, comparison, answered(promote.KEEP), stores)
    assert Registry(stores.registry, stores.marketing).champion(SEGMENTS).version == "1"


def test_what_was_promoted_stays_so_if_the_question_is_answered_again(stores, register):
    promote.promote_models(DAY, compared(churn_90d=(register(CHURN), "pass")), None, stores)
    comparison = compared(churn_90d=(register(CHURN, NEXT), "ask"))
    promote.promote_models(NEXT, comparison, answered(promote.APPROVE), stores)
    told = promote.promote_models(NEXT, comparison, answered(promote.KEEP), stores)
    assert "has been promoted before and stays" in told[CHURN]
    assert Registry(stores.registry, stores.marketing).resolve(CHURN, NEXT).version == "2"


def test_a_first_target_that_is_refused_does_not_stop_the_others_from_scoring(stores, register):
    comparison = compared(customer_segments=(register(SEGMENTS), "pass"), churn_90d=(register(CHURN), "fail"))
    with pytest.raises(promote.PromotionRefusedError):
        promote.promote_models(DAY, comparison, None, stores)
    tags = Registry(stores.registry, stores.marketing).resolve(SEGMENTS, DAY).tags
    assert json.loads(tags["skipped_targets"]) == {CHURN: "refused: AUC -0.010"}


def test_killed_between_any_two_steps_a_promotion_comes_to_the_same_when_tried_again(stores, register):
    registry = Registry(stores.registry, stores.marketing)
    promote.promote_models(DAY, compared(churn_90d=(register(CHURN), "pass")), None, stores)
    for steps in range(5):
        before, day = registry.champion(CHURN).version, NEXT + dt.timedelta(days=steps)
        comparison = compared(churn_90d=(register(CHURN, day), "pass"))
        with killed_after(steps), contextlib.suppress(KilledError):
            promote.promote_models(day, comparison, None, stores)
        assert registry.resolve(CHURN, day).version
        promote.promote_models(day, comparison, None, stores)
        assert registry.champion(CHURN).version == comparison["verdicts"][CHURN]["version"]
        assert registry.previous(CHURN).version == before


class TestRollingBack:
    @pytest.fixture
    def registry(self, stores, register):
        """Three champions one after the other, and one for the segments."""
        for week in range(3):
            day = DAY + dt.timedelta(days=7 * week)
            promote.promote_models(day, compared(churn_90d=(register(CHURN, day), "pass")), None, stores)
        promote.promote_models(DAY, compared(customer_segments=(register(SEGMENTS), "pass")), None, stores)
        return Registry(stores.registry, stores.marketing)

    def test_the_version_before_is_champion_again_and_no_day_is_scored_by_the_other(self, stores, registry):
        day = DAY + dt.timedelta(days=30)
        assert registry.resolve(CHURN, day).version == "3"
        told = rollback.roll_back(CHURN, None, "ticket 7", stores)
        assert told == {CHURN: "champion is version 2 of 2026-02-07; out of use: 3 of 2026-02-14"}
        assert [registry.resolve(CHURN, each).version for each in (day, NEXT, DAY)] == ["2", "2", "1"]
        assert "ticket 7" in registry.version(CHURN, "3").tags["promotion"]

    def test_the_same_request_again_goes_back_no_further_and_another_one_does(self, stores, registry):
        for _ in range(2):
            rollback.roll_back(CHURN, None, "ticket 7", stores)
        assert registry.champion(CHURN).version == "2"
        rollback.roll_back(CHURN, None, "ticket 8", stores)
        assert registry.champion(CHURN).version == "1"
        with pytest.raises(NoModelError, match=CHURN):
            rollback.roll_back(CHURN, None, "ticket 9", stores)
        assert registry.champion(CHURN).version == "1"

    def test_killed_between_any_two_steps_it_comes_to_the_same_when_tried_again(self, stores, registry, register):
        between = register(CHURN, NEXT + dt.timedelta(days=1))
        promote.promote_models(NEXT, compared(churn_90d=(between, "pass")), None, stores)
        day = DAY + dt.timedelta(days=30)
        for steps in range(10):
            rollback.roll_back(CHURN, between, f"forth {steps}", stores)
            rollback.roll_back(CHURN, "3", f"forth {steps}", stores)
            registry._client.set_registered_model_alias(CHURN, "previous", "2")
            with killed_after(steps), contextlib.suppress(KilledError):
                rollback.roll_back(CHURN, None, f"ticket {steps}", stores)
            assert registry.resolve(CHURN, day).version
            rollback.roll_back(CHURN, None, f"ticket {steps}", stores)
            assert (registry.champion(CHURN).version, registry.previous(CHURN).version) == ("2", "1")
            assert [registry.version(CHURN, each).tags["promoted"] for each in ("1", "2", "3", between)] == [
                "true", "true", "false", "false"
            ]  # fmt: skip

    def test_a_version_that_was_rolled_back_is_not_promoted_by_its_run_once_more_but_by_its_number(
        self, stores, registry
    ):
        rollback.roll_back(CHURN, None, "ticket 7", stores)
        told = promote.promote_models(DAY, compared(churn_90d=("3", "pass")), None, stores)
        assert told[CHURN] == "version 3 stays out of use: rolled back: ticket 7"
        rollback.roll_back(CHURN, "3", "ticket 8", stores)
        assert (registry.champion(CHURN).version, registry.previous(CHURN).version) == ("3", "2")
        assert "rolled_back" not in registry.version(CHURN, "3").tags

    def test_it_goes_back_to_a_version_that_is_named(self, stores, registry):
        rollback.roll_back(CHURN, "1", "ticket 7", stores)
        assert registry.champion(CHURN).version == "1"

    def test_a_version_that_was_never_promoted_is_refused(self, stores, registry, register):
        register(CHURN, NEXT)
        with pytest.raises(NoModelError, match="4"):
            rollback.roll_back(CHURN, "4", "ticket 7", stores)
        assert registry.champion(CHURN).version == "3"

    def test_all_are_those_that_have_a_version_before(self, stores, registry):
        told = rollback.roll_back("all", None, "ticket 7", stores)
        assert told[SEGMENTS].startswith("nothing changed")
        assert registry.champion(CHURN).version == "2"
        assert registry.champion(SEGMENTS).version == "1"

    @pytest.mark.parametrize(("model", "version"), [("churn", None), ("all", "1")])
    def test_what_makes_no_sense_is_refused(self, stores, registry, model, version):
        with pytest.raises(ValueError, match=r"there is no model .churn.|name the model"):
            rollback.roll_back(model, version, "ticket 7", stores)
        assert registry.champion(CHURN).version == "3"

    def test_the_next_training_is_promoted_over_it(self, stores, registry, register):
        rollback.roll_back(CHURN, None, "ticket 7", stores)
        later = DAY + dt.timedelta(days=21)
        promote.promote_models(later, compared(churn_90d=(register(CHURN, later), "pass")), None, stores)
        assert registry.champion(CHURN).version == "4"
