#!/usr/bin/env python3
"""Compares two GGUF files: metadata key by key, tensors bit for bit. Needs gguf-py.

  compare_gguf.py LEFT RIGHT

Prints one line per difference and a summary; the exit code is 0 when there is none, else 1.
"""
import sys

import numpy
from gguf import GGUFReader

# Written by the reader for the header, not keys of the file.
HEADER_FIELDS = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"}


def fields_of(reader):
    return {name: field for name, field in reader.fields.items() if name not in HEADER_FIELDS}


def shown(value):
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "..."


def compare_fields(left, right):
    for name in list(left) + [name for name in right if name not in left]:
        if name not in right:
            yield f"key {name} = {shown(left[name].contents())}: only in the first file"
        elif name not in left:
            yield f"key {name} = {shown(right[name].contents())}: only in the second file"
        elif left[name].types != right[name].types:
            yield f"key {name}: types {left[name].types} and {right[name].types}"
        elif left[name].contents() != right[name].contents():
            yield f"key {name}: {shown(left[name].contents())} and {shown(right[name].contents())}"
    if list(left) != list(right) and set(left) == set(right):
        yield "the keys come in different orders"


def compare_tensors(left, right):
    for name in list(left) + [name for name in right if name not in left]:
        if name not in right:
            yield f"tensor {name}: only in the first file"
        elif name not in left:
            yield f"tensor {name}: only in the second file"
        elif left[name].tensor_type != right[name].tensor_type:
            yield f"tensor {name}: types {left[name].tensor_type.name} and {right[name].tensor_type.name}"
        elif list(left[name].shape) != list(right[name].shape):
            yield f"tensor {name}: shapes {list(left[name].shape)} and {list(right[name].shape)}"
        else:
            one = numpy.ascontiguousarray(left[name].data).view(numpy.uint8)
            other = numpy.ascontiguousarray(right[name].data).view(numpy.uint8)
            if not numpy.array_equal(one, other):
                yield f"tensor {name}: {int((one != other).sum())} of {one.size} bytes differ"
    if list(left) != list(right) and set(left) == set(right):
        yield "the tensors come in different orders"


def main():
    left, right = GGUFReader(sys.argv[1]), GGUFReader(sys.argv[2])
    left_fields, right_fields = fields_of(left), fields_of(right)
    left_tensors = {tensor.name: tensor for tensor in left.tensors}
    right_tensors = {tensor.name: tensor for tensor in right.tensors}
    differences = list(compare_fields(left_fields, right_fields))
    differences += compare_tensors(left_tensors, right_tensors)
    for difference in differences:
        print(difference)
    with open(sys.argv[1], "rb") as one, open(sys.argv[2], "rb") as other:
        same_bytes = one.read() == other.read()
    print(f"{len(left_fields)} keys, {len(left_tensors)} tensors compared: {len(differences)} differences; "
          f"whole files {'are' if same_bytes else 'are not'} identical")
    sys.exit(1 if differences else 0)


main()
