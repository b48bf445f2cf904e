"""The part of the MATLAB 5 format that annotation files use: vectors of numbers, and cells of strings.

Ours instead of scipy.io.loadmat, which crashes the process on some damaged files: here every length is checked
before it is used, and nothing but numbers and strings is ever made of the bytes.
Source: MathWorks, "MAT-File Format" (level 5).
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from vqa_lib.datasets.annotations import DatasetError

_INT8, _UINT8, _UTF8, _UTF16, _UTF32 = 1, 2, 16, 17, 18
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CELL, _CHAR, _NUMERIC = 1, 4, range(6, 16)  # classes of arrays
_UNPACKED_LIMIT = 200_000_000  # bytes


def read_mat(path: Path, wanted: list[str]) -> dict[str, list[str] | list[float]]:
    """The wanted variables, each n x 1: strings of a cell array, or numbers.

    Raises:
        DatasetError: not a MATLAB 5 file, damaged, or a wanted variable is missing or has another shape.
    """
    expected = f"expected MATLAB variables {' and '.join(wanted)}, both n x 1"
    try:
        data = path.read_bytes()
        if b"HDF" in data[:8] or data[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
            raise ValueError("a file of MATLAB 7.3; save it with -v7")
        if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
            raise ValueError("not a MATLAB 5 file")
        order = "<" if data[126:128] == b"IM" else ">"
        variables = {}
        for kind, body in _elements(data[128:], order):
            if kind == _COMPRESSED:
                body = _unpack(body)
                kind, body = next(iter(_elements(body, order)), (0, b""))
            if kind == _MATRIX:
                array = _Array(body, order)
                if array.name in wanted:
                    variables[array.name] = _column(array)
        if missing := [name for name in wanted if name not in variables]:
            raise ValueError(f"{missing} missing")
    except (OSError, ValueError, zlib.error, struct.error) as error:
        raise DatasetError(f"{path}: {expected} ({error})") from error
    return {name: variables[name] for name in wanted}


class _Array:
    """An array's header: class, shape, name; its contents stay bytes until they are asked for."""

    def __init__(self, body: bytes, order: str):
        parts = _elements(body, order)
        flags, shape, name = (_next(parts) for _ in range(3))
        self.order = order
        self.kind = struct.unpack_from(order + "I", flags[1])[0] & 0xFF
        self.shape = np.frombuffer(shape[1], order + "i4").tolist()
        self.name = name[1].decode("ascii", "replace")
        self.contents = parts


def _column(array: _Array) -> list:
    if len(array.shape) != 2 or array.shape[1] != 1 or array.shape[0] < 0:
        raise ValueError(f"{array.name} has the shape {array.shape}")
    count = array.shape[0]
    if array.kind == _CELL:
        cells = [_Array(body, array.order) for kind, body in array.contents if kind == _MATRIX]
        values = [_string(cell) for cell in cells]
    elif array.kind in _NUMERIC:
        values = _numbers(*_next(array.contents), array.order).astype(float).tolist()
    else:
        raise ValueError(f"{array.name} is of class {array.kind}")
    if len(values) != count:
        raise ValueError(f"{array.name} announces {count} values and has {len(values)}")
    return values


def _string(array: _Array) -> str:
    if array.kind != _CHAR or (array.shape != [0, 0] and array.shape[:1] != [1]):
        raise ValueError("a cell that is not a line of text")
    kind, body = next(array.contents, (_UTF8, b""))
    big = "le" if array.order == "<" else "be"
    if kind in (_UTF8, _INT8, _UINT8):
        return body.decode("utf-8")
    if kind in (4, _UTF16):
        return body.decode(f"utf-16-{big}")
    if kind == _UTF32:
        return body.decode(f"utf-32-{big}")
    raise ValueError(f"text of type {kind}")


def _numbers(kind: int, body: bytes, order: str) -> np.ndarray:
    if kind not in _NUMBERS:
        raise ValueError(f"numbers of type {kind}")
    return np.frombuffer(body, order + _NUMBERS[kind])


def _next(parts) -> tuple[int, bytes]:
    part = next(parts, None)
    if part is None:
        raise ValueError("cut short")
    return part


def _elements(data: bytes, order: str):
    """The data elements (type, bytes) one after the other; a length beyond the end is an error."""
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise ValueError("cut short")
        kind, length = struct.unpack_from(order + "II", data, position)
        if kind >> 16:  # the small form: type and length share four bytes, the data has the other four
            kind, length, start = kind & 0xFFFF, kind >> 16, position + 4
            if length > 4:
                raise ValueError("a small element of more than 4 bytes")
            end, position = start + length, position + 8
        else:
            start = position + 8
            end = start + length
            position = end if kind == _COMPRESSED else end + -length % 8
        if end > len(data):
            raise ValueError("cut short")
        yield kind, data[start:end]


def _unpack(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(body, _UNPACKED_LIMIT)
    if not unpacker.eof:
        raise ValueError(f"a variable that is cut short, or unpacks to more than {_UNPACKED_LIMIT:,} bytes")
    return data
