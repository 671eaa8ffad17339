use domain::ports::Durability;
use domain::text::escape_line;
use registry::Target;

use crate::commands::print_failed;
use crate::dto::{ActivatedDoc, ActivationDoc, SwappedDoc};
use crate::error::{CliError, Done};
use crate::output::{human_count, human_size, human_us, plural};
use crate::select::Selection;
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// Activate components and all that they need
///
/// Dependencies come first, in waves; the components of one wave start together. One that fails goes to its error history, what
/// needs it is skipped, the rest goes on. Activating a component in error tries again. With another version than the active one, that
/// one is replaced while it is called: no call fails, and it stays if the new one is not well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime activate demo:report
  runtime activate demo:report@1.1.0
  runtime activate --all
  runtime activate demo:report --dry-run")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// Print the plan alone
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// What each change survives until the end, when all is as safe as the settings say: power, process or none
    #[arg(long, value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = args.selection.resolve_versions(session, registry).await?;
    let targets: &[Target] = &selected.targets;
    let report = if targets.is_empty() {
        registry::ActivateReport::default()
    } else if args.dry_run {
        registry.plan(targets).await?
    } else {
        registry.with_durability(args.durability).activate(targets).await
    };
    let document = ActivationDoc::new(selected.failed, report, args.dry_run);
    session.out.result(&document, text)?;
    print_problems(session, &document);
    Ok(Done::of(document.error.as_ref()))
}

/// Tells people what failed and what was therefore not tried.
pub(crate) fn print_problems(session: &Session, document: &ActivationDoc) {
    print_failed(session, &document.failed);
    for skipped in &document.skipped {
        session.terminal.warn(&format!("{} was not activated: it needs {}", skipped.id, skipped.because));
    }
    for ungranted in &document.ungranted {
        let missing: Vec<_> = ungranted.missing.iter().map(|grant| format!("`{}`", grant.text)).collect();
        let (id, missing) = (&ungranted.id, escape_line(&missing.join(", ")).into_owned());
        session.terminal.warn(&format!("{id} runs without what it asks for: {missing} (`runtime grants {id}`)"));
    }
}

/// Shows an activation as a table, by waves.
pub(crate) fn text(document: &ActivationDoc, paint: Paint) -> String {
    let mut text = String::new();
    if document.dry_run {
        for (wave, ids) in document.waves.iter().enumerate() {
            let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
            text.push_str(&format!("wave {}  {}\n", wave + 1, ids.join(" ")));
        }
    } else if !document.activated.is_empty() {
        text.push_str(&table(document, paint));
    }
    for activated in &document.activated {
        if let Some(swapped) = &activated.swapped {
            text.push_str(&took_place(activated, swapped));
        }
    }
    for id in &document.already_active {
        text.push_str(&format!("already active {}\n", paint.bold(id.as_str())));
    }
    text
}

/// Says what came of a revision that was in service.
fn took_place(activated: &ActivatedDoc, swapped: &SwappedDoc) -> String {
    let mut text = format!("{} {} took the place of {}", activated.id, activated.version, swapped.from);
    if let Some(bytes) = swapped.moved_bytes {
        let paused = human_us(swapped.paused_us);
        text.push_str(&format!(", with {} of state; calls waited for {paused}", human_size(bytes)));
    }
    if swapped.running_calls > 0 {
        text.push_str(&format!("; the old one still serves {}", plural(swapped.running_calls, "call")));
    }
    text.push('\n');
    if let Some(kept) = &swapped.kept {
        text.push_str(&kept.text());
    }
    text
}

fn table(document: &ActivationDoc, paint: Paint) -> String {
    let mut table = Table::new(&[">WAVE", "COMPONENT", "VERSION", ">TIME", ">FUEL"]);
    let wave_of = |activated: &ActivatedDoc| {
        document.waves.iter().position(|wave| wave.contains(&activated.id)).map_or(0, |wave| wave + 1)
    };
    let mut activated: Vec<_> = document.activated.iter().collect();
    activated.sort_by_key(|activated| (wave_of(activated), activated.id.clone()));
    for activated in activated {
        table.row(vec![
            wave_of(activated).to_string().into(),
            Cell::painted(activated.id.as_str(), paint.bold(activated.id.as_str())),
            activated.version.clone().into(),
            human_us(activated.duration_us).into(),
            human_count(activated.fuel).into(),
        ]);
    }
    table.render()
}
