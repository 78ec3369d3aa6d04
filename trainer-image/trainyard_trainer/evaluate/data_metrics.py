"""The metrics that compare the data with that of the champion. Their directions are in ``metric_goals``."""

from typing import Final

from trainyard_api.metric_goals import DATA

ROWS_RATIO: Final = f"{DATA}rows_ratio"
SHIFT: Final = f"{DATA}shift"
TARGET_SHIFT: Final = f"{DATA}target_shift"
MISSING_INCREASE: Final = f"{DATA}missing_increase"
SCALE_RATIO: Final = f"{DATA}scale_ratio"
RELATION_SHIFT: Final = f"{DATA}relation_shift"

DATA_METRICS: Final = (ROWS_RATIO, SHIFT, TARGET_SHIFT, MISSING_INCREASE, SCALE_RATIO, RELATION_SHIFT)
