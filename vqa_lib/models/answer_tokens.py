"""Which tokens spell an answer, and where in a completion the answer begins."""

from collections.abc import Sequence

BEFORE = " \n\t\"'"  # what a token may hold before the word


def answer_tokens(tokenizer, word: str) -> list[int]:
    """All tokens that spell a word: as it stands, small or in capitals, alone or behind a blank or a quotation mark.

    **Source**: FingER, section 3.1: T_Y of "Yes", "yes", "YES", and these behind a quotation mark or a blank.

    Raises:
        ValueError: the tokenizer has no such token.

    Example:
        >>> tokenizer.convert_ids_to_tokens(answer_tokens(tokenizer, "Yes"))  # doctest: +SKIP
        ['yes', 'Yes', 'ĠYes', 'YES', 'ĠYES', 'Ġyes', '"Yes']
    """
    spellings = {word, word.lower(), word.upper()}
    special = set(tokenizer.all_special_ids)
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    found = [number for number, text in enumerate(texts) if text.lstrip(BEFORE) in spellings and number not in special]
    if not found:
        raise ValueError(f"the tokenizer has no token that spells {word!r}: the probability of an answer needs one")
    return found


def answer_step(tokens: Sequence[str]) -> int | None:
    """At which token of a completion the answer behind its last <answer> begins; None without one.

    tokens: the text of each token.

    Example:
        >>> answer_step(["<reason>", "Grain", ".", "</reason>", "<ans", "wer>", " ", "No", "</answer>"])
        7
        >>> answer_step(["Grain", "."]) is None
        True
    """
    text = "".join(tokens)
    start = text.rfind("<answer>") + len("<answer>")
    if start < len("<answer>"):
        return None
    start += len(text[start:]) - len(text[start:].lstrip(BEFORE))
    end = 0
    for step, token in enumerate(tokens):
        end += len(token)
        if end > start:
            return step
    return None
