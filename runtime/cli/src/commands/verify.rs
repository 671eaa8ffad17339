use domain::ports::{Difference, Verified};
use domain::text::escape_line;
use domain::{ComponentId, ErrorKind};
use registry::{BlobFault, BlobReport};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::output::{human_count, human_size};
use crate::progress;
use crate::session::Session;
use crate::style::Paint;

/// Check everything in the data folder, and change nothing
///
/// Every line of the journal and the chain between them, snapshots, the index against the journal, and all bytes against their digests.
/// Also while the registry is being served. Any difference is listed, and the exit code is 70.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime verify
  runtime verify -o json")]
pub(crate) struct Args {}

#[derive(Debug, Serialize)]
struct VerifyDoc {
    ok: bool,
    segments: u64,
    records: u64,
    snapshots: u64,
    rows: u64,
    blobs: u64,
    blob_bytes: u64,
    first_seq: u64,
    last_seq: u64,
    differences: Vec<DifferenceDoc>,
    /// How many more differences there are than are listed.
    more: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

#[derive(Debug, Serialize)]
struct DifferenceDoc {
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    what: String,
    components: Vec<ComponentId>,
}

impl From<Difference> for DifferenceDoc {
    fn from(difference: Difference) -> Self {
        Self {
            file: Some(difference.file.display().to_string()),
            offset: difference.offset,
            what: difference.what,
            components: difference.component.into_iter().collect(),
        }
    }
}

impl From<BlobFault> for DifferenceDoc {
    fn from(fault: BlobFault) -> Self {
        let mut components: Vec<_> = fault.needed_by.into_iter().map(|needed| needed.component).collect();
        components.dedup();
        let digest = fault.digest.map(|digest| format!("{digest}: ")).unwrap_or_default();
        Self {
            file: fault.path.map(|path| path.display().to_string()),
            offset: None,
            what: format!("{digest}{}", fault.reason),
            components,
        }
    }
}

impl VerifyDoc {
    fn new(verified: Verified) -> Self {
        Self {
            ok: true,
            segments: verified.segments,
            records: verified.records,
            snapshots: verified.snapshots,
            rows: verified.rows,
            blobs: 0,
            blob_bytes: 0,
            first_seq: verified.first_seq,
            last_seq: verified.last_seq,
            differences: verified.differences.into_iter().map(DifferenceDoc::from).collect(),
            more: verified.more,
            error: None,
        }
    }

    /// Says whether all is well.
    fn judge(&mut self) {
        self.ok = self.differences.is_empty();
        if !self.ok {
            let found = self.differences.len() as u64 + self.more;
            let things = if found == 1 { "thing is" } else { "things are" };
            let message = format!("{} {things} not as it should be", human_count(found));
            let error = CliError::found(ErrorKind::Internal, "differences", message);
            self.error =
                Some(error.hint("`runtime repair --dry-run` says what can be kept; a backup has what is lost"));
        }
    }
}

pub(crate) async fn run(session: &Session, _args: Args) -> Result<Done, CliError> {
    let verified = if session.is_served() {
        session.registry().await?.verify().await?
    } else {
        // Opening the registry would mend what is to be found.
        let (folder, patience) = (session.data_folder()?, session.lock_timeout());
        session.breakable(move |stop| embed::verify(&folder, patience, stop)).await?
    };
    let mut document = VerifyDoc::new(verified);
    let (bar, mut tell) = progress::bytes(&session.terminal, "reading bytes");
    let checked = if session.is_served() || document.differences.is_empty() {
        session.registry().await?.verify_blobs(tell).await.map_err(CliError::from)
    } else {
        let (folder, patience) = (session.data_folder()?, session.lock_timeout());
        session
            .breakable(move |stop| embed::verify_blobs(&folder, patience, &mut tell, stop).map(BlobReport::from))
            .await
    };
    bar.finish_and_clear();
    let report = checked?;
    (document.blobs, document.blob_bytes) = (report.blobs, report.bytes);
    document.differences.extend(report.faults.into_iter().map(DifferenceDoc::from));
    document.judge();
    session.out.result(&document, text)?;
    if let Some(error) = document.error.as_ref().filter(|_| !session.out.is_json()) {
        error.print(None, &session.terminal);
    }
    Ok(Done::of(document.error.as_ref()))
}

fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", human_count(number), if number == 1 { "" } else { "s" })
}

fn text(document: &VerifyDoc, paint: Paint) -> String {
    let mut text = String::new();
    for difference in &document.differences {
        let file = difference.file.as_deref().map(escape_line).unwrap_or_default();
        let place = difference.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
        let about = match difference.components.as_slice() {
            [] => String::new(),
            ids => format!(" ({})", ids.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(", ")),
        };
        text.push_str(&format!("{} {file}{place}: {}{about}\n", paint.red("differs:"), escape_line(&difference.what)));
    }
    text.push_str(&format!(
        "checked: {} of the journal in {}, {} of the index, {} ({})\n",
        counted(document.records, "record"),
        counted(document.segments, "segment"),
        counted(document.rows, "row"),
        counted(document.blobs, "blob"),
        human_size(document.blob_bytes),
    ));
    if document.ok {
        text.push_str(&format!("{}\n", paint.green("all is well")));
    }
    text
}
