"""StatsForecast: exponential smoothing, theta, decomposition, and Croston's methods, fitted to each series
separately.
"""
