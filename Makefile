# Two commands do everything on a fresh machine: `make demo` and `make test`; `make apps` adds the phones' languages.
# Every path is relative, and every tool is run as a module of the environment's Python: then the path of the checkout may
# be long and may have spaces, quotes and umlauts, which the first line of an installed script may not.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EXTRAS := export,train,quality,test,docs
# Installs the versions of requirements.lock.
PIP := -m pip --disable-pip-version-check -q
LOCKED := $(BIN)/python $(PIP) install --constraint requirements.lock
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
# The command `mobile-diffusion`.
CLI := $(BIN)/python -m export.cli.main
MODEL := assets/emoji
TRAINING := $(MODEL)/training
# The tests run in one process per core; their networks are small, so one thread each is enough. Files keep the order of
# tests/conftest.py, which puts the long ones first.
DISTRIBUTED := --numprocesses=logical --dist=loadfile --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(DISTRIBUTED)

.PHONY: demo test test-full test-awkward-path lint docs lock mutation fuzz robustness apps data train student android-tables clean

demo: $(INSTALLED)
	$(CLI) demo --model $(MODEL) --build build

test: $(INSTALLED) lint
	$(PYTEST) -m "not full"

test-full: $(INSTALLED) lint
	$(PYTEST)

# The apps' tests from a path with a space, an umlaut and quotes.
test-awkward-path: $(INSTALLED)
	tests/apps/awkward-path.sh $(DISTRIBUTED) -m "not full"

# Plants every fault of benchmarks/mutation/catalogue.py into programs of every runtime; fails when one is not found.
mutation: $(INSTALLED)
	$(BIN)/python -m benchmarks.mutation.run --work build/mutation
	$(BIN)/python -m benchmarks.documents.mutation

# A million damaged files, given to everything that reads files of strangers; takes hours.
fuzz: $(INSTALLED)
	$(BIN)/python -m benchmarks.fuzz.run --work build/fuzz
	$(BIN)/python -m benchmarks.documents.fuzz

# Kills commands in front of every call and at random, fills their disk, starts two at once; takes hours, Linux and gcc.
robustness: $(INSTALLED)
	$(BIN)/python -m benchmarks.robustness.run --work build/robustness
	$(BIN)/python -m benchmarks.robustness.run --work build/robustness --environments
	$(BIN)/python -m benchmarks.documents.robustness

lint: $(INSTALLED)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

# The documentation as a site, in build/docs; no warning is let through and no network is used.
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -q -W --keep-going -E -b html -d build/docs-trees docs build/docs

# The sample apps, all of it: installs the compilers (as root on Debian; 4 GB), runs the suites in five languages, and draws
# the same pictures by those with ExecuTorch into build/apps.png.
apps: $(INSTALLED)
	apps/runner/install-tools.sh
	apps/android/install-tools.sh
	apps/ios/install-tools.sh
	apps/web/install-tools.sh
	APPS_REQUIRED="runner android ios web" $(PYTEST) -m "not full" tests/apps
	[ -d build/android ] || $(CLI) export android $(MODEL) --out build/android --runtime xnnpack
	$(MAKE) -C apps/runner
	$(MAKE) -C apps/android host apk
	$(MAKE) -C apps/ios draw
	$(BIN)/python apps/sheet.py --bundle build/android --out build/apps.png

# Every table of docs/android.md, measured anew: on a quiet machine, about two hours; OpenVINO is only compared with.
android-tables: $(INSTALLED)
	$(BIN)/python $(PIP) install openvino==2026.4.1
	$(BIN)/python -m benchmarks.android.speed
	$(BIN)/python -m benchmarks.android.delegation --work build/delegation --naive
	$(BIN)/python -m benchmarks.android.precisions --work build/precisions
	$(BIN)/python -m benchmarks.android.quality --work build/precisions
	$(MAKE) -C apps/runner
	$(BIN)/python -m benchmarks.android.memory --work build/memory emoji:fp32 emoji:fp16 emoji:int8
	$(BIN)/python -m benchmarks.documents.android

data: $(INSTALLED)
	$(CLI) data fetch --out data/emoji

train: data
	$(CLI) train autoencoder $(TRAINING)/autoencoder.toml --run runs/autoencoder
	$(CLI) train unet $(TRAINING)/unet-2.toml --run runs/unet-2 --out runs/emoji

# SnapFusion's method on what `make train` made: a wide teacher, a slim U-Net, 8 steps of one evaluation, a slim decoder.
student:
	$(CLI) train robust $(TRAINING)/robust.toml --model runs/emoji --run runs/robust
	[ -d runs/emoji-wide-0 ] || $(CLI) train grow runs/emoji --average runs/robust --preset emoji-wide --out runs/emoji-wide-0
	$(CLI) train robust $(TRAINING)/wide.toml --model runs/emoji-wide-0 --run runs/wide --out runs/emoji-wide
	$(CLI) train evolve $(TRAINING)/wide.toml --table $(TRAINING)/blocks.json --target-ms 14.8 --batches 2 \
		--model runs/emoji-wide --run runs/evolution --out runs/emoji-evolved
	$(CLI) train robust $(TRAINING)/teacher.toml --model runs/emoji-wide --run runs/teacher --out runs/emoji-teacher
	$(CLI) train robust $(TRAINING)/slim.toml --model runs/emoji-evolved --run runs/slim --out runs/emoji-slim
	$(CLI) train distil $(TRAINING)/student-16.toml --teacher runs/emoji-teacher --student runs/emoji-slim \
		--run runs/student-16 --out runs/emoji-16
	$(CLI) train distil $(TRAINING)/student-8.toml --teacher runs/emoji-slim --student runs/emoji-16 \
		--run runs/student-8 --out runs/emoji-8
	$(CLI) train decoder $(TRAINING)/decoder.toml --model runs/emoji-8 --run runs/decoder --out runs/emoji-phone

# torch goes first: a resolver that sees it among the others takes a build with gigabytes of CUDA libraries.
$(INSTALLED): pyproject.toml setup.py requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) $(TORCH)
	$(LOCKED) -e ".[$(EXTRAS)]"
	$(LOCKED) -e ".[coreai]" || echo "make: goes on without Core AI, for which pip found no packages (they need Linux with glibc 2.34, or macOS)"
	touch $@

# Writes requirements.lock anew, from an environment that is made for it. Versions in the file are kept: delete a line, or
# the file's content, to take the newest that pyproject.toml allows. The local part of torch's version, such as +cpu, is
# left out, because the file is for every machine.
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python $(PIP) install --constraint requirements.lock $(TORCH)
	build/lock/bin/python $(PIP) install --constraint requirements.lock -e ".[$(EXTRAS),coreai]"
	echo '# Made by `make lock`: the exact versions that `make` installs, as constraints for pip.' > build/lock/pins
	build/lock/bin/python $(PIP) freeze --all --exclude pip --exclude-editable | sed 's/+[a-z0-9]*$$//' >> build/lock/pins
	cp build/lock/pins requirements.lock
	rm -rf build/lock

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
