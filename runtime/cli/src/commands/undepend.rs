use domain::ComponentId;
use serde::Serialize;

use crate::commands::print_failed;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;

/// Remove dependencies that `depend` declared
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime undepend demo:report --on demo:clock")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Components that it does not need any more
    #[arg(long, required = true, num_args = 1.., value_name = "ID")]
    pub(crate) on: Vec<String>,
}

#[derive(Debug, Serialize)]
struct UndependDoc {
    id: ComponentId,
    done: Vec<ComponentId>,
    unchanged: Vec<ComponentId>,
    failed: Vec<FailedDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let selected = resolve_all(registry, &args.on).await;
    let mut document =
        UndependDoc { id: id.clone(), done: vec![], unchanged: vec![], failed: selected.failed, error: None };
    for target in selected.targets {
        match registry.remove_dependency(&id, &target.id).await {
            Ok(true) => document.done.push(target.id),
            Ok(false) => document.unchanged.push(target.id),
            Err(error) => document.failed.push(FailedDoc::new(&target.id, &error)),
        }
    }
    document.error = document.failed.first().map(|failed| failed.error.clone());
    session.out.result(&document, |document, paint| {
        let id = paint.bold(document.id.as_str());
        let done = document.done.iter().map(|on| format!("{id} no longer needs {on}\n"));
        let unchanged = document.unchanged.iter().map(|on| format!("unchanged: {id} did not need {on}\n"));
        done.chain(unchanged).collect()
    })?;
    print_failed(session, &document.failed);
    Ok(Done::of(document.error.as_ref()))
}
