"""``backtest.parquet``: a tidy table with one row per series, cutoff and step."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trainyard_trainer.artifacts.layout import BACKTEST
from trainyard_trainer.data.dataset import Clock
from trainyard_trainer.evaluate.quantiles import QUANTILE
from trainyard_trainer.job.forecast.files import as_written

_ROWS_AT_ONCE: Final = 1 << 17


def write_backtest(rows: pd.DataFrame, clock: Clock, folder: Path) -> str:
    """Write the rows of a backtest with times by the user's clock. Return the name of the file."""
    columns = {
        "series": rows["series"].astype(str),
        "cutoff": as_written(rows["cutoff"].to_numpy(), clock),
        "time": as_written(rows["time"].to_numpy(), clock),
        "step": rows["step"].to_numpy(np.int32),
        "actual": rows["actual"],
        "prediction": rows["predicted"],
        **{name: rows[name] for name in rows.columns if name.startswith(QUANTILE)},
        "baseline": rows["baseline"],
        "champion": rows["champion"].to_numpy(np.float64),
    }
    table = pa.Table.from_pandas(pd.DataFrame(columns, copy=False), preserve_index=False)
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            instant = table.column(index).cast(pa.timestamp("us", field.type.tz))
            table = table.set_column(index, field.name, instant)
    pq.write_table(table, folder / BACKTEST, compression="zstd", row_group_size=_ROWS_AT_ONCE)
    return BACKTEST
