"""Time series: a table of many series, each sorted, checked and split."""
