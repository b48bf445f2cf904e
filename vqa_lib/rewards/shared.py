"""What several rewards share: the names of variants, the rows of a group, the columns that hold the truth."""

from collections import defaultdict

VARIANTS = ("paper", "official")
TRUTH = ("dimensions", "target", "scale", "choice", "choices")  # what an accuracy reward may ask for beside completions


def check_variant(variant: str) -> None:
    """Raise ValueError unless `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}")


def rows_of_groups(group: list[int]) -> dict[int, list[int]]:
    """Row numbers by group number, in the order in which they stand.

    Example:
        >>> rows_of_groups([7, 3, 7])
        {7: [0, 2], 3: [1]}
    """
    rows = defaultdict(list)
    for row, number in enumerate(group):
        rows[number].append(row)
    return dict(rows)


def truth_columns(columns: dict[str, list], rows: list[int]) -> dict[str, list]:
    """The truth for these rows, as columns for an accuracy reward; a row may be asked for many times.

    Example:
        >>> truth_columns({"target": [[1.0], [2.0]], "prompts": ["a", "b"]}, [1, 1])
        {'target': [[2.0], [2.0]]}
    """
    return {name: [columns[name][row] for row in rows] for name in TRUTH if columns.get(name) is not None}


def contrast_rows(contrast_completions: list[list[str]]) -> tuple[list[str], list[int]]:
    """All contrast completions one after another, and the number of the row beside which each was sampled.

    Example:
        >>> contrast_rows([["a", "b"], [], ["c"]])
        (['a', 'b', 'c'], [0, 0, 2])
    """
    owner = [row for row, contrast in enumerate(contrast_completions) for _ in contrast]
    return [completion for contrast in contrast_completions for completion in contrast], owner
