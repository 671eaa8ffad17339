use domain::{ComponentId, Version};
use registry::{Registry, RegistryError, RevisionDiff};
use serde::Serialize;

use domain::text::escape_line;

use crate::breaking::{ItemDoc, items, items_text};
use crate::dto::GrantDoc;
use crate::error::{CliError, Done};
use crate::output::human_size;
use crate::select::ID_HELP;
use crate::session::Session;
use crate::style::Paint;

/// Compare two revisions of a component
///
/// Item by item: functions and types of what it imports and exports, what it asks for, limits, metadata, dependencies and all else in
/// its manifest, and its binary.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime diff demo:log 1.0.0 1.1.0
  runtime diff demo:log 2 3")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Version, or number of a revision, to compare
    #[arg(value_name = "A")]
    pub(crate) old: String,

    /// Version, or number of a revision, to compare it with
    #[arg(value_name = "B")]
    pub(crate) new: String,
}

#[derive(Debug, Serialize)]
struct DiffDoc {
    id: ComponentId,
    old: EndDoc,
    new: EndDoc,
    /// What the change means to those who link with its exports.
    verdict: &'static str,
    same_binary: bool,
    imports: Vec<ItemDoc>,
    exports: Vec<ItemDoc>,
    asks_anew: Vec<GrantDoc>,
    asks_no_more: Vec<GrantDoc>,
    /// What else differs in the component manifest.
    manifest: Vec<FieldDoc>,
}

#[derive(Debug, Serialize)]
struct EndDoc {
    version: String,
    revision: u32,
    digest: String,
    size: u64,
}

#[derive(Debug, Serialize)]
struct FieldDoc {
    key: String,
    old: Option<serde_json::Value>,
    new: Option<serde_json::Value>,
}

impl From<RevisionDiff> for DiffDoc {
    fn from(diff: RevisionDiff) -> Self {
        let end = |revision: &domain::Revision| EndDoc {
            version: revision.version.to_string(),
            revision: revision.number,
            digest: revision.digest.to_string(),
            size: revision.size,
        };
        let fields = diff.fields.into_iter();
        Self {
            old: end(&diff.old),
            new: end(&diff.new),
            verdict: diff.exports.verdict().as_str(),
            same_binary: diff.old.digest == diff.new.digest,
            imports: items(&diff.imports, false),
            exports: items(&diff.exports, true),
            asks_anew: diff.asks_anew.iter().map(GrantDoc::from).collect(),
            asks_no_more: diff.asks_no_more.iter().map(GrantDoc::from).collect(),
            manifest: fields.map(|field| FieldDoc { key: field.key, old: field.old, new: field.new }).collect(),
            id: diff.id,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let (old, new) = (meant(registry, &id, &args.old).await?, meant(registry, &id, &args.new).await?);
    let document = DiffDoc::from(registry.diff(&id, old, new).await?);
    session.out.result(&document, text)?;
    Ok(Done::All)
}

/// Finds the revision that is meant by a number or a version.
async fn meant(registry: &Registry, id: &ComponentId, text: &str) -> Result<u32, CliError> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match Version::parse(text) {
        Ok(version) => registry.revision_of(id, &version).await.map_err(|error: RegistryError| error.into()),
        Err(_) => Err(CliError::usage(format!("`{}` is neither a version nor a revision", escape_line(text)))
            .hint(format!("`runtime versions {id}` lists them"))),
    }
}

fn text(document: &DiffDoc, paint: Paint) -> String {
    let end = |end: &EndDoc| format!("{} (revision {})", end.version, end.revision);
    let id = paint.bold(document.id.as_str());
    let mut text = format!("{id} {} → {}: {}\n", end(&document.old), end(&document.new), document.verdict);
    text.push_str(&items_text("export", &document.exports, paint));
    text.push_str(&items_text("import", &document.imports, paint));
    for grant in &document.asks_anew {
        text.push_str(&format!("{} asks for {}\n", paint.green("+"), escape_line(&grant.text)));
    }
    for grant in &document.asks_no_more {
        text.push_str(&format!("{} asks for {}\n", paint.red("-"), escape_line(&grant.text)));
    }
    for field in &document.manifest {
        let (key, mark) = (escape_line(&field.key), paint.yellow("~"));
        text.push_str(&format!("{mark} {key}: {} → {}\n", value(field.old.as_ref()), value(field.new.as_ref())));
    }
    if document.same_binary {
        text.push_str("the binary is the same\n");
    } else {
        let (old, new) = (&document.old, &document.new);
        let size = format!("{} → {}", human_size(old.size), human_size(new.size));
        text.push_str(&format!("{} binary: {size}, {} → {}\n", paint.yellow("~"), short(old), short(new)));
    }
    text
}

fn short(end: &EndDoc) -> &str {
    end.digest.get(..19).unwrap_or(&end.digest)
}

fn value(value: Option<&serde_json::Value>) -> String {
    value.map_or("none".to_owned(), |value| escape_line(&value.to_string()).into_owned())
}
