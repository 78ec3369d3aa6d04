"""The champion predicts the held-out rows of the candidate, or the comparison has the reason why it cannot."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainer.job.compare.nights import FORECAST, QUICK, TABLE, Nights, at_address, machines, ref, sales
from trainyard_trainer.artifacts.manifest import parse_manifest
from trainyard_trainer.environment import memory_left


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    return Nights(tmp_path_factory.mktemp("nights"))


@pytest.fixture(scope="module")
def first(nights):
    return nights.train(machines(900), **TABLE)


@pytest.fixture(scope="module")
def forecast(nights):
    return nights.train(sales(300), **FORECAST)


def grown(rows=900):
    return pd.concat([machines(900), machines(rows, seed=7)]).sample(frac=1, random_state=3)


def by_name(result):
    return {one.name: one for one in result.comparison.metrics}


def test_without_a_champion_there_is_no_comparison(first):
    assert first.outcome == "Succeeded"
    assert first.comparison is None


def test_both_predict_every_held_out_row_of_grown_data_in_any_order(nights, first):
    result = nights.train(grown(), champion=ref(first), **TABLE)
    found = result.comparison
    assert (found.reason, found.answered_by, found.champion) == ("Compared", "Judged", 1)
    assert found.champion_digest == first.artifact.manifest_sha256
    assert found.rows == found.units
    assert found.rows == pytest.approx(360, rel=0.15)
    auc = by_name(result)["auc"]
    assert float(auc.difference) == pytest.approx(float(auc.value) - float(auc.champion), abs=1e-5)
    assert float(auc.low) < float(auc.difference) < float(auc.high)
    assert auc.value == next(metric.value for metric in result.metrics if metric.name == "auc")


def test_the_same_data_has_no_difference(nights, first):
    result = nights.train(machines(900), champion=ref(first), **TABLE)
    assert [float(getattr(by_name(result)["auc"], name)) for name in ("difference", "low", "high")] == [0, 0, 0]


def test_the_whole_comparison_is_in_the_manifest_and_the_report(nights, first):
    result = nights.train(grown(), champion=ref(first), **TABLE)
    folder = nights.folder_of(result)
    manifest = parse_manifest((folder / "manifest.json").read_bytes(), "")
    assert len(manifest.comparison.metrics) > len(result.comparison.metrics)
    assert manifest.measurements.judged_bytes > 0
    assert "Comparison with version 1, which served" in (folder / "report.html").read_text()


def test_a_gate_names_metric_and_confidence(nights, first):
    gates = [{"metric": "log_loss", "compareTo": "Champion", "confidence": 0.8}]
    result = nights.train(grown(), champion=ref(first), gates=gates, **TABLE)
    assert by_name(result)["log_loss"].confidence == 0.8
    assert by_name(result)["auc"].confidence == 0.95


def test_with_another_seed_only_rows_unknown_to_both_count(nights, first):
    result = nights.train(grown(), champion=ref(first), split={"seed": 7}, **TABLE)
    assert result.comparison.reason == "Compared"
    assert result.comparison.rows == pytest.approx(360 * 0.2, rel=0.4)
    assert "it was trained on the others or cannot predict them" in result.comparison.message


def test_other_features_or_frameworks_predict_the_same_rows(nights, first):
    fewer = {**TABLE, "data": {"target": "failed", "features": ["heat", "site"]}}
    result = nights.train(grown(), champion=ref(first), **fewer)
    assert result.comparison.reason == "Compared"
    assert result.comparison.rows == pytest.approx(360, rel=0.15), "the rows are divided as before"
    same = nights.train(machines(900), champion=ref(first), framework="Torch", parameters={"epochs": 3}, **TABLE)
    assert same.comparison.reason == "Compared"
    assert same.comparison.rows == pytest.approx(180, rel=0.2)


def test_the_champion_has_probability_0_for_a_new_class(nights, first):
    frame = grown()
    frame.loc[frame["heat"] > 1.5, "failed"] = "broken"
    result = nights.train(frame, champion=ref(first), **TABLE)
    assert result.comparison.reason == "Compared"
    assert float(by_name(result)["auc"].difference) > 0


def test_groups_are_the_units_of_resampling(nights):
    frame = machines(900).assign(machine=np.arange(900) // 15)
    grouped = {**TABLE, "data": {"target": "failed", "group": "machine"}}
    champion = nights.train(frame, **grouped)
    result = nights.train(frame, champion=ref(champion), **grouped)
    assert result.comparison.rows == 15 * result.comparison.units


def test_a_split_by_time_uses_the_newest_model_without_the_rows(nights):
    by_time = {**TABLE, "data": {"target": "failed", "time": "day"}, "split": {"strategy": "Time"}}
    frame = machines(1500).assign(day=pd.date_range("2026-01-01", periods=1500, freq="h").astype(str))
    champion = nights.train(frame.head(900), **by_time)
    soon = nights.train(frame.head(910), champion=ref(champion), **by_time).comparison
    later = nights.train(frame, champion=ref(champion), **by_time).comparison
    assert (soon.reason, soon.answered_by) == ("Compared", "Judged")
    assert soon.rows == 182
    assert (later.reason, later.answered_by) == ("Compared", "Final")


@pytest.mark.parametrize("framework", ["LightGBM", "Prophet", "Torch"])
def test_forecasts_of_a_day_later_and_of_two_weeks_later(nights, framework):
    wanted = {
        **FORECAST,
        "framework": framework,
        "parameters": {"Torch": {"epochs": 3}, "LightGBM": QUICK}.get(framework),
    }
    champion = nights.train(sales(300), **wanted)
    for days, by in ((301, "Judged"), (314, "Final")):
        result = nights.train(sales(days), champion=ref(champion), **wanted)
        assert (result.comparison.reason, result.comparison.answered_by) == ("Compared", by)
        assert result.comparison.rows == 28
        assert abs(float(by_name(result)["mase"].difference)) < 1


def test_the_saved_judged_model_reproduces_its_forecast(nights, forecast):
    result = nights.train(sales(300), champion=ref(forecast), **FORECAST)
    assert all(float(one.difference) == 0 for one in result.comparison.metrics)


def test_a_new_series_is_predicted_by_a_global_model_only(nights, forecast):
    result = nights.train(sales(301, items=5), champion=ref(forecast), **FORECAST)
    assert (result.comparison.reason, result.comparison.rows) == ("Compared", 35)
    own = nights.train(sales(300), **FORECAST, framework="Prophet", parameters={})
    result = nights.train(sales(301, items=5), champion=ref(own), **FORECAST, framework="Prophet", parameters={})
    assert (result.comparison.reason, result.comparison.rows) == ("Compared", 28)


def test_another_horizon_is_predicted(nights, forecast):
    longer = {**FORECAST, "forecast": {"horizon": 14}}
    result = nights.train(sales(320), champion=ref(forecast), **longer)
    assert (result.comparison.reason, result.comparison.rows) == ("Compared", 56)


# ---- another champion by the time the training has ended -------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "before", "now", "metric"),
    [(TABLE, lambda: machines(900), grown, "auc"), (FORECAST, lambda: sales(300), lambda: sales(301), "mase")],
)
def test_another_attempt_compares_with_the_version_that_serves_now_without_training(
    tmp_path, spec, before, now, metric
):
    nights = Nights(tmp_path)
    first = nights.train(before(), **spec)
    candidate = nights.train(now(), uid="job", champion=ref(first), **spec)
    other = nights.train(now(), **{**spec, "parameters": {**QUICK, "num_iterations": 2}})
    runs = sorted((tmp_path / "store").rglob("manifest.json"))
    again = nights.train(now(), uid="job", attempt=2, champion=ref(other), **spec)
    assert sorted((tmp_path / "store").rglob("manifest.json")) == runs, "nothing was trained"
    assert (again.model_version, again.artifact) == (candidate.model_version, candidate.artifact)
    assert (again.comparison.reason, again.comparison.champion) == ("Compared", other.model_version.version)
    old, new = by_name(candidate)[metric], by_name(again)[metric]
    assert new.value == old.value, "the same model on the same rows"
    assert new.champion == next(one.value for one in other.metrics if one.name == metric)


def test_another_attempt_with_the_same_champion_has_the_same_comparison(nights, first):
    result = nights.train(grown(), uid="same", champion=ref(first), **TABLE)
    again = nights.train(grown(), uid="same", attempt=2, champion=ref(first), **TABLE)
    assert again.comparison == result.comparison


def test_unreadable_data_in_another_attempt_is_a_reason_not_a_failure(nights, first):
    candidate = nights.train(grown(), uid="gone", champion=ref(first), **TABLE)
    other = nights.train(grown(), **TABLE)
    empty = grown().drop(columns="failed")
    again = nights.train(empty, uid="gone", attempt=2, champion=ref(other), **TABLE)
    assert again.model_version == candidate.model_version
    assert again.comparison.reason == "ChampionUnavailable"


def test_a_forecast_of_data_that_has_future_values_since_the_champion(nights):
    def visited(days, future):
        frame = sales(days).astype({"sold": object})
        frame["visitors"] = np.random.default_rng(4).integers(0, 20, len(frame))
        frame["sold"] = frame["sold"] + 3.0 * frame["visitors"]
        frame.loc[frame["day"] > frame["day"].max() - pd.Timedelta(days=future), "sold"] = None
        return frame

    spec = {**FORECAST, "data": {**FORECAST["data"], "features": ["visitors"]}}
    champion = nights.train(visited(300, 0), **spec)
    result = nights.train(visited(310, 7), champion=ref(champion), **spec)
    assert result.comparison.reason == "Compared", result.comparison.message
    found = by_name(result)["mase"]
    assert float(found.value) < float(found.champion), "only the new version knows the visitors of the day"


# ---- a champion that cannot predict ----------------------------------------------------------------------------------


def refusal(result):
    assert result.outcome == "Succeeded", "the training itself succeeded"
    assert result.comparison.metrics is None
    return result.comparison.reason, result.comparison.message


def test_a_missing_column(nights, first):
    reason, message = refusal(nights.train(machines(900).drop(columns="age"), champion=ref(first), **TABLE))
    assert reason == "ChampionIncompatible"
    assert "'age'" in message


def test_a_column_that_has_become_text(nights, first):
    frame = grown().assign(heat=lambda table: np.where(table["heat"] > 0, "hot", "cold"))
    reason, message = refusal(nights.train(frame, champion=ref(first), **TABLE))
    assert reason == "ChampionIncompatible"
    assert "'heat'" in message


def test_another_task_step_or_zone(nights, first, forecast):
    numbers = machines(900).assign(failed=np.arange(900))
    assert refusal(nights.train(numbers, champion=ref(first), task="Regression", data=TABLE["data"]))[0] == (
        "ChampionIncompatible"
    )
    weekly = sales(400).groupby(["item", pd.Grouper(key="day", freq="W")], as_index=False)["sold"].sum()
    reason, message = refusal(nights.train(weekly, champion=ref(forecast), **FORECAST))
    assert (reason, "steps of D" in message) == ("ChampionIncompatible", True)
    zoned = {**FORECAST, "data": {**FORECAST["data"], "timeZone": "Europe/Paris"}}
    reason, message = refusal(nights.train(sales(310), champion=ref(forecast), **zoned))
    assert (reason, "Europe/Paris" in message) == ("ChampionIncompatible", True)


def test_a_changed_or_missing_file(nights):
    champion = nights.train(machines(900), **TABLE)
    model = nights.folder_of(champion) / "judged" / "model.txt"
    model.write_text(model.read_text() + "\n")
    reason, message = refusal(nights.train(grown(), champion=ref(champion), **TABLE))
    assert (reason, "changed after registration" in message) == ("ChampionUnreadable", True)
    model.unlink()
    assert refusal(nights.train(grown(), champion=ref(champion), **TABLE))[0] == "ChampionUnreadable"


def test_a_missing_or_different_manifest(nights, first):
    nowhere = at_address(first, f"{nights.storage}/demo/model/runs/nobody/1")
    reason, message = refusal(nights.train(grown(), champion=nowhere, **TABLE))
    assert (reason, "is missing; restore it" in message) == ("ChampionUnreadable", True)
    other = nights.train(machines(800), **TABLE)
    reason, _ = refusal(nights.train(grown(), champion=at_address(first, other.artifact.uri), **TABLE))
    assert reason == "ChampionUnreadable"


def test_an_unavailable_storage(nights, first):
    reason, _ = refusal(nights.train(grown(), champion=at_address(first, "pvc://other-claim/runs/1"), **TABLE))
    assert reason in {"ChampionUnavailable", "ChampionUnreadable"}


def test_a_champion_of_user_code(nights):
    champion = nights.train(machines(900), **TABLE)
    script = nights.rewrite_manifest(champion, framework="Script")
    assert refusal(nights.train(grown(), champion=script, **TABLE))[0] == "ChampionNotServable"


def test_an_older_release_without_judged_model_and_split(nights):
    champion = nights.train(machines(900), **TABLE)
    old = nights.rewrite_manifest(champion, split=None)
    reason, message = refusal(nights.train(grown(), champion=old, **TABLE))
    assert (reason, "does not record the rows" in message) == ("ChampionKnowsRows", True)


def test_an_older_forecast_predicts_if_its_training_ends_before_the_rows(nights):
    champion = nights.train(sales(300), **FORECAST)
    files = parse_manifest((nights.folder_of(champion) / "manifest.json").read_bytes(), "").files
    kept = [entry.model_dump() for entry in files if not entry.path.startswith("judged/")]
    old = nights.rewrite_manifest(champion, split=None, files=kept)
    assert refusal(nights.train(sales(301), champion=old, **FORECAST))[0] == "ChampionKnowsRows"
    later = nights.train(sales(307), champion=old, **FORECAST).comparison
    assert (later.reason, later.answered_by) == ("Compared", "Final")


def test_a_champion_larger_than_the_memory(nights):
    champion = nights.train(machines(900), **TABLE)
    huge = nights.rewrite_manifest(champion, measurements={"sizeBytes": 1, "memoryBytes": 1 << 60})
    reason, message = refusal(nights.train(grown(), champion=huge, **TABLE))
    assert (reason, "raise spec.resources.limits.memory" in message) == ("ChampionTooLarge", True)


def test_available_memory_is_limited_by_cgroup_and_node(tmp_path):
    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    assert memory_left(tmp_path) is None
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:  3000 kB\n")
    assert memory_left(tmp_path) == 3000 * 1024
    write("proc/self/status", "Name:\tx\nVmRSS:\t 500 kB\n")
    write("sys/fs/cgroup/memory.max", "max\n")
    assert memory_left(tmp_path) == 3000 * 1024
    write("sys/fs/cgroup/memory.max", f"{2000 * 1024}\n")
    assert memory_left(tmp_path) == 1500 * 1024


def test_a_backtest_has_predictions_of_the_champion_for_unknown_rows(nights, forecast):
    spec = {**FORECAST, "backtest": {"windows": 3, "step": 7}}
    result = nights.train(sales(301), champion=ref(forecast), **spec)
    rows = pd.read_parquet(nights.folder_of(result) / "backtest.parquet")
    known = rows.groupby("cutoff")["champion"].apply(lambda predictions: predictions.notna().mean())
    assert known.tolist() == [0.0, 0.0, 1.0], "the judged model of the champion does not know the newest window only"
