"""The columns of a table that a specification requires, and the content of one file."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from trainyard_api.data import Data
from trainyard_api.training import Task
from trainyard_trainer.data.notation import UNKNOWN, Notation
from trainyard_trainer.errors import DataError


@dataclass(frozen=True)
class Wanted:
    """The columns of a table that the specification requires.

    ``columns`` is ``None`` if every column can become a feature; then the ``excluded`` ones are not read. ``texts`` are
    kept as text: a product with the name ``007`` is not the number 7. ``exact`` are copied to an output. They become
    numbers only if this changes no value.
    """

    required: tuple[str, ...]
    columns: tuple[str, ...] | None
    excluded: tuple[str, ...]
    texts: tuple[str, ...]
    exact: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Data, task: Task, also: Sequence[str] = ()) -> "Wanted":
        """Return the columns of a specification.

        A forecast only needs columns with a role. ``also`` are read if they exist.
        """
        roles = [column for column in (data.time, data.series, data.group, data.key) if column]
        named = [*(data.features or ()), *(data.static or ())]
        listed = None if task != "Forecast" and not data.features else [data.target, *roles, *named, *also]
        texts = [column for column in (data.series, data.group) if column]
        if task == "Classification":
            texts.append(data.target)
        return cls(
            required=tuple(dict.fromkeys([data.target, *roles, *named])),
            columns=None if listed is None else tuple(dict.fromkeys(listed)),
            excluded=tuple(column for column in data.exclude or () if column not in {data.target, *roles, *also}),
            texts=tuple(texts),
        )

    def select(self, present: Sequence[str]) -> list[str]:
        """Return the columns to read out of those present.

        A column with a repeated name is only allowed if it is not required.

        Raises
        ------
        DataError
            If required columns are missing or have a repeated name. The message suggests similar names.
        """
        repeated = {name for name, count in Counter(present).items() if count > 1}
        needed = [name for name in (*self.required, *(self.columns or ())) if name in repeated]
        if needed:
            raise DataError(f"several columns have the same name: {', '.join(map(repr, needed[:5]))}; rename them")
        missing = [column for column in self.required if column not in present]
        if missing:
            raise DataError(_missing_message(missing, present))
        return [
            name
            for name in present
            if (self.columns is None or name in self.columns) and name not in self.excluded and name not in repeated
        ]


@dataclass(frozen=True)
class Part:
    """One file: the required columns, the names of all its columns, and the number of repeated headers."""

    table: pa.Table
    names: tuple[str, ...]
    note: str
    notation: Notation = UNKNOWN
    headers: int = 0


def _missing_message(missing: Sequence[str], present: Sequence[Any]) -> str:
    names = [str(name) for name in present]
    parts = []
    for column in missing:
        folded = {name.casefold(): name for name in names}
        near = [folded[name] for name in difflib.get_close_matches(column.casefold(), folded, n=3, cutoff=0.6)]
        hint = f" (nearest: {', '.join(map(repr, near))})" if near else ""
        parts.append(f"{column!r}{hint}")
    shown = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    return f"the table has no column {', '.join(parts)}; it has {shown}"
