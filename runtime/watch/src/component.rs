//! One component that is watched: how it looked when something was last done, and what is being done now.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use domain::Digest;

use crate::build::Job;
use crate::service::RevisionName;
use crate::snapshot::{Need, Place, Snapshot};
use crate::sources::is_passing_below;

/// The last lines of a build that are kept for its failure.
const LAST_LINES: usize = 50;
/// How often in a row a build is broken off by changes; the next one is let to its end, as it may itself be what changes the sources.
const BROKEN_OFF_MAX: u32 = 3;
/// How often in a row a component is built because its sources changed while it was built.
const ROUNDS_MAX: u32 = 3;

/// What is being done with a component.
pub(crate) enum Phase {
    /// Nothing.
    Idle,
    /// It waits for its turn to be built from `Watched::wanted`.
    Queued,
    /// It is being built from `Watched::wanted`; `again` once that is known to be in vain.
    Building { job: Job, again: bool },
    /// It waits to be placed together with all that changed at the same time.
    Ready,
}

/// A component that is watched.
pub(crate) struct Watched {
    pub(crate) path: PathBuf,
    /// What it is called: the id in its manifest, or as it was registered, else the name of its file or folder.
    pub(crate) name: String,
    /// Away while it is being looked at.
    pub(crate) place: Option<Place>,
    pub(crate) phase: Phase,
    /// Changes that came together are placed together.
    pub(crate) burst: u64,
    /// How it looked when something was last done for it.
    pub(crate) done: Option<Snapshot>,
    /// What it is to be built from.
    pub(crate) wanted: Option<Snapshot>,
    /// The manifest and component that were last placed without a problem.
    placed: Option<(Option<Digest>, Option<Digest>)>,
    /// What was registered last.
    pub(crate) revision: Option<RevisionName>,
    /// The revision in service, as far as this watch has seen one.
    pub(crate) in_service: Option<RevisionName>,
    /// Why it is not in service as it is; it is tried again with the next that is placed.
    pub(crate) problem: Option<String>,
    /// The last lines that its build printed.
    pub(crate) output: VecDeque<String>,
    broken_off: u32,
    rounds: u32,
}

impl Watched {
    pub(crate) fn new(path: PathBuf) -> Self {
        let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
        Self {
            name: stem.unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            place: Some(Place::new(path.clone())),
            path,
            phase: Phase::Idle,
            burst: 0,
            done: None,
            wanted: None,
            placed: None,
            revision: None,
            in_service: None,
            problem: None,
            output: VecDeque::new(),
            broken_off: 0,
            rounds: 0,
        }
    }

    /// Tells whether a change at `path` may mean something for this component.
    pub(crate) fn is_met_by(&self, path: &Path) -> bool {
        let latest = [self.wanted.as_ref(), self.done.as_ref()];
        let mut known = latest.into_iter().flatten();
        if known.any(|snapshot| snapshot.outputs.iter().any(|output| output == path)) {
            return true;
        }
        let mut roots = vec![self.path.as_path()];
        roots.extend(latest.into_iter().flatten().flat_map(|snapshot| &snapshot.inputs).map(PathBuf::as_path));
        roots.iter().any(|root| path.starts_with(root) && !is_passing_below(root, path))
    }

    /// Says what has to be done now that it looks like `now`.
    pub(crate) fn need(&self, now: &Snapshot) -> Need {
        match &self.done {
            None => now.first_need(),
            Some(done) => now.need_after(done),
        }
    }

    /// Tells whether it is being built from what it does not look like any more, and may be broken off.
    pub(crate) fn is_built_in_vain(&mut self, now: &Snapshot) -> bool {
        let is_vain = self.wanted.as_ref().is_none_or(|from| now.contradicts(from));
        if !is_vain || self.broken_off >= BROKEN_OFF_MAX {
            return false;
        }
        self.broken_off += 1;
        true
    }

    /// Takes down that it was built well and looks like `now`; `true` if its sources are not those any more that it was built from, and
    /// it is worth looking again.
    pub(crate) fn built(&mut self, now: Snapshot) -> bool {
        let Some(from) = self.wanted.take() else { return false };
        self.broken_off = 0;
        if now.is_built_as(&from) {
            self.rounds = 0;
            self.done = Some(now);
            return false;
        }
        self.rounds += 1;
        if self.rounds < ROUNDS_MAX {
            self.done = Some(Snapshot { build: from.build, sources: from.sources, ..now });
            return true;
        }
        self.done = Some(now);
        false
    }

    /// Tells, once, that its builds change what they are made from.
    pub(crate) fn takes_its_own_changes(&mut self) -> bool {
        let takes = self.rounds >= ROUNDS_MAX;
        if takes {
            self.rounds = 0;
        }
        takes
    }

    /// Takes down that a build has made nothing of what it looked like.
    pub(crate) fn failed(&mut self) {
        self.broken_off = 0;
        self.done = self.wanted.take().or_else(|| self.done.take());
    }

