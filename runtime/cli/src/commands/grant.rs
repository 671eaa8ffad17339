use std::path::Path;

use domain::manifest::FolderMode;
use domain::text::escape_line;
use domain::{ComponentId, Grant};
use registry::GrantChange;
use serde::Serialize;

use crate::dto::GrantDoc;
use crate::error::{CliError, Done};
use crate::select::ID_HELP;
use crate::session::Session;
use crate::style::Paint;

/// Grant a component authority beyond the default set
///
/// Capabilities: `env NAME…` (the variable as the host has it when an instance is made) or `env NAME=VALUE…`; `folder PATH`, which has
/// to exist; `clocks precise`, where clocks go by the millisecond otherwise. It takes effect on the next call. What a component asks for
/// in its manifest gives it nothing by itself; what no manifest asks for can be granted as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime grant demo:report env LANG TZ=UTC
  runtime grant demo:report folder /srv/reports --at /data --mode rw
  runtime grant demo:report clocks precise
  runtime grant demo:report --requested --dry-run")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Capability: env, folder or clocks
    #[arg(value_name = "CAP", required_unless_present = "requested", conflicts_with = "requested")]
    pub(crate) capability: Option<String>,

    /// Names of variables, with or without `=VALUE`; a folder; `precise`
    #[arg(value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,

    /// Where the guest sees the folder [default: its own name below `/`]
    #[arg(long, value_name = "PLACE")]
    pub(crate) at: Option<String>,

    /// What the guest may do in the folder: ro or rw [default: ro]
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<FolderMode>,

    /// Grant all that the component's manifest asks for
    #[arg(long)]
    pub(crate) requested: bool,

    /// Say what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What was granted, or revoked.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeDoc {
    pub(crate) id: ComponentId,
    pub(crate) changed: Vec<GrantDoc>,
    pub(crate) unchanged: Vec<GrantDoc>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    pub(crate) warnings: Vec<String>,
}

impl ChangeDoc {
    pub(crate) fn new(id: ComponentId, change: GrantChange, dry_run: bool) -> Self {
        let documents = |grants: Vec<Grant>| grants.iter().map(GrantDoc::from).collect();
        Self {
            id,
            changed: documents(change.changed),
            unchanged: documents(change.unchanged),
            dry_run,
            warnings: change.warnings,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let grants = if args.requested { registry.requested_grants(&id).await? } else { named(session, &args)? };
    let change =
        if args.dry_run { registry.plan_grant(&id, grants).await? } else { registry.grant(&id, grants).await? };
    let document = ChangeDoc::new(id, change, args.dry_run);
    session.out.result(&document, text)?;
    for warning in &document.warnings {
        session.terminal.warn(warning);
    }
    Ok(Done::All)
}

/// Reads what was typed after the component.
fn named(session: &Session, args: &Args) -> Result<Vec<Grant>, CliError> {
    let capability = args.capability.as_deref().unwrap_or_default();
    if capability != "folder" && (args.at.is_some() || args.mode.is_some()) {
        return Err(CliError::usage("`--at` and `--mode` are for folders"));
    }
    match (capability, args.scope.as_slice()) {
        ("folder", [path]) => {
            let mode = args.mode.unwrap_or_default();
            Ok(vec![here(session, Grant::folder(path, args.at.as_deref(), mode)?)?])
        }
        ("folder", [_, ..]) => Err(CliError::usage("name one folder at a time")),
        ("env", names @ [_, ..]) => Ok(names.iter().map(|name| Grant::variable(name)).collect::<Result<_, _>>()?),
        (capability, scope) => Ok(vec![format!("{capability} {}", scope.join(" ")).parse()?]),
    }
}

/// Returns a grant with its folder as this process has to look it up.
pub(crate) fn here(session: &Session, grant: Grant) -> Result<Grant, CliError> {
    match grant {
        Grant::Folder { path, at, mode } => {
            let path = session.path(Path::new(&path)).into_os_string().into_string();
            let path = path.map_err(|_| CliError::usage("the working folder is not text: name the folder in full"))?;
            Ok(Grant::Folder { path, at, mode })
        }
        other @ (Grant::Env { .. } | Grant::Clocks) => Ok(other),
    }
}

fn text(document: &ChangeDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    let would = if document.dry_run { "would grant" } else { "granted" };
    let changed = document.changed.iter().map(|grant| format!("{would} {id} {}\n", escape_line(&grant.text)));
    let unchanged = document.unchanged.iter().map(|grant| format!("unchanged {id} {}\n", escape_line(&grant.text)));
    let text: String = changed.chain(unchanged).collect();
    if text.is_empty() { format!("{id} asks for nothing\n") } else { text }
}
