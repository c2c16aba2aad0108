"""Videos of one camera: frame i is shown at i / fps, and pieces are put together without being encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np

from tutelage_core.episodes.lerobot.layout import INFO_FILE, ExportSettings
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.threads import never_real_time
from tutelage_core.types import ImageArray

PIXEL_FORMAT = "yuv420p"
CODEC_NAMES = {"libsvtav1": "av1", "h264": "h264", "hevc": "hevc"}
"""Encoder to the name of what it writes."""

_FILES_ONLY = {"protocol_whitelist": "file"}


def check_size(width: int, height: int, settings: ExportSettings, camera: str) -> None:
    """Refuse a size that the codec cannot encode [px].

    Raises:
        ConfigurationError: it is odd, and the codec halves the colours' resolution of whole pairs only.
    """
    if settings.pictures == "video" and settings.codec != "libsvtav1" and (width % 2 or height % 2):
        raise ConfigurationError(
            f"camera '{camera}': {settings.codec} encodes even sizes only, got {width}x{height} px; "
            "use codec libsvtav1 or pictures image"
        )


def write_video(path: Path, images: ImageArray, fps: int, settings: ExportSettings) -> None:
    """Encode images of shape (T, height, width, 3) on one thread; as root, SVT-AV1 would make all of its own real-time.

    Raises:
        EpisodeError: the encoder failed.
    """
    never_real_time(lambda: _encode(path, images, fps, settings))


def _encode(path: Path, images: ImageArray, fps: int, settings: ExportSettings) -> None:
    options = {"g": str(settings.gop), "crf": str(settings.crf)}
    match settings.codec:
        case "libsvtav1":
            options |= {"preset": str(settings.preset), "svtav1-params": "lp=1"}
        case "h264":
            options |= {"threads": "1"}
        case "hevc":
            options |= {"x265-params": "log-level=error:pools=1:frame-threads=1"}
    try:
        with av.open(str(path), "w", options={"movflags": "faststart"}) as output:
            stream: Any = output.add_stream(settings.codec, fps, options=options)
            stream.height, stream.width = images.shape[1:3]
            stream.pix_fmt = PIXEL_FORMAT
            stream.codec_context.max_b_frames = 0  # so packets stand in the order of their frames
            for number, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts = number
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise EpisodeError(f"{path}: {settings.codec} cannot encode {images.shape}: {error}") from error


def join_videos(pieces: Sequence[tuple[Path, int]], output: Path, fps: int) -> None:
    """Put videos of one camera one after the other into `output`; packets are copied, none is encoded again.

    Args:
        pieces: each video with the number of its frames.
        output: the file to write.
        fps: frames a second of all of them.

    Raises:
        EpisodeError: a piece is not readable, has another number of frames, or was encoded in another way.
    """
    first = 0
    header: bytes | None = None
    with av.open(str(output), "w", options={"movflags": "faststart"}) as container:
        stream: Any = None
        for path, frames in pieces:
            try:
                with av.open(str(path)) as source:
                    template: Any = source.streams.video[0]
                    if stream is None:
                        stream = container.add_stream_from_template(template, opaque=True)
                        stream.time_base = template.time_base
                        header = template.codec_context.extradata
                    if template.codec_context.extradata != header:
                        raise EpisodeError(f"{path}: was encoded in another way than {pieces[0][0]}; remove this piece")
                    ticks = Fraction(1, fps) / template.time_base
                    packets = [packet for packet in source.demux(template) if packet.dts is not None]
                    expected = [number * ticks for number in range(frames)]
                    if [packet.pts for packet in packets] != expected:
                        raise EpisodeError(
                            f"{path}: {len(packets)} frames, expected {frames} at {fps} a second; remove this piece"
                        )
                    for packet in packets:
                        packet.pts = packet.dts = int((first * ticks) + cast("int", packet.pts))
                        packet.time_base = template.time_base
                        packet.stream = stream
                        container.mux(packet)
            except (av.error.FFmpegError, IndexError) as error:
                raise EpisodeError(f"{path}: not a readable video: {error}") from error
            first += frames


def read_video(path: Path, from_s: float, frames: int, fps: float, size: tuple[int, int]) -> ImageArray:
    """Return `frames` images that begin at `from_s` [s], shape (frames, height, width, 3).

    No more frames are decoded than lie before the last one at `fps`.

    Args:
        path: the video.
        from_s: time of the first image [s].
        frames: how many are wanted.
        fps: frames a second.
        size: height and width that the images must have [px].

    Raises:
        EpisodeError: the video cannot be decoded, is of another size, or has no frame where one should be.
    """
    found: list[ImageArray] = []
    most = round(from_s * fps) + frames
    try:
        for number, frame in enumerate(_decoded(path, from_s - 0.5 / fps, size)):
            wanted_s = from_s + len(found) / fps
            if number >= most:
                raise EpisodeError(
                    f"{path}: shows more than {most} frames before {wanted_s:.4f} s; at {fps:g} frames a second there "
                    "are no more"
                )
            if frame.time is None or frame.time < wanted_s - 0.5 / fps:
                continue
            if frame.time > wanted_s + 0.5 / fps:
                break
            found.append(frame.to_ndarray(format="rgb24"))
            if len(found) == frames:
                return np.stack(found)
    except (av.error.FFmpegError, IndexError) as error:
        raise EpisodeError(f"{path}: not a readable video: {error}") from error
    raise EpisodeError(
        f"{path}: no frame at {from_s + len(found) / fps:.4f} s; {frames} are needed from {from_s:.4f} s on at "
        f"{fps:g} frames a second, {len(found)} are there"
    )


def _decoded(path: Path, from_s: float, size: tuple[int, int]) -> Iterator[Any]:
    # As MP4 only: FFmpeg would follow a playlist, and a playlist leads to any file or host.
    container: Any
    with av.open(str(path), format="mp4", options=_FILES_ONLY, metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        _check_frame(path, stream.codec_context, size)
        container.seek(max(int(from_s / stream.time_base), 0), stream=stream, backward=True)
        for frame in container.decode(stream):
            _check_frame(path, frame, size)
            yield frame


def _check_frame(path: Path, shown: Any, size: tuple[int, int]) -> None:
    if (shown.height, shown.width) != size:
        raise EpisodeError(f"{path}: is {shown.width}x{shown.height} px, {INFO_FILE} says {size[1]}x{size[0]} px")
