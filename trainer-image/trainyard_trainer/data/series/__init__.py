"""Time series: one table of many series, each sorted, checked and split."""
