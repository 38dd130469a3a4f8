"""Writing clips that every browser plays."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain

import numpy as np

from equivdm.arrays import Frames, Picture


def write_video(path: str, frames: Frames | Iterable[Picture], fps: float, crf: int = 18) -> None:
    """Write an H.264 mp4 (yuv420p, BT.709 marked, index at the front).

    yuv420p needs even sides: an odd one is extended by repeating its last row or column.

    Args:
        path: file to write; it is replaced.
        frames: at least one frame; an iterator is read as it is written, so that a long video need not be held.
        fps: frames a second; kept as a fraction with a denominator up to 1001, so 30000/1001 is exact.
        crf: 0 (lossless) to 51 (worst).

    Raises:
        ValueError: for no frames, a rate that is not positive, or a crf out of range.
        OSError: where the file cannot be written.
    """
    import av
    from av.video.reformatter import ColorRange, Colorspace

    pictures = iter(frames)
    first = next(pictures, None)
    if first is None or fps <= 0 or not 0 <= crf <= 51:
        got = "no frame" if first is None else f"fps={fps}, crf={crf}"
        raise ValueError(f"got {got}: at least 1 frame, fps > 0, crf in 0..51")
    height, width = first.shape[:2]
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        # One thread and no macroblock tree: with it x264's AVX-512 code gives other bytes now and then. So the same
        # frames give the same file again on the same kind of CPU.
        stream.options = {"crf": str(crf), "preset": "medium", "x264-params": "mbtree=0"}
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = 1
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        stream.codec_context.color_range = 1
        for frame in chain([first], pictures):
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            yuv = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            container.mux(stream.encode(yuv))
        container.mux(stream.encode())
