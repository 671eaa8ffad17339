# runtime: a registry of WebAssembly components and the sandbox that runs them.
# From a clone, on a machine without just: `./justw demo`. `./justw` takes the same arguments as `just`.

# Cargo profile: release for `build` and `demo`, dev for `test`. RUNTIME_PROFILE=dev (or release) sets it for all three.
build_profile := env("RUNTIME_PROFILE", "release")
test_profile := env("RUNTIME_PROFILE", "dev")

# The choice of targets for everything that is built for tests, always the same: cargo unites features over what it builds
# together, and another choice would compile every dependency once more.
as_tested := "--workspace --lib --bins --tests --examples"
build_scope := if build_profile == test_profile { as_tested } else { "--package runtime --bin runtime" }

# The folder in target/ where cargo puts what it builds with `build_profile`.
build_folder := env("CARGO_TARGET_DIR", justfile_directory() / "target") / if build_profile == "dev" { "debug" } else { build_profile }

test_folder := env("CARGO_TARGET_DIR", justfile_directory() / "target") / if test_profile == "dev" { "debug" } else { test_profile }

release_binary := env("CARGO_TARGET_DIR", justfile_directory() / "target") / "release" / "runtime"

dev_binary := env("CARGO_TARGET_DIR", justfile_directory() / "target") / "debug" / "runtime"

[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --list-heading {{ quote(heading) }}

heading := "runtime: a registry of WebAssembly components and the sandbox that runs them.\nStart with `just demo`; README.md says the rest.\n\n"

# Build all and watch components in eight languages being linked, called, and one failing
[group('first steps')]
demo: setup build-components build
    @RUNTIME_BIN={{ quote(build_folder / "runtime") }} scripts/demo

# Run every test: crates, examples in the docs, scripts (ARGS go to cargo test)
[group('first steps')]
test *ARGS: setup build-components test-scripts
    cargo build {{ as_tested }} --profile {{ test_profile }}
    RUNTIME_BIN={{ quote(test_folder / "runtime") }} cargo test --workspace --profile {{ test_profile }} {{ ARGS }}
    RUNTIME_BIN={{ quote(test_folder / "runtime") }} cargo test --workspace --profile {{ test_profile }} --test examples
    E2E_SERVED=1 RUNTIME_BIN={{ quote(test_folder / "runtime") }} cargo test --workspace --profile {{ test_profile }} --test e2e -- --skip serving
    RUNTIME_BIN={{ quote(test_folder / "runtime") }} cargo test --workspace --profile {{ test_profile }} --test torture -- --nocapture --test-threads=1

# Build the program: target/release/runtime
[group('first steps')]
build:
    cargo build {{ build_scope }} --profile {{ build_profile }}

# Install the guest languages' tools into a cache folder (`just setup --status` tells which are there)
[group('guest components')]
setup *LANGUAGES:
    @scripts/setup {{ LANGUAGES }}

# Build the components that have changed: all of components/, or those named
[group('guest components')]
build-components *COMPONENTS:
    @scripts/build-components {{ COMPONENTS }}

# Lay out a working component: `just new-component go acme:greeter [--dir FOLDER]`; more with `./justw new-component --help`
[group('guest components')]
[no-cd]
new-component LANGUAGE ID *OPTIONS:
    @{{ quote(justfile_directory() / "scripts/new-component") }} {{ quote(LANGUAGE) }} {{ quote(ID) }} {{ OPTIONS }}

# Remove what build-components has made; the tools stay
[group('guest components')]
clean-components:
    rm -rf components/.build components/target components/*/build

# Check format, lints, docs, and the licences and sources of dependencies
[group('work on the project')]
check: setup
    @scripts/check

# Format the Rust of both workspaces
[group('work on the project')]
fmt:
    cargo fmt --all
    cargo fmt --all --manifest-path components/Cargo.toml

# Crash storage at every point where it writes, and cut and flip what it wrote, for minutes (`just test` does a little of it)
[group('work on the project')]
crash:
    STORAGE_SEEDS=100000 STORAGE_CRASHES=1000 STORAGE_TRIALS=1000 cargo test --package storage -- power_loss crashes damage_trials

# A thousand kills and damaged folders, the hostile corpus fifty times with neighbours under load: figures (`just test` does a little of it)
[group('work on the project')]
torture:
    cargo build {{ as_tested }} --profile dev
    TORTURE_ROUNDS={{ env("TORTURE_ROUNDS", "1000") }} TORTURE_TRIALS={{ env("TORTURE_TRIALS", "1000") }} TORTURE_SWAPS={{ env("TORTURE_SWAPS", "1000") }} TORTURE_ENTRIES={{ env("TORTURE_ENTRIES", "10000") }} \
        RUNTIME_BIN={{ quote(dev_binary) }} \
        cargo test --workspace --profile dev --test torture -- --nocapture --test-threads=1
    cargo build {{ as_tested }} --profile release
    HOSTILE_RUNS={{ env("HOSTILE_RUNS", "50") }} RUNTIME_BIN={{ quote(release_binary) }} cargo test --workspace --profile release --test hostile every_case -- --nocapture
    RUNTIME_BIN={{ quote(dev_binary) }} cargo test --workspace --profile dev --test mutants -- --nocapture

# Take COUNT random and damaged components through register, activate, call and unregister (`just test` takes 2,000; FUZZ_SEED)
[group('work on the project')]
fuzz COUNT="100000":
    cargo build {{ as_tested }} --profile dev
    FUZZ_COUNT={{ COUNT }} RUNTIME_BIN={{ quote(dev_binary) }} cargo test --workspace --profile dev --test mutants -- --nocapture

# Large data folders are measured at a twentieth of their size, unless STORAGE_BENCH_PERCENT says otherwise.
# Run the benchmarks, each beside a bare baseline (ARGS go to cargo bench)
[group('work on the project')]
bench *ARGS: setup build-components
    STORAGE_BENCH_PERCENT={{ env("STORAGE_BENCH_PERCENT", "5") }} \
        cargo bench --workspace --bench plan --bench registry --bench activate --bench storage {{ ARGS }}

# Run the tests of the scripts alone
[group('work on the project')]
test-scripts:
    @scripts/lib/python -W error -m unittest discover --quiet --start-directory scripts/tests
