"""The collection of hard files: what each must come to when its frames are decoded."""

from dataclasses import dataclass

from equivdm.errors import DamagedVideo, EmptyFile, ItemError, NotAVideo, NoVideoStream, Truncated


@dataclass(frozen=True)
class Ends:
    """A file that is refused."""

    error: type[ItemError]
    message: str


@dataclass(frozen=True)
class Decodes:
    """A file that is decoded, as upright pictures."""

    frames: int
    height: int
    width: int
    turns: int = 0
    """Clockwise quarter turns that bring the stored picture upright."""
    mirrored: bool = False


SYNTHETIC = Decodes(48, 240, 320)

EXPECTED: dict[str, Ends | Decodes] = {
    "real/audio_only_frag.mp4": Ends(NoVideoStream, "has no video stream"),
    "real/av1_video.mkv": Decodes(125, 360, 640),
    "real/bitmap.mp4": Decodes(5, 1, 1),
    "real/bt709_full_range.mp4": Decodes(30, 720, 1280),
    "real/carphone_176x144.mp4": Decodes(120, 144, 176),
    "real/chroma_yuvj444p.mp4": Decodes(132, 720, 1280),
    "real/example_mask.mp4": Decodes(300, 200, 200),
    "real/flower_fragmented.mp4": Decodes(150, 540, 960),
    "real/flower_vp8.webm": Decodes(150, 540, 960),
    "real/h264_10bits.mp4": Decodes(30, 200, 200),
    "real/h265_video.mp4": Decodes(10, 128, 128),
    "real/nasa_13013.mp4": Decodes(390, 270, 480),  # the larger of its two video streams
    "real/rotated_0.mov": Decodes(3, 320, 568),
    "real/rotated_180.mov": Decodes(3, 320, 568, turns=2),
    "real/rotated_90.mov": Decodes(3, 568, 320, turns=1),
    "real/smpte-2997.mp4": Decodes(251, 1080, 1920),
    "real/video_with_failing_audio.mp4": Decodes(280, 360, 640),
    "real/zero_byte.webm": Ends(EmptyFile, "zero_byte.webm is empty"),
    "synth/animated.gif": Decodes(16, 120, 160),
    "synth/audio_only.m4a": Ends(NoVideoStream, "has no video stream"),
    "synth/baseline.mp4": SYNTHETIC,
    "synth/black.mp4": Decodes(32, 240, 320),
    "synth/cross_fade_16_32.mp4": SYNTHETIC,
    "synth/flash_at_20.mp4": Decodes(40, 240, 320),
    "synth/flip_h.mp4": Decodes(48, 240, 320, mirrored=True),
    "synth/fps_240.mp4": SYNTHETIC,
    "synth/frozen_middle.mp4": SYNTHETIC,
    "synth/gray.mp4": Decodes(24, 240, 320),
    "synth/hard_cut_at_24.mp4": SYNTHETIC,
    "synth/hevc_10bit_pq.mp4": Decodes(24, 240, 320),
    "synth/html_error_page.mp4": Ends(NotAVideo, "is no video that FFmpeg can open"),
    "synth/interlaced_tff.mp4": SYNTHETIC,
    "synth/letterbox.mp4": Decodes(32, 240, 320),
    "synth/lossless_ffv1.mkv": Decodes(16, 240, 320),
    "synth/mjpeg.avi": Decodes(24, 240, 320),
    "synth/odd_size_428x238.mp4": Decodes(24, 238, 428),
    "synth/one_keyframe_bframes.mp4": Decodes(240, 240, 320),
    "synth/rotate_90.mp4": Decodes(48, 320, 240, turns=1),
    "synth/sar_4_3.mp4": Decodes(24, 240, 320),
    "synth/static.mp4": Decodes(32, 240, 320),
    "synth/tall_64x720.mp4": Decodes(16, 720, 64),
    "synth/text_named_mp4.mp4": Ends(NotAVideo, "is no video that FFmpeg can open"),
    "synth/three_frames.mp4": Decodes(3, 240, 320),
    "synth/tiny_16x16.mp4": Decodes(16, 16, 16),
    "synth/truncated_no_moov.mp4": Ends(Truncated, "ends before its index"),
    "synth/vfr_irregular.mp4": SYNTHETIC,
    "synth/zero_byte.mp4": Ends(EmptyFile, "zero_byte.mp4 is empty"),
    "synth/zeroed_middle.mp4": Ends(DamagedVideo, r"of 48 frames could be decoded.*h264"),
}
