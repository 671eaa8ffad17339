use std::time::Duration;

use domain::ComponentId;
use domain::ports::{OutputLine, OutputStream};
use serde::Serialize;

use crate::commands::print_each;
use crate::error::{CliError, Done};
use crate::guest_output::line_text;
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;

/// How often the data folder is looked at for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Show what a component printed and logged
///
/// The last 64 KiB per component are kept, unless the settings say otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime logs demo:greeter
  runtime logs demo:greeter --follow
  runtime logs demo:greeter -n 20 -o json")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,

    /// Go on with new lines until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Show the last lines alone
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub(crate) lines: Option<usize>,
}

#[derive(Debug, Serialize)]
struct LogsDoc {
    id: ComponentId,
    lines: Vec<LineDoc>,
    #[serde(skip)]
    kept: Vec<OutputLine>,
}

#[derive(Clone, Debug, Serialize)]
struct LineDoc {
    id: ComponentId,
    at: String,
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    text: String,
}

impl LineDoc {
    fn new(id: &ComponentId, line: &OutputLine) -> Self {
        let (stream, level, context) = match &line.stream {
            OutputStream::Stdout => ("stdout", None, None),
            OutputStream::Stderr => ("stderr", None, None),
            OutputStream::Log { level, context } => ("log", Some(level.clone()), Some(context.clone())),
        };
        Self { id: id.clone(), at: line.at.to_string(), stream, level, context, text: line.text.clone() }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    if args.follow {
        return follow(session, &args).await;
    }
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let made = selected.documents(async |target| {
        let mut kept = registry.output(&target.id).await?;
        kept.drain(..kept.len().saturating_sub(args.lines.unwrap_or(usize::MAX)));
        let lines = kept.iter().map(|line| LineDoc::new(&target.id, line)).collect();
        Ok(LogsDoc { id: target.id.clone(), lines, kept })
    });
    let (documents, failed) = made.await;
    let several = args.ids.len() > 1;
    print_each(session, "components", args.ids.len(), documents, failed, |document, paint| {
        document.kept.iter().map(|line| row(&document.id, line, several, paint)).collect()
    })
}

fn row(id: &ComponentId, line: &OutputLine, several: bool, paint: Paint) -> String {
    let name = if several { format!("{id} | ") } else { String::new() };
    format!("{} {name}{}\n", paint.dim(&line.at.to_string()), line_text(line, paint))
}

/// Prints new lines as they come. The registry is opened for a moment each time, so that others can work in between.
async fn follow(session: &Session, args: &Args) -> Result<Done, CliError> {
    let several = args.ids.len() > 1;
    let mut seen: Vec<Option<OutputLine>> = vec![None; args.ids.len()];
    let mut first = true;
    loop {
        let registry = session.open().await?;
        for (name, seen) in args.ids.iter().zip(&mut seen) {
            let id = registry.resolve(name).await?.id;
            let mut lines = registry.output(&id).await?;
            if let Some(last) = seen.as_ref()
                && let Some(at) = lines.iter().rposition(|line| line == last)
            {
                lines.drain(..=at);
            }
            if first {
                lines.drain(..lines.len().saturating_sub(args.lines.unwrap_or(usize::MAX)));
            }
            for line in &lines {
                let printed = session
                    .out
                    .line(&LineDoc::new(&id, line), |paint| row(&id, line, several, paint).trim_end().to_owned())?;
                if !printed {
                    session.leave(registry).await?;
                    return Ok(Done::All);
                }
            }
            if let Some(last) = lines.pop() {
                *seen = Some(last);
            }
        }
        first = false;
        session.leave(registry).await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
