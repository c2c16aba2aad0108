"""What a page may say to the server, as JSON text over one WebSocket. Anything else is refused, with the reason.

The other direction is `tutelage.ui.clients`; both are described in `docs/reference/page.md`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tutelage_core.errors import ConfigurationError

MAX_MESSAGE_BYTES = 4096
"""A longer message ends the connection."""

LATEST_MS = 2e12
"""A clock of a page shows no more [ms]: its seconds fit into 32 bits."""

Name = Annotated[str, Field(max_length=64, pattern=r"^[\w .:/-]*$")]
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of a person's words."""

Axis = Annotated[float, Field(ge=-1.0, le=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A whole number that a browser can hold."""


class Message(BaseModel):
    """What all messages share: no other fields, no conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Watch(Message):
    """Which cameras the page shows; pictures of others do not come."""

    type: Literal["watch"]
    cameras: Annotated[list[Name], Field(max_length=16)]


class Seen(Message):
    """A picture is on the screen: the next one of its camera may come."""

    type: Literal["seen"]
    picture: Count


class Ping(Message):
    """Asks for a pong with the same number; a page measures its round trip with it."""

    type: Literal["ping"]
    number: Count


class Stop(Message):
    """Stops the arm. Whoever is connected may."""

    type: Literal["stop"]
    reason: Line = ""


class Drive(Message):
    """Asks for the wheel, or gives it back."""

    type: Literal["drive"]
    want: bool


class HandMessage(Message):
    """What the hand at the page asks for; sent many times a second while the enabling key is held.

    Attributes:
        number: grows with each of them in one connection.
        ms: the page's own clock [ms]; only differences count.
        held: the enabling key is held.
        axes: share of full speed: x y z of the TCP, then turns about them, in the base frame.
        gripper: 0 closed .. 1 open; None leaves it as it is.
        speed: share of the full speed that is used.
    """

    type: Literal["hand"]
    number: Count
    ms: Annotated[float, Field(ge=0.0, le=LATEST_MS)]
    held: bool
    axes: Annotated[list[Axis], Field(min_length=6, max_length=6)]
    gripper: Share | None = None
    speed: Share = 1.0


class Request(Message):
    """Something that is answered: the answer carries the same `id`."""

    id: Count


class Event(Request):
    """An event for the session's table."""

    type: Literal["event"]
    event: Literal["START", "PAUSE", "CLEAR_STOP", "EPISODE_ENDED"]


class Correct(Request):
    """A phrase that corrects the policy while it drives."""

    type: Literal["correct"]
    sentence: Line


class Label(Request):
    """A person's judgement of an episode; without a name the one that runs, else the last one."""

    type: Literal["label"]
    episode: Name = ""
    success: bool
    failure: Name = ""


class Run(Request):
    """Episodes one after the other, with seeds one after the other, until one ends by a stop or a person's wish."""

    type: Literal["run"]
    task: Line
    seed: Count = 0
    episodes: Annotated[int, Field(ge=1, le=1000)] = 1
    max_steps: Annotated[int, Field(ge=0, le=100_000)] = 0
    record: bool = True
    driver: Literal["policy", "hand"] = "policy"


class Again(Request):
    """The last episode once more, or the next seed; an episode that runs is ended first."""

    type: Literal["again"]
    what: Literal["redo", "next"]


class Launch(Request):
    """Brings the graph up with what is installed."""

    type: Literal["launch"]
    robot: Name
    task: Name
    policy: Name
    rewards: Annotated[list[Name], Field(max_length=8)]


class Shutdown(Request):
    """Takes down the graph that this server brought up."""

    type: Literal["shutdown"]


AnyRequest = Event | Correct | Label | Run | Again | Launch | Shutdown
AnyMessage = Watch | Seen | Ping | Stop | Drive | HandMessage | AnyRequest

_ADAPTER: TypeAdapter[AnyMessage] = TypeAdapter(Annotated[AnyMessage, Field(discriminator="type")])


def parse(text: str) -> AnyMessage:
    """Return the message in `text`.

    Raises:
        ConfigurationError: it is none; the reason names the field and what is legal.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{place or 'message'}: {first['msg']}") from None
