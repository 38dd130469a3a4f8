"""Captions as tokens."""

import subprocess
import sys

import pytest

from equivdm.text import VOCABULARY, WORDS, tokenize


@pytest.mark.parametrize("caption", ["", "a red ball", "Überraschung 漢字 !?", " ".join(f"w{i}" for i in range(100))])
def test_a_caption_has_a_fixed_length_and_range(caption: str) -> None:
    tokens = tokenize(caption)
    assert len(tokens) == WORDS
    assert all(0 <= token < VOCABULARY for token in tokens)


def test_case_and_punctuation_do_not_matter_and_padding_is_zero() -> None:
    assert tokenize("A red ball.") == tokenize("a RED, ball")
    assert tokenize("a red ball")[3:] == [0] * (WORDS - 3)
    assert all(tokenize("a red ball")[:3])
    assert tokenize("red") != tokenize("blue")


def test_tokens_are_the_same_in_every_process() -> None:
    """Python's own hash is salted per process; a stored caption must not be."""
    code = "from equivdm.text import tokenize; print(tokenize('two cats boxing'))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == str(tokenize("two cats boxing"))


def test_words_behind_the_sixteenth_are_dropped() -> None:
    words = [f"w{number}" for number in range(WORDS + 5)]
    assert tokenize(" ".join(words)) == tokenize(" ".join(words[:WORDS]))
    assert all(tokenize(" ".join(words)))


def test_the_order_of_words_is_kept_and_a_word_has_one_token() -> None:
    assert tokenize("red ball red")[:3] == [tokenize("red")[0], tokenize("ball")[0], tokenize("red")[0]]


def test_words_spread_over_the_vocabulary() -> None:
    tokens = {tokenize(f"word{number}")[0] for number in range(2000)}
    assert len(tokens) > 0.8 * VOCABULARY  # 86% are expected of an even hash
    assert 0 not in tokens
