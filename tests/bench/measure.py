"""Medians, ratios, tables in Markdown, and repeats in which the tools take turns."""

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

Value = float | str | None
Sample = Mapping[str, Value]


class LeftOutError(Exception):
    """A tool cannot answer a question here; the text says why."""


def interleaved(
    tools: Iterable[str], repeat: int, once: Callable[[str], Sample]
) -> dict[str, list[Sample] | LeftOutError]:
    """Measure A B C A B C: what disturbs the machine for a while disturbs all of them."""
    samples: dict[str, list[Sample] | LeftOutError] = {tool: [] for tool in tools}
    for number in range(repeat):
        for tool, found in samples.items():
            if isinstance(found, LeftOutError):
                continue
            print(f"{number + 1}/{repeat} {tool}", file=sys.stderr)
            try:
                found.append(once(tool))
            except LeftOutError as reason:
                samples[tool] = reason
    return samples


def median(samples: Sequence[Sample], column: str) -> Value:
    """The median of numbers; of words, the one that is said by a sample that differs from the first."""
    values = [sample[column] for sample in samples if sample.get(column) is not None]
    numbers = [value for value in values if not isinstance(value, str)]
    if numbers:
        return statistics.median(numbers)
    return next((value for value in values if value != values[0]), values[0] if values else None)


def table(
    title: str,
    samples: Mapping[str, list[Sample] | LeftOutError],
    ratios: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """A table with a row for each tool; ``ratios`` names, for a column, the tools that it is divided by."""
    measured = {tool: found for tool, found in samples.items() if not isinstance(found, LeftOutError)}
    columns = list(dict.fromkeys(column for found in measured.values() for sample in found for column in sample))
    medians = {tool: {column: median(found, column) for column in columns} for tool, found in measured.items()}
    head, rows = [""], [[tool] for tool in samples]
    for column in columns:
        head.append(column)
        for row in rows:
            row.append(_shown(medians[row[0]][column]) if row[0] in measured else "")
        for reference in (ratios or {}).get(column, ()):
            if reference in measured:
                head.append(f"× {reference}")
                for row in rows:
                    row.append(_ratio(medians.get(row[0], {}).get(column), medians[reference][column]))
    for row in rows:
        if isinstance(found := samples[row[0]], LeftOutError):
            row[1] = f"left out: {found}"
    return f"### {title}\n\n{_markdown(head, rows)}\n"


def _ratio(value: Value, reference: Value) -> str:
    if isinstance(value, str) or isinstance(reference, str) or value is None or not reference:
        return ""
    return _shown(value / reference)


def _shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value >= 1e5:
        return f"{value / 1e6:.3g} M"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines
    )
