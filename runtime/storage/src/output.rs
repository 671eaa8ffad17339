//! What guests printed last, in files `output/<namespace>/<name>.log` of JSON lines.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::ComponentId;
use domain::ports::{GuestOutput, OutputLine, OutputSink, StorageError};

use crate::files::{self, Durability};

/// Most bytes kept of one component; beyond them the older half is dropped.
pub const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// The last output of each component in the folder `output` of the data folder.
///
/// Writing never fails for the caller; what went wrong is counted in [`FileOutput::lost`].
#[derive(Debug)]
pub struct FileOutput {
    folder: PathBuf,
    /// Most bytes kept per component.
    keep: AtomicU64,
    lost: Mutex<Lost>,
}

/// How much output could not be written, and why.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    /// Number of lines.
    pub lines: u64,
    /// The last error.
    pub last_error: Option<Arc<StorageError>>,
}

impl FileOutput {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.join("output"), keep: AtomicU64::new(OUTPUT_BYTES_MAX), lost: Mutex::default() }
    }

    /// Sets how many bytes are kept per component, [`OUTPUT_BYTES_MAX`] by default; holds for what is written from now on.
    pub fn keep(&self, bytes: u64) {
        self.keep.store(bytes, Ordering::Relaxed);
    }

    /// Returns how many lines could not be written since the folder was opened, and the last error.
    pub fn lost(&self) -> Lost {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the file that holds what `component` printed.
    pub fn path(&self, component: &ComponentId) -> PathBuf {
        self.folder.join(component.namespace()).join(format!("{}.log", component.name()))
    }

    fn append(&self, component: &ComponentId, lines: &[OutputLine]) -> Result<(), StorageError> {
        let mut text = Vec::new();
        for line in lines {
            let path = || self.path(component);
            serde_json::to_writer(&mut text, line).map_err(|e| StorageError::io(path(), e.into()))?;
            text.push(b'\n');
        }
        let path = self.path(component);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                files::create_folder(path.parent().unwrap_or(&self.folder))?;
                options.open(&path)
            }
            opened => opened,
        }
        .map_err(files::at(&path))?;
        let before = file.metadata().map_err(files::at(&path))?.len();
        // One call, so that lines of two writers do not mix.
        if let Err(error) = file.write_all(&text) {
            // Half a line would spoil the next one. The first error is the one to report.
            let _ = file.set_len(before);
            return Err(StorageError::io(&path, error));
        }
        let size = before + text.len() as u64;
        let keep = self.keep.load(Ordering::Relaxed);
        if size > keep { shorten(&path, keep) } else { Ok(()) }
    }
}

/// Drops the oldest lines, so that at most half of `keep` stays, or the last line alone.
fn shorten(path: &Path, keep: u64) -> Result<(), StorageError> {
    let bytes = std::fs::read(path).map_err(files::at(path))?;
    let wanted = usize::try_from(keep / 2).unwrap_or(usize::MAX);
    let cut = bytes.len().saturating_sub(wanted);
    let line_end = |from: usize| bytes.iter().skip(from).position(|byte| *byte == b'\n').map(|at| from + at + 1);
    // Cut after the end of the line in which the half begins, unless that is the last line of all.
    let start = match line_end(cut.saturating_sub(1)) {
        Some(start) if start < bytes.len() => start,
        _ => last_line_start(&bytes),
    };
    files::replace(path, bytes.get(start..).unwrap_or_default(), Durability::Process)
}

fn last_line_start(bytes: &[u8]) -> usize {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

impl OutputSink for FileOutput {
    fn write(&self, component: &ComponentId, lines: &[OutputLine]) {
        if lines.is_empty() {
            return;
        }
        // Held over the write: two writers must not shorten one file at once.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.append(component, lines) {
            lost.lines += lines.len() as u64;
            lost.last_error = Some(Arc::new(error));
        }
    }
}

impl GuestOutput for FileOutput {
    fn read(&self, component: &ComponentId) -> Result<Vec<OutputLine>, StorageError> {
        let path = self.path(component);
        let bytes = files::read_if_there(&path)?.unwrap_or_default();
        // A line cut by the end of a process is no line; what follows it is whole.
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    fn remove(&self, component: &ComponentId) -> Result<(), StorageError> {
        let _writing = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        files::remove_if_there(&self.path(component))
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::ports::OutputStream;

    use super::*;

    fn line(text: &str) -> OutputLine {
        OutputLine { at: Timestamp::from_micros(1), stream: OutputStream::Stdout, text: text.to_owned() }
    }

    fn id(name: &str) -> ComponentId {
        ComponentId::new("demo", name).unwrap()
    }

    #[test]
    fn gives_back_lines_in_order_and_forgets_them() {
        let folder = tempfile::tempdir().unwrap();
        let output = FileOutput::new(folder.path());
        let log = OutputStream::Log { level: "warn".to_owned(), context: "c".to_owned() };
        let lines = [line("one"), OutputLine { at: Timestamp::from_micros(2), stream: log, text: "two".to_owned() }];
        output.write(&id("a"), &lines);
        output.write(&id("b"), &[line("other")]);
        assert_eq!(output.read(&id("a")).unwrap(), lines);
        output.remove(&id("a")).unwrap();
        output.remove(&id("a")).unwrap();
        assert_eq!(output.read(&id("a")).unwrap(), []);
        assert_eq!(output.read(&id("b")).unwrap(), [line("other")]);
    }

    #[test]
    fn keeps_as_much_as_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let output = FileOutput::new(folder.path());
        output.keep(4_096);
        for number in 0..500 {
            output.write(&id("a"), &[line(&format!("line {number}"))]);
            assert!(std::fs::metadata(output.path(&id("a"))).unwrap().len() <= 4_096);
        }
        assert_eq!(output.read(&id("a")).unwrap().last().unwrap().text, "line 499");
    }

    #[test]
    fn keeps_the_newest_lines_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let output = FileOutput::new(folder.path());
        for number in 0..5_000 {
            output.write(&id("a"), &[line(&format!("line {number}"))]);
            assert!(std::fs::metadata(output.path(&id("a"))).unwrap().len() <= OUTPUT_BYTES_MAX);
        }
        let lines = output.read(&id("a")).unwrap();
        assert_eq!(lines.last().unwrap().text, "line 4999");
        let first: usize = lines[0].text.strip_prefix("line ").unwrap().parse().unwrap();
        assert_eq!(lines.len(), 5_000 - first, "no gap");
        assert!(lines.len() > 300, "{} lines", lines.len());
    }

    #[test]
    fn one_line_longer_than_the_bound_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let output = FileOutput::new(folder.path());
        let long = line(&"x".repeat(100_000));
        output.write(&id("a"), &[line("short"), long.clone()]);
        assert_eq!(output.read(&id("a")).unwrap(), [long]);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("output"), "a file").unwrap();
        let output = FileOutput::new(folder.path());
        output.write(&id("a"), &[line("one"), line("two")]);
        let lost = output.lost();
        assert_eq!(lost.lines, 2);
        assert!(matches!(lost.last_error.as_deref(), Some(StorageError::NotAFolder { .. })), "{lost:?}");
    }
}