    /// Tells whether what is there now was placed before.
    pub(crate) fn is_placed(&self) -> bool {
        self.placed.is_some() && self.placed == self.done.as_ref().map(|done| (done.manifest, done.made))
    }

    /// Takes down that what is there now was placed, or that it could not be.
    pub(crate) fn placed(&mut self, problem: Option<String>) {
        self.placed = match problem {
            None => self.done.as_ref().map(|done| (done.manifest, done.made)),
            Some(_) => None,
        };
        self.problem = problem;
    }

    /// Keeps a line of its build.
    pub(crate) fn keep_line(&mut self, line: String) {
        self.output.push_back(line);
        if self.output.len() > LAST_LINES {
            self.output.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn snapshot(sources: &str) -> Snapshot {
        let build = domain::manifest::BuildSettings { command: "make".into(), output: None, inputs: vec![] };
        Snapshot {
            build: Some(build),
            sources: Some(Arc::new([("/x/one/a.c".into(), Digest::of(sources.as_bytes()))].into())),
            made: Some(Digest::of(b"made")),
            ..Snapshot::default()
        }
    }

    fn watched(wanted: &str) -> Watched {
        Watched { wanted: Some(snapshot(wanted)), ..Watched::new("/x/one".into()) }
    }

    #[test]
    fn a_build_that_changes_its_sources_is_let_to_its_end_after_a_while() {
        let mut one = watched("a");
        assert!(!one.is_built_in_vain(&snapshot("a")));
        assert!((0..3).all(|_| one.is_built_in_vain(&snapshot("b"))));
        assert!(!one.is_built_in_vain(&snapshot("b")));
        one.failed();
        one.wanted = Some(snapshot("c"));
        assert!(one.is_built_in_vain(&snapshot("d")), "it begins anew");
    }

    #[test]
    fn a_build_that_always_changes_its_sources_comes_to_rest() {
        let mut one = watched("0");
        for round in 1..3 {
            let now = snapshot(&round.to_string());
            assert!(one.built(now.clone()));
            assert!(!one.takes_its_own_changes());
            assert_eq!(one.need(&now), Need::Build);
            one.wanted = Some(now);
        }
        let now = snapshot("3");
        assert!(!one.built(now.clone()) && one.takes_its_own_changes() && !one.takes_its_own_changes());
        assert_eq!(one.need(&now), Need::Nothing);
        assert_eq!(one.need(&snapshot("4")), Need::Build, "a change by somebody else is one");
    }

    #[test]
    fn a_file_that_comes_while_it_is_built_does_not_break_it_off_but_is_built_with() {
        let mut one = watched("a");
        let mut now = snapshot("a");
        let mut sources = now.sources.as_deref().unwrap().clone();
        sources.insert("/x/one/Cargo.lock".into(), Digest::of(b"lock"));
        now.sources = Some(Arc::new(sources));
        assert!(!one.is_built_in_vain(&now));
        assert!(one.is_built_in_vain(&Snapshot { sources: Some(Arc::default()), ..now.clone() }), "one that goes does");
        assert!(one.built(now.clone()), "it is looked at again");
        assert_eq!(one.need(&now), Need::Build);
    }

    #[test]
    fn a_failed_build_is_not_tried_again_before_something_changes() {
        let mut one = watched("a");
        one.failed();
        assert_eq!((one.need(&snapshot("a")), one.need(&snapshot("b"))), (Need::Nothing, Need::Build));
    }

    #[test]
    fn what_was_placed_is_known_until_it_changes_or_could_not_be() {
        let mut one = watched("a");
        assert!(!one.is_placed());
        assert!(!one.built(snapshot("a")));
        one.placed(None);
        assert!(one.is_placed());
        one.wanted = Some(snapshot("b"));
        assert!(!one.built(Snapshot { made: Some(Digest::of(b"other")), ..snapshot("b") }));
        assert!(!one.is_placed());
        one.placed(Some("refused".into()));
        assert!(!one.is_placed());
    }

    #[test]
    fn is_met_by_its_sources_and_by_what_is_made_of_them() {
        let mut one = watched("a");
        one.done = Some(Snapshot {
            outputs: vec!["/x/target/one.wasm".into(), "/x/one/build/one.wasm".into()],
            inputs: vec!["/x/wit".into()],
            ..Snapshot::default()
        });
        for path in
            ["/x/one/a.c", "/x/one/component.toml", "/x/wit/a.wit", "/x/target/one.wasm", "/x/one/build/one.wasm"]
        {
            assert!(one.is_met_by(Path::new(path)), "{path}");
        }
        for path in ["/x/two/a.c", "/x/one/.a.c.swp", "/x/one/build/a.o", "/x/target/two.wasm", "/x/wit/.git"] {
            assert!(!one.is_met_by(Path::new(path)), "{path}");
        }
    }
}
