# The phone book: every habit is one word.  CMake presets do the work (CMakePresets.json); builds are in build/<preset>/.
S ?= 60
T ?= json
F ?= all
PREFIX ?= /usr/local

.PHONY: release dev quick test check asan tsan cov fuzz bench fmt lint wheel test-python docs install clean help

release: ## the optimised build (the default)
	@tools/build release

dev: ## the debug build, warnings are errors
	@tools/build dev

quick: dev ## debug build and its fast tests, under a minute
	@ctest --test-dir build/dev -j "$$(nproc)" --output-on-failure -L 'unit|kernels|ir|ops' | tail -n 5

test: ## everything (./run-tests)
	@./run-tests

check: release ## the static checks: layers, sizes, banned calls, headers, objects, exports
	@tools/check_layers.py
	@tools/check_size.py
	@tools/check_banned.py
	@tools/check_paths.py
	@tools/check_headers.py
	@tools/check_objects.py build/release
	@tools/check_exports.py build/release
	@tools/gen_docs.py build/release/deepseek --check

asan: ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/build asan && ctest --test-dir build/asan -j "$$(nproc)" --output-on-failure

tsan: ## tests under ThreadSanitizer
	@tools/build tsan && ctest --test-dir build/tsan -j "$$(nproc)" --output-on-failure -R 'pool|threads|context'

cov: ## line coverage of the tests
	@tools/build cov && ctest --test-dir build/cov -j "$$(nproc)" | tail -n 3; tools/coverage.py build/cov

fuzz: ## one fuzzer: make fuzz T=json S=60
	@tools/build fuzz && mkdir -p build/fuzz/found && build/fuzz/fuzz/fuzz_$(T) -max_total_time=$(S) -artifact_prefix=build/fuzz/found/ build/fuzz/found fuzz/corpus/$(T)

bench: release ## kernels against the machine's peak: make bench F=gemm
	@build/release/deepseek bench --kernels $(if $(filter all,$(F)),,--family $(F))

fmt: ## clang-format over the sources
	@git ls-files '*.c' '*.h' | grep -v unicode_tables | xargs clang-format -i

lint: dev ## clang-tidy over the library
	@git ls-files 'src/*.c' | grep -v -e unicode_tables -e _avx | xargs clang-tidy -quiet -p build/dev

wheel: ## the Python package: dist/deepseek_core-*.whl
	@bindings/python/build_wheel.py

test-python: ## the wheel in an environment of its own, and its tests
	@tools/test-python

docs: release ## docs/ops.md and docs/kernels.md from the registries
	@tools/gen_docs.py build/release/deepseek

install: release ## make install PREFIX=/usr/local
	@cmake --install build/release --prefix "$(PREFIX)"

clean: ## remove the builds (build/models stays)
	@rm -rf dist build/python-venv build/release build/dev build/dev-clang build/asan build/tsan build/cov build/fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
