"""The mood of a text: the exports of the world `sentiment`. `wit_world` is generated from the WIT."""

from math import isfinite, sqrt
from typing import Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.analyse import (
    AnalyseError_NoWords,
    AnalyseError_TooLong,
    Analysis,
    Evidence,
    Mood,
)
from wit_world.imports import prose, store

from lexicon import DEGREES, NEGATIONS, WORDS

# The most words that are scored.
WORDS_MAX = 20_000

# Where learned words are kept, and how large a score may be.
LEARNED = "sentiment/"
SCORE_MAX = 4.0

# A negation reaches this many words; it turns round and weakens.
REACH = 3
NEGATED = -0.74

# How soon the overall score nears 1: this sum of squares makes it 0.7.
DAMPING = 15.0

# From where on a text counts as positive or negative.
THRESHOLD = 0.05


def learned_words() -> dict[str, float]:
    """Returns the scores among the facts; facts that are no number within bounds are passed over."""
    scores = {}
    for fact in store.find(LEARNED):
        value = fact.value
        if isinstance(value, store.Value_Number) and isfinite(value.value):
            scores[fact.key.removeprefix(LEARNED)] = max(-SCORE_MAX, min(SCORE_MAX, value.value))
    return scores


def weigh(words: list[str], at: int, score: float) -> Evidence:
    """Returns what the word at `at` contributes, given the words before it."""
    if at > 0:
        score *= 1 + DEGREES.get(words[at - 1], 0.0)
    negated = any(word in NEGATIONS for word in words[max(0, at - REACH) : at])
    if negated:
        score *= NEGATED
    return Evidence(word=words[at], score=round(score, 4), negated=negated)


def score_words(words: list[str], learned: dict[str, float]) -> Analysis:
    """Scores words that were cut already."""
    scores = WORDS | learned
    # "pretty bad": a degree before a word that counts is no word of its own.
    evidence = [
        weigh(words, at, scores[word])
        for at, word in enumerate(words)
        if scores.get(word) and not (word in DEGREES and at + 1 < len(words) and words[at + 1] in scores)
    ]
    total = sum(item.score for item in evidence)
    score = round(total / sqrt(total * total + DAMPING), 4)
    mood = Mood.POSITIVE if score >= THRESHOLD else Mood.NEGATIVE if score <= -THRESHOLD else Mood.NEUTRAL
    return Analysis(mood=mood, score=score, words=len(words), evidence=evidence)


def analyse(text: str, learned: dict[str, float]) -> Analysis:
    """Cuts a text into words and scores them; raises the `err` of the WIT."""
    words = prose.words(text)
    if not words:
        raise Err(AnalyseError_NoWords())
    if len(words) > WORDS_MAX:
        raise Err(AnalyseError_TooLong(WORDS_MAX))
    return score_words(words, learned)


class Analyse(exports.Analyse):
    """Exports `demo:sentiment/analyse`; the class has the name of the interface."""

    def analyse(self, text: str) -> Analysis:
        return analyse(text, learned_words())

    def brightest(self, texts: list[str]) -> Optional[tuple[int, float]]:
        learned = learned_words()
        best = None
        for index, text in enumerate(texts):
            try:
                score = analyse(text, learned).score
            except Err:
                continue
            if best is None or score > best[1]:
                best = (index, score)
        return best


class Lifecycle(exports.Lifecycle):
    """Exports `registry:component/lifecycle`."""

    def activate(self) -> None:
        """Proves that what is imported answers, and that the lexicon does not contradict itself."""
        wrong = sorted(NEGATIONS & WORDS.keys())
        if wrong:
            raise Err(f"words that are both scored and negations: {', '.join(wrong)}")
        learned_words()
        if prose.words("Ready!") != ["ready"]:
            raise Err("demo:text cuts words in another way than this lexicon expects")

    def deactivate(self) -> None:
        """Nothing is held."""
