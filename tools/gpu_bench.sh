#!/usr/bin/env bash
# Measures Calco on a machine with a GPU in under ten minutes, and leaves everything in one folder:
#
#   tools/gpu_bench.sh [FOLDER]        DEVICE=cpu STEPS=4 tries the script itself where there is no GPU
#
# bench.json, bench.md, bench.svg: `calco bench` beside the reference loop. ways.md: images per second of the published
# network at batch 1 and 16 in single and half precision, plain and compiled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(realpath -m "${1:-gpu-bench}")
device=${DEVICE:-cuda} steps=${STEPS:-150}
python=.venv/bin/python
[ -x "$python" ] || python=python3
mkdir -p "$out/runs"
calco() { timeout 300 "$python" -m calco "$@"; }

"$python" - "$device" <<'PY'
import sys

from calco.networks.machine import choose_device

print("device:", choose_device(sys.argv[1]))
PY
printf '<!-- calco bench: begin -->\n<!-- calco bench: end -->\n' > "$out/bench.md"
calco bench --device "$device" --only training,presets,inference --repeats 3 \
    --json "$out/bench.json" --plot "$out/bench.svg" --markdown "$out/bench.md"

printf '| batch | precision | compiled | images/s |\n|--:|---|---|--:|\n' > "$out/ways.md"
for batch in 1 16; do
    for precision in fp32 bf16; do
        for compiled in "" --compile; do
            run=$out/runs/$batch-$precision$compiled
            rm -rf "$run"
            if ! calco train openmoji --preset pix2pix --size 256 --resize 286 --batch "$batch" --epochs 0 --steps "$steps" \
                --precision "$precision" --device "$device" ${compiled:+"$compiled"} --limit 300 --validate-steps 100000 \
                --log-steps 10 --out "$run" > "$run.log" 2>&1; then
                printf '| %s | %s | %s | failed: %s |\n' "$batch" "$precision" "${compiled:-no}" "$(tail -1 "$run.log")" >> "$out/ways.md"
                continue
            fi
            "$python" - "$run" "$batch" "$precision" "${compiled:-no}" >> "$out/ways.md" <<'PY'
import statistics
import sys

from calco import journal

run, batch, precision, compiled = sys.argv[1:]
rates = [row["images_per_s"] for row in journal.read(f"{run}/log.jsonl") if "train" in row]
steady = rates[len(rates) // 2 :]  # the first steps choose kernels and compile
print(f"| {batch} | {precision} | {compiled} | {statistics.median(steady):.1f} |")
PY
        done
    done
done
cat "$out/ways.md"
