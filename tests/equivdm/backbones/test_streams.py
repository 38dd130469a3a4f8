"""Latents that come in chunks are decoded to the video of all at once."""

from collections.abc import Callable, Iterator

import pytest
import torch

from equivdm.backbones.base import Codec
from equivdm.backbones.tiny.codec import TinyCodec
from equivdm.backbones.videocrafter2.codec import VideoCrafter2Codec
from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from tests.equivdm.backbones.videocrafter2.tiny import CODEC_SIZES
from tests.equivdm.backbones.wan import tiny
from tests.equivdm.networks.videocrafter2.cases import filled

CODECS: dict[str, Callable[[], Codec]] = {
    "tiny": TinyCodec,
    "videocrafter2": lambda: VideoCrafter2Codec(filled(Autoencoder(CODEC_SIZES)).requires_grad_(False)),
    "wan": lambda: WAN,
}
WAN = tiny.codec()


def latents(codec: Codec, frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, codec.geometry.channels, frames, 2, 2, generator=generator)


@pytest.mark.parametrize(
    ("kind", "lengths"),
    [("tiny", [1, 1, 3]), ("videocrafter2", [1, 2]), ("wan", [1, 1, 2]), ("wan", [2, 1])],
)
def test_chunks_give_the_video_of_all_at_once(kind: str, lengths: list[int]) -> None:
    codec = CODECS[kind]()
    whole = latents(codec, sum(lengths))
    video = torch.cat(list(codec.decode_stream(whole.split(lengths, dim=2))), dim=2)
    torch.testing.assert_close(video, codec.decode(whole), atol=1e-5, rtol=0)
    assert video.abs().max() <= 1


def test_streams_beside_each_other_and_other_work_in_between_do_not_meet() -> None:
    ones = [latents(WAN, 2, seed) for seed in (1, 2)]
    streams = [WAN.decode_stream(iter(one.split(1, dim=2))) for one in ones]
    parts = [[], []]
    for _ in range(2):
        for stream, part in zip(streams, parts, strict=True):
            part.append(next(stream))
            WAN.encode(torch.zeros(1, 3, 1, 8, 8))
    for one, part in zip(ones, parts, strict=True):
        torch.testing.assert_close(torch.cat(part, dim=2), WAN.decode(one), atol=1e-5, rtol=0)


def test_a_chunk_is_decoded_when_it_comes() -> None:
    given = list[int]()

    def chunks() -> Iterator[torch.Tensor]:
        for number in range(3):
            given.append(number)
            yield latents(WAN, 1)

    for number, _ in enumerate(WAN.decode_stream(chunks())):
        assert given == list(range(number + 1))


def test_wan_keeps_as_much_of_a_long_stream_as_of_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    forward = WAN.vae.decoder.forward

    def watched(*arguments, feat_cache, **options):
        kept.append(sum(each.numel() for each in feat_cache if isinstance(each, torch.Tensor)))
        return forward(*arguments, feat_cache=feat_cache, **options)

    monkeypatch.setattr(WAN.vae.decoder, "forward", watched)
    list(WAN.decode_stream(latents(WAN, 5).split(2, dim=2)))
    assert kept[0] == 0
    assert len(set(kept[3:])) == 1
    assert len(kept) == 5


def test_a_chunk_of_other_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^got latents of 4 channels, wanted 16: "):
        next(WAN.decode_stream([torch.zeros(1, 4, 1, 2, 2)]))
