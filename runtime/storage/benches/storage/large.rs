//! A registry of a million entries: making its index anew, opening it, and finding one entry, beside one of a thousand.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use domain::ports::StateView as _;
use storage::Warning;

use crate::filling::{Dice, fill, id, open};
use crate::{Failure, medians, scaled, show, time};

const ENTRIES: usize = 1_000_000;
const FEW: usize = 1_000;
const RUNS: usize = 11;
/// How many entries are looked up in one run.
const LOOKUPS: usize = 20_000;

/// Asks a process for one opening, so that its peak of memory is that of the opening.
const OPEN: &str = "--open-folder";

pub(crate) fn run() -> Result<(), Failure> {
    let (many, few) = (scaled(ENTRIES), FEW.min(scaled(ENTRIES)));
    let (large, small) = (tempfile::tempdir()?, tempfile::tempdir()?);
    fill(small.path(), few)?;
    let (took, ()) = time(|| fill(large.path(), many))?;
    println!("filling a registry with {many} entries: {:.0} events/s", many as f64 / took.as_secs_f64());
    println!("opening {many} entries:");
    open_elsewhere(large.path())?;
    std::fs::remove_dir_all(large.path().join("index"))?;
    println!("replaying {many} events into a new index:");
    open_elsewhere(large.path())?;
    println!("opening {many} entries after that:");
    open_elsewhere(large.path())?;

    let (in_large, in_small) = (open(large.path())?, open(small.path())?);
    let (mut a, mut b) = (Dice::new(), Dice::new());
    let cold = look_up(&in_large, many, &mut a)?;
    println!("looking up one of {many} entries: {cold:.2?} for the first {LOOKUPS} after opening (no bound)");
    // Until most pages were read once, as they were on the other side after the first run.
    for _ in 0..2 * many / LOOKUPS {
        look_up(&in_large, many, &mut a)?;
    }
    let both = medians(RUNS, || look_up(&in_large, many, &mut a), || look_up(&in_small, few, &mut b))?;
    show(&format!("looking up one of {many} entries"), &format!("one of {few}"), 2.0, both);
    println!("    peak memory of this process {}", peak_memory()?);
    Ok(())
}

fn peak_memory() -> Result<String, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown");
    Ok(peak.trim().to_owned())
}

fn look_up(storage: &storage::Storage, count: usize, dice: &mut Dice) -> Result<Duration, Failure> {
    let (took, ()) = time(|| {
        for _ in 0..LOOKUPS {
            let id = id(dice.roll(count));
            storage.state.entry(&id)?.ok_or("an entry is missing")?;
        }
        Ok(())
    })?;
    Ok(took / u32::try_from(LOOKUPS)?)
}

fn open_elsewhere(folder: &Path) -> Result<(), Failure> {
    let status = Command::new(std::env::current_exe()?).arg(OPEN).arg(folder).status()?;
    if status.success() { Ok(()) } else { Err("the process that opens the folder failed".into()) }
}

/// Opens the folder that the command line names, if it does, and prints what it took.
pub(crate) fn be_a_process_of_its_own() -> Result<bool, Failure> {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|word| word != OPEN) {
        return Ok(false);
    }
    let folder = words.next().ok_or("no folder is named")?;
    let (took, storage) = time(|| open(Path::new(&folder)))?;
    print!("    {took:.2?}");
    for warning in storage.warnings() {
        let Warning::IndexRebuilt { records, took, .. } = warning else { return Err(warning.to_string().into()) };
        print!(", of which the index {took:.2?}: {:.0} events/s", *records as f64 / took.as_secs_f64());
    }
    println!(", peak memory {}", peak_memory()?);
    storage.close()?;
    Ok(true)
}
