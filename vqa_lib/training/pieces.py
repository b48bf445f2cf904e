"""A step's responses in pieces that fit into memory, those of one prompt together as far as possible."""

from collections.abc import Sequence


def split_rows(
    slots: Sequence[int], prompt_lengths: Sequence[int], lengths: Sequence[int], tokens: int, at_least: int = 1
) -> list[list[int]]:
    """Row numbers in pieces of at most `tokens` tokens, a prompt counted once for all its responses in a piece.

    slots: the prompt of each row. prompt_lengths: of each prompt. lengths: of each row's response. at_least: so many
    pieces (processes that split a model must all do equally many passes), as far as there are rows. A row that is
    longer than `tokens` is a piece of its own.

    Example:
        >>> split_rows([0, 1, 0, 1], [10, 10], [5, 5, 5, 5], tokens=20)
        [[0, 2], [1, 3]]
    """
    pieces: list[list[int]] = []
    held, last = tokens + 1, None
    for row in sorted(range(len(slots)), key=lambda row: slots[row]):
        more = lengths[row] + (prompt_lengths[slots[row]] if slots[row] != last else 0)
        if held + more > tokens:
            pieces.append([])
            held, more = 0, lengths[row] + prompt_lengths[slots[row]]
        pieces[-1].append(row)
        held, last = held + more, slots[row]
    while len(pieces) < at_least and max(map(len, pieces)) > 1:
        longest = max(range(len(pieces)), key=lambda number: len(pieces[number]))
        rows = pieces[longest]
        pieces[longest : longest + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    return pieces
