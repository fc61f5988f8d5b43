# Two commands do everything on a fresh machine: `make demo` and `make test`; `make apps` adds the phones' languages.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODEL := assets/emoji
TRAINING := $(MODEL)/training
# The tests run in a process a core; their networks are small, so one thread each is enough.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=logical --dist=loadfile

.PHONY: demo test test-full lint docs apps data train student android-tables clean

demo: $(INSTALLED)
	$(BIN)/mobile-diffusion demo --model $(MODEL) --build build

test: $(INSTALLED) lint
	$(PYTEST) -m "not full"

test-full: $(INSTALLED) lint
	$(PYTEST)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

# The documentation as a site, in build/docs; no warning is let through and no network is used.
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -q -W --keep-going -E -b html -d build/docs-trees docs build/docs

# The sample apps, all of it: installs the compilers (as root on Debian; 4 GB), runs the suites in four languages, and draws
# the same pictures by each into build/apps.png.
apps: $(INSTALLED)
	apps/runner/install-tools.sh
	apps/android/install-tools.sh
	apps/ios/install-tools.sh
	$(PYTEST) -m "not full" tests/apps
	[ -d build/android ] || $(BIN)/python -m export android $(MODEL) --out build/android --runtime xnnpack
	$(MAKE) -C apps/runner
	$(MAKE) -C apps/android host apk
	$(MAKE) -C apps/ios draw
	$(BIN)/python apps/sheet.py --bundle build/android --out build/apps.png

# Every table of docs/android.md, measured anew: on a quiet machine, about two hours; OpenVINO is only compared with.
android-tables: $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check -q openvino==2026.4.1
	$(BIN)/python -m benchmarks.android.speed
	$(BIN)/python -m benchmarks.android.delegation --work build/delegation --naive
	$(BIN)/python -m benchmarks.android.precisions --work build/precisions
	$(BIN)/python -m benchmarks.android.quality --work build/precisions
	$(MAKE) -C apps/runner
	$(BIN)/python -m benchmarks.android.memory --work build/memory emoji:fp32 emoji:fp16 emoji:int8
	$(BIN)/python -m benchmarks.documents.android

data: $(INSTALLED)
	$(BIN)/mobile-diffusion data fetch --out data/emoji

train: data
	$(BIN)/mobile-diffusion train autoencoder $(TRAINING)/autoencoder.toml --run runs/autoencoder
	$(BIN)/mobile-diffusion train unet $(TRAINING)/unet-2.toml --run runs/unet-2 --out runs/emoji

# SnapFusion's method on what `make train` made: a wide teacher, a slim U-Net, 8 steps of one evaluation, a slim decoder.
student:
	$(BIN)/mobile-diffusion train robust $(TRAINING)/robust.toml --model runs/emoji --run runs/robust
	[ -d runs/emoji-wide-0 ] || $(BIN)/mobile-diffusion train grow runs/emoji --average runs/robust --preset emoji-wide --out runs/emoji-wide-0
	$(BIN)/mobile-diffusion train robust $(TRAINING)/wide.toml --model runs/emoji-wide-0 --run runs/wide --out runs/emoji-wide
	$(BIN)/mobile-diffusion train evolve $(TRAINING)/wide.toml --table $(TRAINING)/blocks.json --target-ms 14.8 --batches 2 \
		--model runs/emoji-wide --run runs/evolution --out runs/emoji-evolved
	$(BIN)/mobile-diffusion train robust $(TRAINING)/teacher.toml --model runs/emoji-wide --run runs/teacher --out runs/emoji-teacher
	$(BIN)/mobile-diffusion train robust $(TRAINING)/slim.toml --model runs/emoji-evolved --run runs/slim --out runs/emoji-slim
	$(BIN)/mobile-diffusion train distil $(TRAINING)/student-16.toml --teacher runs/emoji-teacher --student runs/emoji-slim \
		--run runs/student-16 --out runs/emoji-16
	$(BIN)/mobile-diffusion train distil $(TRAINING)/student-8.toml --teacher runs/emoji-slim --student runs/emoji-16 \
		--run runs/student-8 --out runs/emoji-8
	$(BIN)/mobile-diffusion train decoder $(TRAINING)/decoder.toml --model runs/emoji-8 --run runs/decoder --out runs/emoji-phone

# torch goes first: a resolver that sees it among the others takes a build with gigabytes of CUDA libraries.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check -q -e ".[export,train,quality,test,docs]"
	touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
