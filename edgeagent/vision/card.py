"""A model's card: what the picture must look like, what the numbers mean.

`vehicles.onnx` has `vehicles.toml` beside it.  Sections that only people read (`[model]` beyond
name and sha256, `[scores]`, `[speed]`) are not looked at here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal

import msgspec

from edgeagent.errors import ConfigError

__all__ = ["PERSON", "VEHICLES", "Card", "InputCard", "ModelCard", "OutputCard", "ThresholdCard", "Trust", "read_card"]

VEHICLES = ("car", "bus", "truck", "motorcycle", "bicycle", "vehicle")
"""Classes that are vehicles, in the order they are reported; `vehicle` where nobody can say which."""

PERSON = "person"
"""Counted beside the vehicles, never among them, and only where a card vouches for it."""

Trust = Literal["good", "hint", "none"]
"""How far a class name may be believed: published, published as doubtful, or not published."""

_STRIDE = 32
_STRIDES = (8, 16, 32, 64)


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """`[model]`: the name people use, and the hash that ties the card to one file."""

    name: str
    sha256: str


class InputCard(msgspec.Struct, frozen=True, kw_only=True):
    """`[input]`: float32 (1, 3, height, width); pixel values 0..255 less `mean`, over `scale`.

    Attributes:
        width: pixels.
        height: pixels.
        colour: channel order.
        fit: where the scaled picture lies in the input; the rest is `pad`.
        pad: grey value of the rest.
        mean, scale: per channel, in the order of `colour`.
        smaller: further (width, height) that the same file takes, largest first; a worker over its share falls
            back to them, and far vehicles are lost before near ones.
    """

    width: int
    height: int
    smaller: tuple[tuple[int, int], ...] = ()
    colour: Literal["bgr", "rgb"] = "bgr"
    fit: Literal["letterbox-centre", "letterbox-topleft", "stretch"] = "letterbox-centre"
    pad: int = 114
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def costs(self) -> tuple[float, ...]:
        """Pixels of each size as a share of the first one's, which is 1."""
        return (1.0, *(wide * high / (self.width * self.height) for wide, high in self.smaller))


class OutputCard(msgspec.Struct, frozen=True, kw_only=True):
    """`[output]`: which decoder understands the numbers; see `decoders`.

    Attributes:
        decoder: family of the model's end.
        strides: of a nanodet's or picodet's levels, in the order of its rows.
        box_form: how a detr's boxes are written: relative centre and size, or pixels of the input.
        logits: whether a detr's scores still need the sigmoid.
    """

    decoder: Literal["yolox", "boxes-scores", "nanodet", "picodet", "detr"]
    strides: tuple[int, ...] = (8, 16, 32, 64)
    box_form: Literal["cxcywh", "xyxy"] = "cxcywh"
    logits: bool = True


class ThresholdCard(msgspec.Struct, frozen=True, kw_only=True):
    """`[threshold]`.

    Attributes:
        score: a box at or above this may begin a track.
        low: a box at or above this may continue one; 0.7 of `score` unless said.  A network whose
            scores are spread wider (objectness times class) does better with less.
    """

    score: float
    low: float | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a card that a detector needs.

    Attributes:
        classes: class name by column of the model's scores; columns not named are not looked at.
        trust: by class name; vehicles not named here are "good", persons "none".
    """

    model: ModelCard
    input: InputCard
    output: OutputCard
    classes: dict[int, str]
    threshold: ThresholdCard
    trust: dict[str, Trust] = {}

    @property
    def low(self) -> float:
        """Lowest score that is still a hint of a vehicle."""
        return 0.7 * self.threshold.score if self.threshold.low is None else self.threshold.low

    def at(self, step: int) -> Card:
        """The card with the input's size that many steps down; 0 is the card itself."""
        if not step:
            return self
        width, height = self.input.smaller[step - 1]
        return msgspec.structs.replace(self, input=msgspec.structs.replace(self.input, width=width, height=height))

    @property
    def vehicles(self) -> tuple[str, ...]:
        """Vehicle classes this model can name, in reporting order."""
        return tuple(name for name in VEHICLES if name in self.classes.values())

    @property
    def counted(self) -> tuple[str, ...]:
        """Classes that are counted: the vehicles, and persons where the card vouches for them."""
        persons = PERSON in self.classes.values() and self.trust_in(PERSON) != "none"
        return (*self.vehicles, PERSON) if persons else self.vehicles

    def trust_in(self, name: str) -> Trust:
        """How far this class name may be believed."""
        return self.trust.get(name, "none" if name == PERSON else "good")


def read_card(data: Mapping[str, object], *, file: str) -> Card:
    """Check a parsed card.

    Args:
        data: the parsed TOML.
        file: where it came from, for the message.

    Raises:
        ConfigError: `camera.card-wrong`, with the reason.
    """
    try:
        card = msgspec.convert(data, Card, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError("camera.card-wrong", file=file, why=str(error)) from error
    why = _fault(card)
    if why:
        raise ConfigError("camera.card-wrong", file=file, why=why)
    return card


def _fault(card: Card) -> str:
    """What types cannot express; empty when nothing is wrong."""
    sizes = [(card.input.width, card.input.height), *card.input.smaller]
    if not all(0 < wide <= 4096 and 0 < high <= 4096 for wide, high in sizes):  # noqa: PLR2004  no camera model is larger
        return "input.width and input.height must be 1..4096"
    if card.output.decoder == "yolox" and any(wide % _STRIDE or high % _STRIDE for wide, high in sizes):
        return "a yolox input must be a multiple of 32 in width and height"
    if any(w > wide or h > high or (w, h) == (wide, high) for (wide, high), (w, h) in itertools.pairwise(sizes)):
        return "input.smaller must go from larger to smaller"
    if card.output.decoder in ("nanodet", "picodet") and not all(s in _STRIDES for s in card.output.strides):
        return f"output.strides must be some of {', '.join(map(str, _STRIDES))}"
    if min(card.input.scale) <= 0:
        return "input.scale must be above 0"
    if not 0 <= card.low <= card.threshold.score <= 1:
        return "threshold must be 0 <= low <= score <= 1"
    if not card.vehicles:
        return f"classes names none of {', '.join(VEHICLES)}"
    if min(card.classes) < 0:
        return "classes must be numbered from 0"
    strangers = sorted(set(card.trust) - set(card.classes.values()))
    return f"trust names {', '.join(strangers)}, which is no class of this model" if strangers else ""
