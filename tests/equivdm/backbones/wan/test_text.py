"""Prompts as embeddings: those of diffusers' pipeline, cleaned, padded with zeros."""

import pytest
import torch
from diffusers import WanPipeline
from diffusers.pipelines.wan.pipeline_wan import prompt_clean

from equivdm.backbones.wan.text import WanText, clean
from tests.equivdm.backbones.wan import tiny

TEXT = tiny.text()
PROMPTS = ["a cat walks", "  a   dog &amp;amp; a cat\nruns ", ""]


def test_embeddings_are_the_pipelines() -> None:
    pipeline = WanPipeline(TEXT.tokenizer, TEXT.encoder, tiny.codec().vae, None, tiny.denoiser().network)
    wanted, _ = pipeline.encode_prompt(PROMPTS, None, False, max_sequence_length=512, device=torch.device("cpu"))
    got = TEXT(PROMPTS)
    assert got.shape == (3, 512, tiny.FEATURES)
    torch.testing.assert_close(got, wanted)


def test_padding_is_zero_and_counts_for_nothing() -> None:
    embeddings = TEXT(PROMPTS)
    for prompt, words in zip(embeddings, (4, 7, 1), strict=True):
        assert prompt[:words].abs().sum(1).min() > 0
        assert not prompt[words:].any()
    short = WanText(TEXT.tokenizer, TEXT.encoder, 8)(PROMPTS)
    torch.testing.assert_close(short, embeddings[:, :8], atol=1e-5, rtol=1e-5)


def test_long_prompts_are_cut() -> None:
    assert WanText(TEXT.tokenizer, TEXT.encoder, 8)([" ".join(["cat"] * 20)])[0].abs().sum(1).min() > 0


@pytest.mark.parametrize(
    ("prompt", "cleaned"), [("  a \n b\t", "a b"), ("cat &amp;amp; dog", "cat & dog"), ("&lt;3", "<3"), ("", "")]
)
def test_prompts_are_cleaned(prompt: str, cleaned: str) -> None:
    assert clean(prompt) == cleaned


@pytest.mark.parametrize(
    "prompt", ["\u201ca cat\u2019s &quot;tail&quot;\u201d", "caf\u00c3\u00a9\u3000walks", "&amp;amp;lt;"]
)
def test_prompts_are_cleaned_as_in_the_pipeline(prompt: str) -> None:
    assert clean(prompt) == prompt_clean(prompt)


def test_what_is_no_list_of_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^prompts: got \[\], wanted a list"):
        TEXT([])
    with pytest.raises(ValueError, match=r"^prompts: got 'a cat', wanted a list"):
        TEXT("a cat")
    with pytest.raises(ValueError, match=r"^words: got 0, wanted at least 1"):
        WanText(TEXT.tokenizer, TEXT.encoder, 0)
