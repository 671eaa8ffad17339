use domain::ComponentId;
use registry::SwitchReport;
use serde::Serialize;

use crate::commands::activate;
use crate::dto::{ActivationDoc, KeptDoc};
use crate::error::{CliError, Done};
use crate::session::Session;
use crate::style::Paint;

/// Choose the revision of a component
///
/// An active component is replaced while it is called: what the revision needs is activated, its first instance is made, then calls go
/// there; on any failure the old one stays. Active components that say, by a range or the version of an interface, that they do not go with
/// it keep the old one beside it. A component that is not active only points to it. Refused where active components would break, which
/// `runtime plan use` explains.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime use demo:log@1.2.0
  runtime use demo:log --revision 3
  runtime plan use demo:log@1.2.0")]
pub(crate) struct Args {
    /// Component and version: `namespace:name@1.2.0`, or `name@1.2.0` where that is unique
    #[arg(value_name = "ID@VERSION")]
    pub(crate) id: String,

    /// Revision by its number, where several have the same version
    #[arg(long, value_name = "NUMBER")]
    pub(crate) revision: Option<u32>,

    /// Do it although active components break
    #[arg(long)]
    pub(crate) force: bool,
}

/// What choosing a revision did.
#[derive(Debug, Serialize)]
pub(crate) struct SwitchDoc {
    id: ComponentId,
    version: String,
    revision: u32,
    previous_version: String,
    previous_revision: u32,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<ActivationDoc>,
}

impl From<SwitchReport> for SwitchDoc {
    fn from(report: SwitchReport) -> Self {
        Self {
            id: report.id,
            version: report.to.1.to_string(),
            revision: report.to.0,
            previous_version: report.from.1.to_string(),
            previous_revision: report.from.0,
            outcome: report.switch.as_str(),
            activation: report.activation.map(|activation| ActivationDoc::new(vec![], activation, false)),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let (id, revision) = meant(registry, &args.id, args.revision).await?;
    let report = registry.with_force(args.force).use_revision(&id, revision).await?;
    print(session, &report.into())
}

/// Finds the component and the number of the revision that was named, either way.
pub(crate) async fn meant(
    registry: &registry::Registry,
    name: &str,
    revision: Option<u32>,
) -> Result<(ComponentId, u32), CliError> {
    let target = registry.resolve(name).await?;
    match (target.version, revision) {
        (Some(_), Some(_)) => Err(CliError::usage("name a version or a revision, not both")),
        (None, None) => Err(CliError::usage(format!("say which version of {} is meant", target.id))
            .hint(format!("`runtime versions {}` lists them", target.id))),
        (None, Some(revision)) => Ok((target.id, revision)),
        (Some(version), None) => {
            let revision = registry.revision_of(&target.id, &version).await?;
            Ok((target.id, revision))
        }
    }
}

/// Prints what was done.
pub(crate) fn print(session: &Session, document: &SwitchDoc) -> Result<Done, CliError> {
    session.out.result(document, text)?;
    if let Some(activation) = &document.activation {
        activate::print_problems(session, activation);
    }
    Ok(Done::All)
}

fn text(document: &SwitchDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    let (version, revision) = (&document.version, document.revision);
    let before = format!("{} (revision {})", document.previous_version, document.previous_revision);
    match document.outcome {
        "replaced" => {
            let activated = document.activation.iter().flat_map(|activation| &activation.activated);
            let swapped =
                activated.filter(|activated| activated.id == document.id).filter_map(|one| one.swapped.as_ref());
            let kept: String = swapped.filter_map(|swapped| swapped.kept.as_ref()).map(KeptDoc::text).collect();
            format!("{id} {version} (revision {revision}) is active in the place of {before}\n{kept}")
        }
        "selected" => format!("{id} points to {version} (revision {revision}) in the place of {before}\n"),
        _ => format!("unchanged {id} {version} (revision {revision})\n"),
    }
}
