"""Shows one recorded episode: as a picture, and if wished in Rerun."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from tutelage.film_strip import PICTURE_SUFFIXES
from tutelage.looking.foxglove import write_layout
from tutelage_core.episodes.labels import judge, read_labels
from tutelage_core.episodes.reader import read_episode
from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class ShowEpisodeConfig:
    """Settings of `tutelage data show`.

    Attributes:
        episode: folder of the episode.
        output: picture to write, .png or .jpg; <episode>.png in the current folder if not given.
        rerun: Rerun recording to write too, .rrd.
        connect: loopback address of a running Rerun viewer that shall show it too, such as 127.0.0.1:9876.
        foxglove: write the layout for Foxglove too, beside the recordings.
    """

    episode: tyro.conf.Positional[Path]
    output: Path | None = None
    rerun: Path | None = None
    connect: str = ""
    foxglove: bool = False


def show_episode(config: ShowEpisodeConfig) -> tuple[Path, ...]:
    """Draw an episode with its labels, and write or send it for Rerun if asked; return the files that were written.

    Raises:
        ConfigurationError: a file's name has the wrong ending or is taken, or no viewer is at the address.
        EpisodeError: the episode or its labels cannot be read.
    """
    folder = config.episode.resolve()
    picture = config.output or Path(f"{folder.name}.png")
    wanted = [picture, *([config.rerun] if config.rerun is not None else [])]
    for path, suffixes in zip(wanted, (PICTURE_SUFFIXES, (".rrd",)), strict=False):
        if path.suffix not in suffixes:
            raise ConfigurationError(f"{path}: its name must end in {' or '.join(suffixes)}")
        if path.exists():
            raise ConfigurationError(f"{path}: there is such a file, and none is overwritten; choose another name")
    episode = read_episode(folder)
    judgement = judge(read_labels(folder.parent, folder.name))
    from tutelage.looking.picture import save_picture  # noqa: PLC0415 slow, and every command reads this file

    save_picture(picture, episode, judgement)
    if config.rerun is not None or config.connect:
        from tutelage.looking.rerun_log import send_to_viewer, write_recording  # noqa: PLC0415 as above

        if config.rerun is not None:
            write_recording(config.rerun, episode, judgement)
        if config.connect:
            send_to_viewer(config.connect, episode, judgement)
    return (*wanted, *([write_layout(folder.parent)] if config.foxglove else []))
