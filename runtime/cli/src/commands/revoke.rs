use domain::grant::Revocation;
use domain::text::escape_line;

use crate::commands::grant::ChangeDoc;
use crate::error::{CliError, Done};
use crate::select::ID_HELP;
use crate::session::Session;
use crate::style::Paint;

/// Take authority back from a component
///
/// It takes effect on the next call; a call under way ends with what it began with. Without a scope, all grants of the capability are
/// meant. A folder is named by its path on the host or by the place where the guest sees it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime revoke demo:report env LANG
  runtime revoke demo:report folder /data
  runtime revoke demo:report env
  runtime revoke demo:report --all")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Capability: env, folder or clocks
    #[arg(value_name = "CAP", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) capability: Option<String>,

    /// Name of a variable; a folder or its place
    #[arg(value_name = "SCOPE")]
    pub(crate) scope: Option<String>,

    /// Take back everything
    #[arg(long)]
    pub(crate) all: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let what = match &args.capability {
        None => Revocation::All,
        Some(capability) => meant_here(session, Revocation::parse(capability, args.scope.as_deref())?),
    };
    let change = registry.revoke(&id, what).await?;
    let document = ChangeDoc::new(id, change, false);
    session.out.result(&document, text)?;
    Ok(Done::All)
}

/// Lets a folder be named as it can be from where the command was typed; one that is gone by its full path.
pub(crate) fn meant_here(session: &Session, what: Revocation) -> Revocation {
    let Revocation::Folder(mut names) = what else { return what };
    let typed = names.first().map(|name| session.path(std::path::Path::new(name)));
    let found = typed.and_then(|path| std::fs::canonicalize(path).ok());
    names.extend(found.and_then(|path| path.into_os_string().into_string().ok()));
    Revocation::Folder(names)
}

fn text(document: &ChangeDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    let text: String =
        document.changed.iter().map(|grant| format!("revoked {id} {}\n", escape_line(&grant.text))).collect();
    if text.is_empty() { format!("nothing was granted to {id}\n") } else { text }
}
