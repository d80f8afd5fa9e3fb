# The everyday commands. Each does its own set-up; CMakePresets.json holds the configurations behind them.
#
#   make         builds build/tessera
#   make demo    builds, then takes the demo model through conversion and quantization into demo-output/
#   make test    builds everything and runs all tests
#   make lint    checks formatting and runs clang-tidy
#   make bench   times every codec and the allocation, then compares speed with llama-quantize on generated models
#   make fuzz    runs every fuzz target for FUZZ_SECONDS (default 60) seconds
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
FUZZ_SECONDS ?= 60

.PHONY: all demo test lint bench fuzz clean setup-% configure-%

all: configure-release
	cmake --build build --target tessera

demo: all
	tools/demo.sh build/tessera demo-output

# ctest lists skipped tests after its summary; the summary is repeated then, so that it always ends the output.
test: setup-test configure-release
	cmake --build build
	status=0; ctest --preset release --output-log build/test.log || status=$$?; \
	if grep -q '^The following tests did not run:' build/test.log; then \
	  grep -E '% tests passed|^Total Test time' build/test.log; fi; exit $$status

lint: setup-lint configure-lint
	tools/lint.sh build/lint

bench: setup-bench all
	cmake -B build -DTESSERA_BUILD_BENCHMARKS=ON && cmake --build build
	build/bench/codec_benchmark
	build/bench/allocate_benchmark
	bench/quantize_speed.py --program build/tessera --make-model build/bench/make_model

fuzz: setup-clang configure-fuzz
	cmake --build build/fuzz
	tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

clean:
	rm -rf build demo-output

setup-%:
	@tools/setup.sh $*

# The release preset builds in build itself, the others in build/PRESET. An existing configuration is kept.
configure-release: setup-build
	@[[ -f build/build.ninja ]] || cmake --preset release

configure-%: setup-build
	@[[ -f build/$*/build.ninja ]] || cmake --preset $*
