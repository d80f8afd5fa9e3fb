"""Reads the float32 tensors of a GGUF file, such as an importance matrix; see shared/formats/GGUF.md for the format."""
import array
import math
import struct
import sys

FIXED_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
F32 = 0
DEFAULT_ALIGNMENT = 32


class Header:
    """A cursor over the bytes before the tensors' data."""

    def __init__(self, content):
        self.content = content
        self.place = 0

    def number(self, form):
        value = struct.unpack_from("<" + form, self.content, self.place)[0]
        self.place += struct.calcsize("<" + form)
        return value

    def string(self):
        length = self.number("Q")
        self.place += length
        return self.content[self.place - length:self.place].decode()

    def value(self, kind):
        """An unsigned 32-bit number as such; everything else is passed over."""
        if kind == 4:
            return self.number("I")
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            element, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.value(element)
        else:
            self.place += FIXED_SIZES[kind]
        return None


def read_tensors(path):
    """{name: values as an array of floats} of every F32 tensor."""
    with open(path, "rb") as file:
        content = file.read()
    header = Header(content)
    if header.number("4s") != b"GGUF":
        raise RuntimeError(f"{path} is no GGUF file")
    header.number("I")
    tensor_count, key_count = header.number("Q"), header.number("Q")
    alignment = DEFAULT_ALIGNMENT
    for _ in range(key_count):
        key, kind = header.string(), header.number("I")
        value = header.value(kind)
        if key == "general.alignment":
            alignment = value
    places = {}
    for _ in range(tensor_count):
        name = header.string()
        shape = [header.number("Q") for _ in range(header.number("I"))]
        kind, offset = header.number("I"), header.number("Q")
        if kind == F32:
            places[name] = (offset, math.prod(shape))
    start = -(-header.place // alignment) * alignment
    tensors = {}
    for name, (offset, count) in places.items():
        values = array.array("f")
        values.frombytes(content[start + offset:start + offset + 4 * count])
        if sys.byteorder == "big":
            values.byteswap()
        tensors[name] = values
    return tensors
