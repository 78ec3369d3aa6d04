"""The forecast that every training of series leaves behind: ``forecast.parquet`` and ``forecast.csv``.

The saved model is asked for ``forecast.horizon`` steps behind the last row of each series, a few hundred series at a
time, so that memory does not grow with their number.
"""
