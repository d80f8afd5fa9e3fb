#!/usr/bin/env bash
# Shows that llama.cpp's programs pass over what Tessera adds to importance matrices.
#
#   tools/check_imatrix_readers.sh MODEL.gguf TEXT [TYPE]
#
# llama-imatrix makes a matrix of MODEL (F16 GGUF); a copy gets every extra tensor and key of docs/imatrix.md. Then
# llama-imatrix must show the same statistics of both, and llama-quantize make the same tensors of type TYPE (IQ2_XS).
# llama.cpp's programs, and a python3 that has its gguf package, are in PATH or in the Debian root PEERS_ROOT (default
# ~/.cache/tessera-peers; entering it needs root).
set -euo pipefail
type=${3:-IQ2_XS}
root=${PEERS_ROOT:-$HOME/.cache/tessera-peers}
peers=()
if ! command -v llama-quantize >/dev/null; then
  [[ -x $root/usr/bin/llama-quantize ]] || { echo "check_imatrix_readers: no llama.cpp in PATH nor in $root" >&2; exit 1; }
  for mount in proc sys dev tmp; do mountpoint -q "$root/$mount" || mount --bind "/$mount" "$root/$mount"; done
  peers=(chroot "$root")
fi
folder=$(mktemp -d /tmp/tessera-imatrix-XXXXXX)
model=$folder/model.gguf text=$folder/text.txt
cp "$1" "$model"
cp "$2" "$text"
trap 'rm -rf "$folder"' EXIT

"${peers[@]}" llama-imatrix -m "$model" -f "$text" -o "$folder/plain.gguf" -c 512 --chunks 8 --no-ppl >"$folder/log" 2>&1 ||
  { tail -n 20 "$folder/log" >&2; exit 1; }

cat >"$folder/extend.py" <<'PYTHON'
import sys
import gguf
import numpy

source = gguf.GGUFReader(sys.argv[1])
writer = gguf.GGUFWriter(sys.argv[2], "")
writer.kv_data[0].pop("general.architecture", None)
writer.add_string("general.type", "imatrix")
writer.add_array("imatrix.datasets", [sys.argv[3]])
writer.add_uint32("imatrix.chunk_count", 8)
writer.add_uint32("imatrix.chunk_size", 512)
for key in ("method", "version", "model_hash", "data_hash", "options"):
    writer.add_string(f"tessera.{key}", "fisher")
for tensor in source.tensors:
    values = numpy.array(tensor.data)
    writer.add_tensor(tensor.name, values)
    if tensor.name.endswith(".in_sum2"):
        name = tensor.name[:-len(".in_sum2")]
        writer.add_tensor(f"{name}.in_max", numpy.sqrt(values))
        writer.add_tensor(f"{name}.sens", numpy.ones(1, numpy.float32))
        writer.add_tensor(f"{name}.fisher", numpy.ones((8, values.shape[-1]), numpy.float16))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
"${peers[@]}" python3 "$folder/extend.py" "$folder/plain.gguf" "$folder/extended.gguf" "$text"

for form in plain extended; do
  # Both under one name: it goes into what the programs print and write.
  cp "$folder/$form.gguf" "$folder/imatrix.gguf"
  "${peers[@]}" llama-imatrix -m "$model" --in-file "$folder/imatrix.gguf" --show-statistics 2>/dev/null >"$folder/$form.statistics"
  "${peers[@]}" llama-quantize --imatrix "$folder/imatrix.gguf" "$model" "$folder/$form.quantized" "$type" >"$folder/log" 2>&1 ||
    { tail -n 20 "$folder/log" >&2; exit 1; }
done
grep -q 'blk\.' "$folder/plain.statistics" || { echo "llama-imatrix shows no statistics" >&2; exit 1; }
cmp "$folder/plain.statistics" "$folder/extended.statistics"
cmp "$folder/plain.quantized" "$folder/extended.quantized"
echo "llama-imatrix shows the same statistics and llama-quantize writes the same file with and without the extras"
