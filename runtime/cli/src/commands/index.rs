use domain::text::escape_line;
use serde::Serialize;

use crate::commands::list;
use crate::dto::EntryDoc;
use crate::error::{CliError, Done};
use crate::session::Session;
use crate::style::Paint;
use crate::table::Table;

/// Make and use indexes on metadata keys
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime index create author
  runtime index get author Acme
  runtime index get author
  runtime index drop author")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with an index.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Make an index on a metadata key
    Create {
        /// Key under `[metadata]`
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Drop an index
    Drop {
        /// The index's key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// List the indexes
    List,
    /// Show the components under a value, or the values there are
    Get {
        /// The index's key
        #[arg(value_name = "KEY")]
        key: String,
        /// The value to find
        #[arg(value_name = "VALUE")]
        value: Option<String>,
    },
}

#[derive(Debug, Serialize)]
struct ChangedDoc {
    index: String,
    changed: bool,
}

#[derive(Debug, Serialize)]
struct IndexesDoc {
    indexes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FoundDoc {
    index: String,
    key: String,
    components: Vec<EntryDoc>,
}

#[derive(Debug, Serialize)]
struct KeysDoc {
    index: String,
    keys: Vec<KeyDoc>,
}

#[derive(Debug, Serialize)]
struct KeyDoc {
    key: String,
    count: u64,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    match args.action {
        Action::Create { key } => {
            let changed = registry.create_metadata_index(&key).await?;
            let word = if changed { "created" } else { "unchanged" };
            print_changed(session, ChangedDoc { index: key, changed }, word)
        }
        Action::Drop { key } => {
            if !registry.drop_index(&key).await? {
                let known = registry.indexes().await?;
                let shown = escape_line(&key).into_owned();
                let error = CliError::not_found("index-not-found", format!("there is no index `{shown}`"));
                return Err(if known.is_empty() {
                    error
                } else {
                    error.hint(format!("indexes: {}", known.join(", ")))
                });
            }
            print_changed(session, ChangedDoc { index: key, changed: true }, "dropped")
        }
        Action::List => {
            let document = IndexesDoc { indexes: registry.indexes().await? };
            session.out.result(&document, |document, paint| match document.indexes.as_slice() {
                [] => format!("{}\n", paint.dim("no indexes")),
                indexes => indexes.iter().map(|index| format!("{}\n", escape_line(index))).collect(),
            })?;
            Ok(Done::All)
        }
        Action::Get { key, value: Some(value) } => {
            let found = registry.by_index(&key, &value).await?;
            let components = found.iter().map(EntryDoc::from).collect();
            let document = FoundDoc { index: key, key: value, components };
            session.out.result(&document, |document, paint| list::text(&document.components, paint))?;
            Ok(Done::All)
        }
        Action::Get { key, value: None } => {
            let keys = registry.index_keys(&key).await?;
            let keys = keys.into_iter().map(|(key, count)| KeyDoc { key, count }).collect();
            session.out.result(&KeysDoc { index: key, keys }, keys_text)?;
            Ok(Done::All)
        }
    }
}

fn print_changed(session: &Session, document: ChangedDoc, word: &str) -> Result<Done, CliError> {
    session.out.result(&document, |document, _| format!("{word} index {}\n", escape_line(&document.index)))?;
    Ok(Done::All)
}

fn keys_text(document: &KeysDoc, paint: Paint) -> String {
    if document.keys.is_empty() {
        return format!("{}\n", paint.dim("no component has that key"));
    }
    let mut table = Table::new(&["VALUE", ">COMPONENTS"]);
    for key in &document.keys {
        table.row(vec![escape_line(&key.key).into_owned().into(), key.count.to_string().into()]);
    }
    table.render()
}
