"""A Prophet model per series, or a simpler model if it forecasts better."""
