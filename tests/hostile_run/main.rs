//! Runs the hostile corpus: every case against one server, each followed by an ordinary call to a neighbour.
//!
//! `HOSTILE_CORPUS` names another folder of cases, `HOSTILE_ONLY` a part of their names. With `HOSTILE_RUNS` above one, figures are
//! taken and held against bounds as well: `just torture` does that. `tests/hostile/README.md` says what a case is made of.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets what it does not expect has to fail"
)]

mod binary;
mod case;
mod figures;
mod host;
mod judge;
mod neighbours;
mod template;

#[allow(dead_code, unused_imports, reason = "the rest of the harness is for tests without a server")]
#[path = "../e2e/harness/mod.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::time::Instant;

use case::Case;
use figures::Figures;
use host::Host;
use neighbours::Neighbours;

/// Rounds of the whole corpus, unless HOSTILE_RUNS says otherwise.
const RUNS: usize = 1;

fn corpus() -> PathBuf {
    std::env::var_os("HOSTILE_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile"), PathBuf::from)
}

/// Returns the folders of all cases, ordered by name.
fn folders() -> Vec<PathBuf> {
    let only = std::env::var("HOSTILE_ONLY").unwrap_or_default();
    let corpus = corpus();
    let entries = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.retain(|folder| folder.file_name().unwrap().to_string_lossy().contains(&only));
    assert!(!folders.is_empty(), "{} holds no cases", corpus.display());
    folders
}

#[test]
fn every_case_ends_in_its_named_error_and_harms_nobody() {
    let runs = std::env::var("HOSTILE_RUNS").map_or(RUNS, |text| text.parse().expect("HOSTILE_RUNS is a number"));
    let cases: Vec<_> = folders().iter().map(|folder| Case::read(folder)).collect();
    let mut host = Host::start();
    cases.iter().for_each(|case| case.write(&host.work()));
    let mut figures = Figures::new(runs);
    let neighbours = (runs > 1).then(|| Neighbours::start(&host));
    let mut wrong = Vec::new();
    for run in 0..runs {
        for case in &cases {
            let (before, begun) = (host.memory(), Instant::now());
            let tried = judge::run(&mut host, case);
            figures.add(case, begun, &tried, host.memory().saturating_sub(before));
            if let Err(complaint) = tried.verdict {
                println!("hostile: {} ({}): {complaint}", case.name, case.about);
                wrong.push(format!("{} (run {}): {complaint}", case.name, run + 1));
            }
        }
        figures.end_run(&host);
    }
    let load = neighbours.map(Neighbours::stop);
    host.stop();
    println!("hostile: {} cases, {runs} runs, {} wrong", cases.len(), wrong.len());
    wrong.extend(figures.table(load.as_ref()));
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_is_as_large_as_it_should_be() {
    let names = folders();
    if std::env::var_os("HOSTILE_CORPUS").is_none() && std::env::var_os("HOSTILE_ONLY").is_none() {
        let bombs = names.iter().filter(|folder| folder.file_name().unwrap().to_string_lossy().starts_with("bomb-"));
        assert!(names.len() >= 40 && bombs.count() >= 6, "{} cases", names.len());
    }
}
