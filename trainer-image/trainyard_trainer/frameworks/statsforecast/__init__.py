"""StatsForecast: exponential smoothing, theta, decomposition, Croston's family; each series for itself."""
