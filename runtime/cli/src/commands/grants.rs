use domain::ComponentId;
use domain::filter::Filter;
use domain::grant::Granted;
use domain::text::escape_line;
use registry::{EffectiveGrants, GrantsView, Registry};
use serde::Serialize;

use crate::dto::{GrantDoc, GrantedDoc};
use crate::error::{CliError, Done};
use crate::select::resolve_all;
use crate::session::Session;
use crate::style::Paint;
use crate::table::Table;

/// Show what components ask for and what they were granted
///
/// Without names: all components that ask for something or were granted something. The default set needs no grant: clocks by the
/// millisecond, random numbers, captured output, logging, and the component's own configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime grants
  runtime grants demo:report
  runtime grants demo:report --effective")]
pub(crate) struct Args {
    /// Components: `namespace:name`, or bare names that are unique
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// Show also what they reach through the components that they call, which act with their own grants
    #[arg(long, requires = "ids")]
    pub(crate) effective: bool,
}

/// What a component asks for and what it was granted.
#[derive(Debug, Serialize)]
struct GrantsDoc {
    id: ComponentId,
    asked: Vec<GrantDoc>,
    granted: Vec<GrantedDoc>,
    missing: Vec<GrantDoc>,
    unused: Vec<GrantDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<WaitingDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<Vec<ThroughDoc>>,
}

/// What a revision that waits for its activation asks for anew.
#[derive(Debug, Serialize)]
struct WaitingDoc {
    version: String,
    asks_anew: Vec<GrantDoc>,
}

/// Authority that is reached through another component.
#[derive(Debug, Serialize)]
struct ThroughDoc {
    component: ComponentId,
    path: Vec<ComponentId>,
    #[serde(flatten)]
    granted: GrantedDoc,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    if args.ids.is_empty() {
        let documents = all(registry).await?;
        if documents.is_empty() {
            session.terminal.note("no component asks for anything, and nothing is granted");
        }
        let object = serde_json::json!({ "components": documents });
        session.out.result(&object, |_, paint| table(&documents, paint))?;
        return Ok(Done::All);
    }
    let selected = resolve_all(registry, &args.ids).await;
    let made = selected.documents(async |target| {
        let mut document = GrantsDoc::from(registry.grants(&target.id).await?);
        if args.effective {
            document.through = Some(through(registry.effective_grants(&target.id).await?));
        }
        Ok(document)
    });
    let (documents, failed) = made.await;
    super::print_each(session, "components", args.ids.len(), documents, failed, text)
}

/// Returns what is to be said of all components of which there is something to say.
async fn all(registry: &Registry) -> Result<Vec<GrantsDoc>, CliError> {
    let mut documents = Vec::new();
    for view in registry.list(&Filter::default()).await? {
        if !view.asked.is_empty() || !view.entry.grants.is_empty() {
            documents.push(GrantsDoc::from(registry.grants(&view.entry.id).await?));
        }
    }
    Ok(documents)
}

fn through(effective: EffectiveGrants) -> Vec<ThroughDoc> {
    let document = |through: registry::GrantedThrough| {
        let component = through.path.last().cloned().unwrap_or_else(|| effective.id.clone());
        ThroughDoc { component, granted: (&through.granted).into(), path: through.path }
    };
    effective.through.into_iter().map(document).collect()
}

impl From<GrantsView> for GrantsDoc {
    fn from(view: GrantsView) -> Self {
        let documents = |grants: &[domain::Grant]| grants.iter().map(GrantDoc::from).collect();
        Self {
            id: view.id,
            asked: documents(&view.asked),
            // Whoever asks for the grants of one component is shown the values of its variables.
            granted: view.granted.iter().map(GrantedDoc::full).collect(),
            missing: documents(&view.missing),
            unused: documents(&view.unused),
            waiting: view
                .waiting
                .map(|(version, anew)| WaitingDoc { version: version.to_string(), asks_anew: documents(&anew) }),
            through: None,
        }
    }
}

fn text(document: &GrantsDoc, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(document.id.as_str()));
    let mut rows = Table::new(&["", "GRANT", "SINCE", "BY"]);
    let is_unused = |granted: &GrantedDoc| document.unused.iter().any(|unused| unused.is_of(&granted.grant));
    for granted in &document.granted {
        let grant = escape_line(&granted.grant.text).into_owned();
        let unused = if is_unused(granted) { " (it imports nothing to use it with)" } else { "" };
        rows.row(vec![
            "granted".into(),
            format!("{grant}{unused}").into(),
            granted.since.clone().into(),
            by(granted).into(),
        ]);
    }
    for missing in &document.missing {
        rows.row(vec!["missing".into(), escape_line(&missing.text).into_owned().into(), "".into(), "".into()]);
    }
    for through in document.through.iter().flatten() {
        let path: Vec<_> = through.path.iter().map(ComponentId::as_str).collect();
        let grant = escape_line(&through.granted.grant.text).into_owned();
        let by = by(&through.granted);
        let what = format!("{grant}, through {}", path.get(1..).unwrap_or_default().join(" → "));
        rows.row(vec!["reached".into(), what.into(), through.granted.since.clone().into(), by.into()]);
    }
    if rows.is_empty() {
        text.push_str("  asks for nothing, and nothing is granted\n");
    } else {
        text.push_str(&rows.render());
    }
    if let Some(waiting) = &document.waiting {
        for grant in &waiting.asks_anew {
            text.push_str(&format!("{} asks anew: {}\n", waiting.version, escape_line(&grant.text)));
        }
    }
    text
}

fn by(granted: &GrantedDoc) -> String {
    match &granted.rule {
        Some(rule) => format!("{} by rule {}", granted.by, escape_line(rule)),
        None => granted.by.clone(),
    }
}

fn table(documents: &[GrantsDoc], paint: Paint) -> String {
    let mut rows = Table::new(&["COMPONENT", "", "GRANT"]);
    for document in documents {
        let granted = document.granted.iter().map(|granted| ("granted", &granted.grant));
        let missing = document.missing.iter().map(|missing| ("missing", missing));
        for (word, grant) in granted.chain(missing) {
            let id = crate::table::Cell::painted(document.id.as_str(), paint.bold(document.id.as_str()));
            rows.row(vec![id, word.into(), escape_line(&grant.text).into_owned().into()]);
        }
    }
    if rows.is_empty() { String::new() } else { rows.render() }
}

impl GrantedDoc {
    /// Makes the document with the value of a variable.
    fn full(granted: &Granted) -> Self {
        let mut document = Self::from(granted);
        document.grant = GrantDoc::full(&granted.grant);
        document
    }
}
