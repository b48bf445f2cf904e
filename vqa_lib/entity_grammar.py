"""Entities, attributes and actions of a text-to-video prompt by a small grammar, and questions about them.

The embedded stand-in for a language model: the same prompt gives the same questions, on any machine. It knows English
articles, prepositions and some verbs, and takes noun phrases as they stand: "a red circle moves left over grass" has
the entities circle (red; moves left) and grass. Metaphors, relative clauses and verbs that it does not know are beyond
it; a prompt in which it finds nothing gets no question, and is counted by whoever asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vqa_lib.written_questions import Report, WrittenQuestion

DETERMINERS = {
    "a", "an", "the", "this", "that", "these", "those", "some", "one", "two", "three", "four", "five", "several",
    "many", "his", "her", "its", "their",
}  # fmt: skip
PREPOSITIONS = {
    "over", "in", "on", "at", "under", "through", "across", "along", "into", "onto", "near", "beside", "behind",
    "above", "below", "around", "between", "towards", "toward", "from", "to", "with", "of", "by", "against", "inside",
    "outside", "down", "up", "past", "among", "during", "for",
}  # fmt: skip
BOUNDS = {"and", "or", "while", "as", "who", "which", "but", "then", "is", "are", "being"}
ADVERBS = {"slowly", "quickly", "calmly", "gently", "fast", "left", "right", "up", "down", "away", "forward", "back"}
VERBS = (
    "move", "walk", "run", "jump", "fly", "swim", "sit", "stand", "ride", "drive", "dance", "eat", "drink", "play",
    "sleep", "fall", "rise", "spin", "turn", "roll", "float", "drift", "climb", "crawl", "look", "watch", "hold",
    "carry", "throw", "catch", "kick", "hit", "push", "pull", "open", "close", "cook", "cut", "pour", "paint", "draw",
    "write", "read", "sing", "talk", "smile", "laugh", "cry", "wave", "cross", "chase", "follow", "land", "sail",
    "row", "fight", "work", "build", "grow", "bloom", "burn", "melt", "explode", "shine", "glow", "flow", "rain",
    "snow", "blow", "shake", "swing", "slide", "skate", "ski", "surf", "dive", "hover", "race", "travel", "enter",
    "leave", "wait", "hang", "lie", "bark", "hunt", "graze", "feed", "wander", "stroll", "gallop", "hop", "glide",
    "soar", "splash",
)  # fmt: skip


@dataclass(frozen=True)
class Entity:
    """A thing of the prompt: its noun, the words before it, and what it does ("" where nothing is said).

    action: a verb in its base form and what follows, as in "move left". article: whether the prompt has one before it.
    """

    noun: str
    attributes: tuple[str, ...] = ()
    action: str = ""
    article: bool = False

    @property
    def plural(self) -> bool:
        """By its ending: "bricks" is plural, "grass" is not."""
        return self.noun.endswith("s") and not self.noun.endswith("ss")


def verb_base(word: str) -> str | None:
    """The base form of a verb that the grammar knows; None for other words.

    Example:
        >>> verb_base("running"), verb_base("crosses"), verb_base("carries"), verb_base("rider")
        ('run', 'cross', 'carry', None)
    """
    for base in VERBS:
        stem = base.removesuffix("e")
        forms = {base, f"{base}s", f"{base}es", f"{stem}ing", f"{base}{base[-1]}ing", f"{base.removesuffix('y')}ies"}
        if base.endswith("ie"):
            forms.add(f"{base[:-2]}ying")
        if word in forms:
            return base
    return None


def entities(prompt: str) -> list[Entity]:
    """The things that a prompt names, each once, in their order.

    Example:
        >>> entities("a red circle moves left over grass")[0]
        Entity(noun='circle', attributes=('red',), action='move left', article=True)
        >>> entities("hello")
        []
    """
    found: list[Entity] = []
    for clause in re.split(r"[,.;:!?]", prompt.lower()):
        words = re.findall(r"[a-z][a-z'-]*|\d+", clause)
        place = 0
        while place < len(words):
            if words[place] in DETERMINERS or words[place] in PREPOSITIONS:
                place = _phrase(words, place, found)
            else:
                place += 1
    return found


def _phrase(words: list[str], start: int, found: list[Entity]) -> int:
    """Take the noun phrase that `start` introduces, and what it does; returns the place behind both."""
    start += words[start] not in DETERMINERS  # a preposition
    introduced = start
    while start < len(words) and words[start] in DETERMINERS:
        start += 1
    end = start
    while end < len(words) and not _bounds(words, end, start):
        end += 1
    if end == start:
        return start
    *attributes, noun = words[start:end]
    after = end + 1 if end < len(words) and words[end] in ("is", "are") else end
    base = verb_base(words[after]) if after < len(words) else None
    action, behind = "", end
    if base:
        behind = after + 1
        while behind < len(words) and words[behind] in ADVERBS:
            behind += 1
        action = " ".join([base, *words[after + 1 : behind]])
    if noun not in {entity.noun for entity in found}:
        found.append(Entity(noun, tuple(attributes), action, start > introduced))
    return behind


def _bounds(words: list[str], place: int, start: int) -> bool:
    word = words[place]
    if word in PREPOSITIONS or word in BOUNDS or word in DETERMINERS or word in ADVERBS:
        return True
    return place > start and verb_base(word) is not None


def grammar_questions(prompt: str) -> list[WrittenQuestion]:
    """Questions about each entity of a prompt; where it acts, of all five dimensions, for the video and against it.

    Example:
        >>> for asked in grammar_questions("a red circle moves left over grass")[:3]:
        ...     print(asked.dimension, "|", asked.question, "|", asked.polarity)
        visual quality | Is the circle sharp and clear? | positive
        visual quality | Is the circle covered with noise or blocks? | negative
        text-to-video alignment | Is there a red circle in the video? | positive
    """
    questions = []
    for entity in entities(prompt):
        thing, are, do = f"the {entity.noun}", "Are" if entity.plural else "Is", "Do" if entity.plural else "Does"
        its, it = ("their", "they") if entity.plural else ("its", "it")
        named = " ".join([*entity.attributes, entity.noun])
        if entity.article and not entity.plural:
            named = f"{'an' if named[0] in 'aeiou' else 'a'} {named}"
        asked = [
            ("visual quality", f"{are} {thing} sharp and clear?", "positive"),
            ("visual quality", f"{are} {thing} covered with noise or blocks?", "negative"),
            ("text-to-video alignment", f"{are} there {named} in the video?", "positive"),
            ("temporal consistency", f"{do} {thing} flicker or shake?", "negative"),
        ]
        if entity.action:
            asked += [
                ("text-to-video alignment", f"{do} {thing} {entity.action}?", "positive"),
                ("temporal consistency", f"{do} {thing} keep {its} shape and colour to the end?", "positive"),
                ("factual consistency", f"{do} {thing} keep {its} size, as {it} would in the real world?", "positive"),
                ("factual consistency", f"{do} {thing} move in a way that is impossible?", "negative"),
                ("dynamic degree", f"{do} {thing} move clearly through the video?", "positive"),
                ("dynamic degree", f"{do} {thing} stand still?", "negative"),
            ]
        questions += [WrittenQuestion(prompt, entity.noun, *each) for each in asked]
    return questions


def ask_grammar(prompts: Sequence[str]) -> tuple[list[WrittenQuestion], Report]:
    """Questions about each prompt, and the prompts of which the grammar knows nothing: as `ask_for_questions`."""
    report, questions = Report(), []
    for prompt in dict.fromkeys(prompts):
        found = grammar_questions(prompt)
        questions += found
        report.prompts += 1
        report.without += [] if found else [prompt]
    report.kept = len(questions)
    return questions, report
