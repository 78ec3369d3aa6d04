"""A PredictionJob: a registered version predicts rows or forecasts series, and an output gets them exactly once."""
