"""What all frameworks for forecasts share: columns, windows, quantiles, baseline and judging."""
