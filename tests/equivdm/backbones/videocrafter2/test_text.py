"""Prompts as OpenCLIP sees them: its padding, and the tower's numbers beside transformers'."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from equivdm.backbones.videocrafter2.load import load_text
from equivdm.backbones.videocrafter2.text import VideoCrafter2Text
from equivdm.errors import UsageError
from equivdm.networks.videocrafter2.sizes import TextSizes
from equivdm.networks.videocrafter2.text import TextTower
from tests.equivdm.backbones.videocrafter2 import tiny
from tests.equivdm.networks.videocrafter2.cases import filled

BEGIN, END = tiny.VOCABULARY.index(tiny.ENDS[0]), tiny.VOCABULARY.index(tiny.ENDS[1])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> VideoCrafter2Text:
    return load_text(tiny.write(tmp_path_factory.mktemp("model")))


def pieces(*names: str) -> list[int]:
    return [tiny.VOCABULARY.index(name) for name in names]


def test_prompts_are_padded_with_zeros_and_cut_before_the_end(text: VideoCrafter2Text) -> None:
    short, empty, long = text.tokens(["A cat  walks", "", "a " * 40]).tolist()
    assert short == [BEGIN, *pieces("a</w>", "cat</w>", "walks</w>"), END, *[0] * 7]
    assert empty == [BEGIN, END, *[0] * 10]
    assert long == [BEGIN, *pieces("a</w>") * 10, END]


def test_words_are_cut_into_known_pieces_and_cleaned(text: VideoCrafter2Text) -> None:
    (found,) = text.tokens([" a\ncat,DOG &amp;amp; "]).tolist()
    assert found == [BEGIN, *pieces("a</w>", "cat</w>", ",</w>", "do", "g</w>", "&</w>"), END, *[0] * 4]


def test_the_tower_gives_what_transformers_gives_at_its_penultimate_layer() -> None:
    sizes = TextSizes(width=32, blocks=4, heads=4, words=10, vocabulary=50)
    tower = filled(TextTower(sizes)).requires_grad_(False)
    config = CLIPTextConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=10,
        hidden_act="gelu",
    )
    theirs = CLIPTextModel(config).eval()
    state = renamed(tower.state_dict(), prefix=next(iter(theirs.state_dict())).partition("embeddings.")[0])
    missing = theirs.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(".layers.3." in name for name in missing.missing_keys)  # the last one, which is not used
    tokens = torch.randint(50, (3, 10), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = theirs(tokens, output_hidden_states=True).hidden_states[-2]
    wanted = torch.nn.functional.layer_norm(hidden, (32,), tower.ln_final.weight, tower.ln_final.bias)
    torch.testing.assert_close(tower(tokens), wanted, atol=1e-5, rtol=1e-5)


def renamed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """OpenCLIP's names to those of transformers."""
    found: dict[str, torch.Tensor] = {}
    names = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for name, value in state.items():
        if name.startswith("transformer.resblocks."):
            number, part = name.removeprefix("transformer.resblocks.").split(".", 1)
            layer = f"{prefix}encoder.layers.{number}."
            if part.startswith("attn.in_proj_"):
                for each, third in zip("qkv", value.chunk(3), strict=True):
                    found[f"{layer}self_attn.{each}_proj.{part.removeprefix('attn.in_proj_')}"] = third
            else:
                part, kind = part.rsplit(".", 1)
                found[f"{layer}{names[part]}.{kind}"] = value
    found[f"{prefix}embeddings.token_embedding.weight"] = state["token_embedding.weight"]
    found[f"{prefix}embeddings.position_embedding.weight"] = state["positional_embedding"]
    for kind in ("weight", "bias"):
        found[f"{prefix}final_layer_norm.{kind}"] = state[f"ln_final.{kind}"]
    return found


def test_a_word_sees_itself_and_those_before_it() -> None:
    tower = filled(TextTower(tiny.TEXT_SIZES)).requires_grad_(False)
    tokens = torch.arange(12)[None]
    other = tokens.clone()
    other[:, 7] = 20
    changed = (tower(tokens) - tower(other)).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == [False] * 7 + [True] * 5
    with pytest.raises(ValueError, match=r"^got 5 tokens a prompt, wanted 12: pad or cut them$"):
        tower(tokens[:, :5])


def test_rows_are_the_embeddings_padding_included(text: VideoCrafter2Text) -> None:
    rows, embeddings = text.rows(["a cat", ""]), text(["a cat", ""])
    assert [row.shape for row in rows] == [(12, 24)] * 2
    torch.testing.assert_close(torch.from_numpy(rows[0]).float(), embeddings[0], atol=1e-2, rtol=1e-2)
    assert (torch.from_numpy(rows[1]) != 0).any(1).all()


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    config = tiny.write(tmp_path)
    with pytest.raises(UsageError, match=r"^tokenizer: .*/absent holds no CLIP tokenizer \(.*\): give a folder"):
        load_text(config.model_copy(update={"tokenizer": str(tmp_path / "absent")}))
    with pytest.raises(ValueError, match=r"^prompts: got 'a cat', wanted a list"):
        load_text(config).tokens("a cat")
