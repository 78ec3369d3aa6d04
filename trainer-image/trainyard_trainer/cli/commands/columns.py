"""Aligned columns of text, the same in a terminal, a pipe and a log."""

from collections.abc import Iterable, Sequence


def aligned(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Return the rows with each column as wide as its longest cell. Empty for no rows."""
    table = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "".join(f"{indent}{line}".rstrip() + "\n" for line in lines)


def size_text(size: float) -> str:
    """Return a size in bytes as text for people: ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
