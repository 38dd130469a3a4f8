"""CLIP's and DINO's metrics by models of the least size, whose answers are set or computed by themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from equivdm.errors import UsageError
from equivdm.metrics import Case, measure
from equivdm.metrics.semantics import background_consistency, clip_frame, clip_text
from equivdm.metrics_config import WeightsConfig
from equivdm.networks.embeddings import clip_caption, clip_frames, dino_frames
from equivdm.networks.pictures import IMAGENET
from tests.equivdm.backbones.videocrafter2.tiny import MERGES, VOCABULARY

SIDE = 32
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
PICTURES = {"image_size": SIDE, "patch_size": 8}
COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def clip_model() -> CLIPModel:
    """CLIP of random weights; as in the public one, words end with the last token of the vocabulary."""
    torch.manual_seed(0)
    last = len(VOCABULARY) - 1
    ids = {"vocab_size": len(VOCABULARY), "bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    text = SMALL | ids | {"max_position_embeddings": 12}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=SMALL | PICTURES, projection_dim=2)).eval()


def save_clip(model: CLIPModel, folder: Path) -> str:
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({piece: place for place, piece in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]))
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_clip(clip_model(), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("dino")
    ViTModel(ViTConfig(**SMALL, **PICTURES), add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def noise(seed: int, frames: int = 3, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def shown(frames: np.ndarray, colours: tuple) -> torch.Tensor:
    mean, deviation = (torch.tensor(each) for each in colours)
    return ((torch.tensor(frames) / 255 - mean) / deviation).permute(0, 3, 1, 2)


def unit(rows: torch.Tensor) -> np.ndarray:
    return (rows / rows.norm(dim=1, keepdim=True)).detach().numpy()


def with_answers(frame: tuple[float, float], caption: tuple[float, float]) -> CLIPModel:
    """A CLIP that answers any frame and any caption alike."""
    model = clip_model()
    with torch.no_grad():
        for norm in (model.vision_model.post_layernorm, model.text_model.final_layer_norm):
            norm.weight.zero_()
            norm.bias.copy_(torch.eye(16)[0])
        model.visual_projection.weight[:, 0] = torch.tensor(frame)
        model.text_projection.weight[:, 0] = torch.tensor(caption)
    return model


def test_frames_of_the_model_s_size_have_its_own_embedding(clip: str, dino: str) -> None:
    frames = noise(0, frames=18)  # more than are shown at once
    seen = clip_model().get_image_features(pixel_values=shown(frames, COLOURS))
    np.testing.assert_allclose(clip_frames(frames, clip, "cpu"), unit(seen.pooler_output), atol=1e-5)
    model = ViTModel.from_pretrained(dino, add_pooling_layer=False)
    seen = model(pixel_values=shown(frames, IMAGENET)).last_hidden_state[:, 0]
    np.testing.assert_allclose(dino_frames(frames, dino, "cpu"), unit(seen), atol=1e-5)


def test_a_caption_has_the_model_s_own_embedding_and_a_long_one_is_cut(clip: str) -> None:
    pieces = ["<|startoftext|>", "cat</w>", "walks</w>", "<|endoftext|>"]
    tokens = torch.tensor([[VOCABULARY.index(piece) for piece in pieces]])
    own = unit(clip_model().get_text_features(input_ids=tokens).pooler_output)[0]
    np.testing.assert_allclose(clip_caption("cat walks", clip, "cpu"), own, atol=1e-5)
    ten, twenty = (clip_caption(" ".join(["cat"] * count), clip, "cpu") for count in (10, 20))
    np.testing.assert_array_equal(ten, twenty)


@pytest.mark.parametrize(("height", "width"), [(20, 50), (50, 20), (70, 64)])
def test_frames_of_other_sizes_are_scaled_and_clip_sees_the_middle(
    clip: str, dino: str, height: int, width: int
) -> None:
    """Of one colour they look the same at any size; what CLIP does not see may be anything."""
    plain, flat = (np.full((2, *size, 3), (90, 160, 30), np.uint8) for size in ((SIDE, SIDE), (height, width)))
    np.testing.assert_allclose(clip_frames(flat, clip, "cpu"), clip_frames(plain, clip, "cpu"), atol=1e-4)
    assert dino_frames(flat, dino, "cpu").shape == (2, 16)
    if abs(height - width) > 20:
        ends = flat.copy()
        ends[:, :5, :5] = ends[:, -5:, -5:] = 255
        np.testing.assert_allclose(clip_frames(ends, clip, "cpu"), clip_frames(plain, clip, "cpu"), atol=1e-4)
        assert np.abs(dino_frames(ends, dino, "cpu") - dino_frames(flat, dino, "cpu")).max() > 1e-3


def test_a_still_video_is_consistent(clip: str, dino: str) -> None:
    still = np.repeat(noise(1, frames=1), 4, axis=0)
    case = Case(still, weights=WeightsConfig(clip=clip, dino=dino))
    values = measure(case, ["clip_frame", "background_consistency", "subject_consistency"])
    assert list(values.values()) == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("frame", "caption", "score"), [((3, 4), (1, 0), 60), ((3, 4), (6, 8), 100), ((3, 4), (-1, 0), 0)]
)
def test_the_clip_score_is_100_times_the_cosine_and_not_below_0(
    tmp_path: Path, frame: tuple, caption: tuple, score: float
) -> None:
    folder = save_clip(with_answers(frame, caption), tmp_path)
    case = Case(noise(2), caption="cat walks", weights=WeightsConfig(clip=folder))
    assert clip_text(case) == pytest.approx(score, abs=1e-4)


def test_consistencies_of_known_embeddings_are_their_definitions() -> None:
    """At 0, 60, 180 and 180 degrees: cosines of neighbours 1/2, -1/2, 1, and with the first 1/2, -1, -1."""
    angles = np.radians([0, 60, 180, 180])
    case = Case(noise(3, frames=4))
    vars(case)["seen_by_clip"] = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert clip_frame(case) == pytest.approx((0.5 - 0.5 + 1) / 3, abs=1e-6)
    assert background_consistency(case) == pytest.approx((1 + 0 + 1) / 6, abs=1e-6)


def test_a_picture_is_no_video(clip: str) -> None:
    with pytest.raises(ValueError, match="frames: got 1, wanted at least 2"):
        clip_frame(Case(noise(4, frames=1), weights=WeightsConfig(clip=clip)))


def test_a_folder_of_another_model_is_refused_rather_than_filled_up_at_random(
    clip: str, dino: str, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"^weights.dino: .* lacks \d+ weights of a ViTModel, such as .*: give a folder"
    ):
        dino_frames(noise(5), clip, "cpu")
    with pytest.raises(UsageError, match=r"^weights.clip: .* holds no CLIPModel \(.*\): give a folder of one"):
        clip_frames(noise(5), str(tmp_path), "cpu")


def test_a_model_without_its_vocabulary_is_refused_rather_than_given_another(tmp_path: Path) -> None:
    clip_model().save_pretrained(tmp_path)
    clip_frames(noise(6), str(tmp_path), "cpu")
    with pytest.raises(UsageError, match=r"^weights.clip: the tokenizer of .* has \d words, wanted the 35 "):
        clip_caption("cat walks", str(tmp_path), "cpu")
