"""The forecast files of every training of series: ``forecast.parquet`` and ``forecast.csv``.

The saved model forecasts ``forecast.horizon`` steps after the last row of each series. It does this for at most a
hundred series at a time, so memory does not grow with the number of series.
"""
