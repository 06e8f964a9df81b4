"""One ONNX model and its card: picture in, Detections out.  The door to onnxruntime.

onnxruntime's Linux wheels (from 1.29 on) report to their maker by default: sessions, models, times, and a
device id that they keep in the home directory.  Nothing of that kind leaves this box: it is switched off
before the library is loaded, the only moment at which that works completely.

May import: errors vision; onnxruntime, cv2.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edgeagent.errors import ConfigError
from edgeagent.sources.motion_eye import MotionEye
from edgeagent.vision.card import Card, read_card
from edgeagent.vision.decoders import Letterbox, blank, decode, fill, letterbox
from edgeagent.vision.detections import Detections

__all__ = ["Detector", "Eye", "Picture", "open_eye", "sha256_of"]

Picture = npt.NDArray[np.uint8]

_FOREIGN = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)


class Eye(Protocol):
    """What finds vehicles in pictures: a network, or whatever moves.

    `may_rest`: while nothing moves its last answer still holds.
    """

    card: Card
    sha256: str
    may_rest: bool

    @property
    def scaled(self) -> Picture: ...  # noqa: D102  see Detector

    def look(self, picture: Picture) -> Detections: ...  # noqa: D102

    def shrink(self, picture: Picture) -> Picture: ...  # noqa: D102

    def find(self, step: int = 0) -> Detections: ...  # noqa: D102


def open_eye(model: str, find: Callable[[str], Path]) -> Eye:
    """What `model = "…"` of a camera means: `motion`, a shipped name or a path.

    Args:
        model: as in the config.
        find: name or path -> .onnx file.
    """
    return MotionEye() if model == "motion" else Detector(find(model))


class Detector:
    """A loaded model.

    Args:
        model: path of the `.onnx` file; the card is the `.toml` beside it.

    Raises:
        ConfigError: `camera.no-model`, `camera.no-card`, `camera.card-wrong`, `camera.model-differs`
            (truncated or another file), `camera.model-broken`, `camera.model-input`.
    """

    may_rest = True

    def __init__(self, model: Path) -> None:
        self.card: Card = _card_beside(model)
        self.sha256 = sha256_of(model)
        if self.sha256 != self.card.model.sha256.lower():
            raise ConfigError(
                "camera.model-differs",
                file=str(model),
                got=self.sha256[:12],
                expected=self.card.model.sha256[:12],
                size=model.stat().st_size,
            )
        self._model = model
        self._session, self._input = _session(model, self.card)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._shown = (0, 0)  # width and height of the picture
        self._sights: dict[int, _Sight] = {}
        self._scaled: Picture = np.zeros((1, 1, 3), np.uint8)
        # The first run allocates and may fail on shapes: now, not on the first vehicle.
        self.shrink(np.full((self.card.input.height, self.card.input.width, 3), self.card.input.pad, np.uint8))
        for step in reversed(range(len(self.card.input.costs))):
            self.find(step)

    @property
    def scaled(self) -> Picture:
        """The last picture as the model saw it, without padding: (h, w, 3) uint8 BGR."""
        return self._scaled

    def look(self, picture: Picture) -> Detections:
        """Detect vehicles.

        Args:
            picture: (H, W, 3) uint8 BGR.

        Returns:
            One box per vehicle, in pixels of the picture.

        Raises:
            ConfigError: `camera.model-broken` or `camera.model-output`.
        """
        self.shrink(picture)
        return self.find()

    def shrink(self, picture: Picture) -> Picture:
        """Scale a picture (H, W, 3) uint8 BGR to what the model will see: `scaled`."""
        high, wide = picture.shape[:2]
        if self._shown != (wide, high):
            self._shown = (wide, high)
            self._sights = {}
        box = self._sight(0).box
        self._scaled = _resized(picture, box)
        return self._scaled

    def find(self, step: int = 0) -> Detections:
        """Detect vehicles in the picture that was shrunk last; see `look`.

        Args:
            step: how far down the card's smaller sizes to go: cheaper, and blinder for what is far.
        """
        sight = self._sight(step)
        fill(sight.tensor, _resized(self._scaled, sight.box), sight.box, sight.card.input)
        try:
            outputs = self._session.run(self._outputs, {self._input: sight.tensor})
        except _FOREIGN as error:
            raise ConfigError("camera.model-broken", file=str(self._model), why=_first_line(error)) from error
        return decode(dict(zip(self._outputs, outputs, strict=True)), sight.card, sight.box)

    def _sight(self, step: int) -> _Sight:
        if step not in self._sights:
            card = self.card.at(step)
            self._sights[step] = _Sight(card, letterbox(*self._shown, card.input), blank(card.input))
        return self._sights[step]


class _Sight(NamedTuple):
    """One input size: the card as it is for that size, how the picture lies in it, and its tensor."""

    card: Card
    box: Letterbox
    tensor: npt.NDArray[np.float32]


def _resized(picture: Picture, box: Letterbox) -> Picture:
    size = (box.width, box.height)
    if picture.shape[1::-1] == size:
        return picture
    shrinks = box.width < 0.6 * picture.shape[1]  # bilinear skips pixels when it shrinks by more
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def sha256_of(file: Path) -> str:
    """Hex SHA-256 of a file.

    Raises:
        ConfigError: `camera.no-model`: it is not there or may not be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError("camera.no-model", file=str(file), why=error.strerror or str(error)) from error


def _card_beside(model: Path) -> Card:
    if not model.is_file():
        raise ConfigError("camera.no-model", file=str(model), why=os.strerror(errno.ENOENT))
    file = model.with_suffix(".toml")
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("camera.no-card", file=str(file), model=model.name) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("camera.card-wrong", file=str(file), why=str(error)) from error
    return read_card(data, file=str(file))


def _session(model: Path, card: Card) -> tuple[onnxruntime.InferenceSession, str]:
    options = onnxruntime.SessionOptions()
    # One thread: two were slower than one for every model measured on two shared cores; and a
    # spinning pool burns a fifth of a core between looks (22.9 % against 1.3 % at 5 looks/s).
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except _FOREIGN as error:
        raise ConfigError("camera.model-broken", file=str(model), why=_first_line(error)) from error
    taken = session.get_inputs()
    wanted = [1, 3, card.input.height, card.input.width]
    if card.input.smaller and any(isinstance(d, int) for d in taken[0].shape[2:]):
        got = f"{taken[0].type} {taken[0].shape}"
        raise ConfigError("camera.model-input", file=str(model), got=got, expected="[1, 3, height, width], any size")
    fits = len(taken) == 1 and len(taken[0].shape) == len(wanted) and taken[0].type == "tensor(float)"
    # A dynamic dimension is a name or None; a fixed one has to be what the card says.
    if not fits or any(isinstance(d, int) and d != w for d, w in zip(taken[0].shape, wanted, strict=True)):
        got = ", ".join(f"{one.type} {one.shape}" for one in taken)
        raise ConfigError("camera.model-input", file=str(model), got=got, expected=str(wanted))
    return session, taken[0].name


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
