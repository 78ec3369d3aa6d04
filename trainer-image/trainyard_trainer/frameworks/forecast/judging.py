"""Evaluation of the holdouts of all series, forecast by a model that was not trained on them."""

from trainyard_trainer.evaluate.forecasts import judge
from trainyard_trainer.evaluate.judgement import Judgement
from trainyard_trainer.evaluate.metrics import Floats
from trainyard_trainer.frameworks.base import Context
from trainyard_trainer.frameworks.forecast.quantiles import ErrorQuantiles, with_quantiles
from trainyard_trainer.frameworks.forecast.rows import Rows


def judged_holdouts(rows: Rows, predicted: Floats, quantiles: ErrorQuantiles, context: Context) -> Judgement:
    """Evaluate forecasts and their quantiles, per series and over all rows, compared with the baseline.

    ``predicted`` has the held-out rows, series by series; shape (rows,).
    """
    units = rows.holdouts()
    forecasts = rows.judged(units, predicted)
    at_forecasts = quantiles.at_forecasts(forecasts, rows.positions(units)[1] + 1)
    found = with_quantiles(judge(forecasts, rows.baseline.name), quantiles.levels, at_forecasts)
    text = f"judged {len(found.holdout)} rows of {len(units)} series"
    context.progress(1.0, text, {"mae": found.metrics["mae"]})
    return found
