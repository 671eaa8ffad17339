use std::path::PathBuf;

use domain::ComponentId;
use domain::ports::Durability;
use domain::text::escape_line;
use registry::{ImportReport, TakeSettings};
use serde::Serialize;

use crate::commands::print_failed;
use crate::commands::register::RegisteredDoc;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::progress;
use crate::session::Session;
use crate::style::Paint;

/// Register the components of an archive
///
/// What `runtime export` wrote: all of it is checked before the first component is registered, dependencies first. Nothing is activated.
/// Imports keep the providers that they had, where those serve here. What `fuse` said is said again, without `--share-grants`: an archive
/// gives nobody grants. The archive of a whole registry has its custom indexes, which are made,
/// and its settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime import report.tar
  runtime import everything.tar && runtime activate --all
  runtime import everything.tar --settings always")]
pub(crate) struct Args {
    /// Archive to read
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Whether settings of the archive are taken over: if the registry here has no component and no setting, always, never
    #[arg(long, value_name = "WHEN", default_value = "if-empty")]
    pub(crate) settings: When,

    /// Register also what breaks active components
    #[arg(long)]
    pub(crate) force: bool,

    /// What each change survives until the end, when all is as safe as the settings say: power, process or none
    #[arg(long, value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
}

/// When settings are taken over.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum When {
    /// Where there is nothing yet.
    IfEmpty,
    /// Also in the place of others.
    Always,
    /// Not at all.
    Never,
}

impl From<When> for TakeSettings {
    fn from(when: When) -> Self {
        match when {
            When::IfEmpty => Self::IfEmpty,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

#[derive(Debug, Serialize)]
struct ImportDoc {
    registered: Vec<RegisteredDoc>,
    failed: Vec<FailedDoc>,
    declared: Vec<DeclaredDoc>,
    undeclared: Vec<FailedDoc>,
    fused: Vec<FusionDoc>,
    not_fused: Vec<FailedDoc>,
    relinked: Vec<RelinkedDoc>,
    indexes: Vec<String>,
    unindexed: Vec<FailedDoc>,
    /// Those that differed.
    settings: Vec<SettingDoc>,
    settings_taken: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

#[derive(Debug, Serialize)]
struct DeclaredDoc {
    id: ComponentId,
    on: ComponentId,
}

#[derive(Debug, Serialize)]
struct FusionDoc {
    id: ComponentId,
    /// Nobody for one that is kept apart.
    with: Vec<ComponentId>,
}

#[derive(Debug, Serialize)]
struct RelinkedDoc {
    id: ComponentId,
    import: String,
    before: ComponentId,
    now: Option<ComponentId>,
}

#[derive(Debug, Serialize)]
struct SettingDoc {
    key: String,
    old: Option<String>,
    new: Option<String>,
}

impl From<ImportReport> for ImportDoc {
    fn from(report: ImportReport) -> Self {
        let failed: Vec<_> = report.failed.iter().map(|(id, error)| FailedDoc::new(id.as_str(), error)).collect();
        let undeclared: Vec<_> =
            report.undeclared.iter().map(|(id, _, error)| FailedDoc::new(id.as_str(), error)).collect();
        let unindexed: Vec<_> = report.unindexed.iter().map(|(key, error)| FailedDoc::new(key, error)).collect();
        let not_fused: Vec<_> = report.not_fused.iter().map(|(id, error)| FailedDoc::new(id.as_str(), error)).collect();
        let lists = [&failed, &undeclared, &not_fused, &unindexed];
        let first = lists.into_iter().flatten().next().map(|failed| failed.error.clone());
        let relinked = report.relinked.into_iter();
        let settings = report.settings.into_iter();
        Self {
            registered: report.registered.into_iter().map(RegisteredDoc::from).collect(),
            declared: report.declared.into_iter().map(|(id, on)| DeclaredDoc { id, on }).collect(),
            fused: report.fused.into_iter().map(|(id, with)| FusionDoc { id, with }).collect(),
            relinked: relinked
                .map(|one| RelinkedDoc { id: one.component, import: one.import, before: one.before, now: one.now })
                .collect(),
            indexes: report.indexes,
            settings: settings.map(|one| SettingDoc { key: one.key, old: one.old, new: one.new }).collect(),
            settings_taken: report.settings_taken,
            error: first.or(report.settings_failed.as_ref().map(CliError::from)),
            failed,
            undeclared,
            not_fused,
            unindexed,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut bar = None;
    let imported = registry
        .with_durability(args.durability)
        .with_force(args.force)
        .import(&session.existing(&args.file)?, args.settings.into(), |done, count| {
            bar.get_or_insert_with(|| progress::counter(&session.terminal, "importing", count))
                .set_position(done as u64);
        })
        .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let report = imported?;
    let settings_failed = report.settings_failed.as_ref().map(CliError::from);
    let document = ImportDoc::from(report);
    session.out.result(&document, text)?;
    print_failed(session, &document.failed);
    print_failed(session, &document.undeclared);
    print_failed(session, &document.not_fused);
    print_failed(session, &document.unindexed);
    if let Some(error) = settings_failed.filter(|_| !session.out.is_json()) {
        error.print(Some("settings"), &session.terminal);
    }
    for relinked in &document.relinked {
        let now = match &relinked.now {
            Some(now) => format!("{now} serves it here"),
            None => "no single component serves it here".to_owned(),
        };
        let RelinkedDoc { id, import, before, .. } = relinked;
        session.terminal.warn(&format!("{before} served the import `{import}` of {id}, {now}"));
    }
    if !document.settings.is_empty() && !document.settings_taken {
        let keys: Vec<_> = document.settings.iter().map(|setting| setting.key.as_str()).collect();
        session
            .terminal
            .warn(&format!("settings of the archive differ from those here, which stay: {}", keys.join(", ")));
        session.terminal.hint("`--settings always` takes them over");
    }
    Ok(Done::of(document.error.as_ref()))
}

fn text(document: &ImportDoc, paint: Paint) -> String {
    let mut text: String = document.registered.iter().map(|registered| registered.line(paint)).collect();
    for declared in &document.declared {
        text.push_str(&format!("{} depends on {}\n", paint.bold(declared.id.as_str()), declared.on));
    }
    for FusionDoc { id, with } in &document.fused {
        let id = paint.bold(id.as_str());
        let with: Vec<_> = with.iter().map(ComponentId::as_str).collect();
        match with.is_empty() {
            true => text.push_str(&format!("unfused {id}\n")),
            false => text.push_str(&format!("fused {id} with {}\n", with.join(", "))),
        }
    }
    for key in &document.indexes {
        text.push_str(&format!("index on {}\n", paint.bold(&escape_line(key))));
    }
    for setting in document.settings.iter().filter(|_| document.settings_taken) {
        let value = setting.new.as_deref().unwrap_or("not set");
        text.push_str(&format!("{} = {}\n", paint.bold(&escape_line(&setting.key)), escape_line(value)));
    }
    text + &format!("{}\n", paint.dim(&plural(document.registered.len(), "component")))
}
