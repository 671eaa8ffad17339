use domain::ComponentId;
use registry::{FuseChange, GrantSharing};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;

/// Compose a component with those it calls
///
/// From its next call on, the code of those that are named runs in its own instance, under its limits and with its grants, and calls of
/// them cost next to nothing. For everybody else they are what they were, and whoever is not named is called as before. Refused where
/// somebody would get less isolation than was asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime fuse demo:report demo:template
  runtime fuse demo:report demo:template demo:text --dry-run
  runtime fuse demo:report demo:text --share-grants")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Components whose code becomes part of it
    #[arg(required = true, value_name = "PART")]
    pub(crate) with: Vec<String>,

    /// Give their code the grants of ID there, although theirs differ
    #[arg(long)]
    pub(crate) share_grants: bool,

    /// Say whether they can be fused, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What fusing or unfusing changed.
#[derive(Debug, Serialize)]
pub(crate) struct FuseDoc {
    id: ComponentId,
    with: Vec<ComponentId>,
    changed: bool,
    dry_run: bool,
}

impl FuseDoc {
    pub(crate) fn new(id: ComponentId, change: FuseChange, dry_run: bool) -> Self {
        Self { id, with: change.with, changed: change.changed, dry_run }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let selected = resolve_all(registry, &args.with).await;
    if let Some(failed) = selected.failed.into_iter().next() {
        return Err(failed.error);
    }
    let with: Vec<_> = selected.targets.into_iter().map(|target| target.id).collect();
    let sharing = if args.share_grants { GrantSharing::Shared } else { GrantSharing::Equal };
    let change = match args.dry_run {
        true => registry.plan_fuse(&id, &with, sharing).await?,
        false => registry.fuse(&id, &with, sharing).await?,
    };
    session.out.result(&FuseDoc::new(id, change, args.dry_run), text)?;
    Ok(Done::All)
}

fn text(document: &FuseDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    let with: Vec<_> = document.with.iter().map(ComponentId::as_str).collect();
    let with = with.join(", ");
    match (document.changed, document.dry_run) {
        (false, _) => format!("unchanged: {id} is fused with {with}\n"),
        (true, true) => format!("{id} can be fused with {with}\n"),
        (true, false) => format!("fused {id} with {with}\n"),
    }
}
