use domain::text::escape_line;
use domain::{ComponentId, ErrorKind};
use registry::{DependencyFault, DependencyProblem, Registry, RegistryError};
use serde::Serialize;

use crate::commands::graph::tree_of;
use crate::commands::print_each;
use crate::dto::EdgeDoc;
use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// Show what a component needs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime deps demo:report
  runtime deps demo:report --tree
  runtime deps demo:report --check")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,

    /// Follow the edges of dependencies too
    #[arg(long)]
    pub(crate) transitive: bool,

    /// Draw a tree
    #[arg(long, conflicts_with = "check")]
    pub(crate) tree: bool,

    /// Check each dependency; one that is missing, in error or not active marks the component
    #[arg(long)]
    pub(crate) check: bool,
}

/// Which way edges are followed from a component.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// To what it needs.
    ToDependencies,
    /// To what needs it.
    ToDependents,
}

impl Way {
    /// Returns the far and the near end of an edge that runs from a dependency to a dependent.
    fn ends<'a>(self, from: &'a ComponentId, to: &'a ComponentId) -> (&'a ComponentId, &'a ComponentId) {
        match self {
            Self::ToDependencies => (from, to),
            Self::ToDependents => (to, from),
        }
    }
}

/// Which edges are shown, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) way: Way,
    pub(crate) transitive: bool,
    pub(crate) tree: bool,
}

/// Edges of one component.
#[derive(Debug, Serialize)]
pub(crate) struct EdgesDoc {
    pub(crate) id: ComponentId,
    pub(crate) edges: Vec<EdgeDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problems: Option<Vec<ProblemDoc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<CliError>,
    /// Drawn for people instead of the table.
    #[serde(skip)]
    pub(crate) tree: Option<String>,
}

/// What is wrong with one dependency.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemDoc {
    id: String,
    problem: &'static str,
    message: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let shown = Shown { way: Way::ToDependencies, transitive: args.transitive, tree: args.tree };
    let made = selected.documents(async |target| {
        let mut document = edges_of(session, registry, &target.id, shown).await?;
        if args.check {
            check(registry, &mut document).await?;
        }
        Ok(document)
    });
    let (documents, failed) = made.await;
    let problem = documents.iter().find_map(|document| document.error.clone());
    let done = print_each(session, "components", args.ids.len(), documents, failed, |document, paint| {
        text(document, paint, shown.way)
    })?;
    match (done, problem) {
        (Done::All, Some(problem)) => {
            if !session.out.is_json() {
                problem.print(None, &session.terminal);
            }
            Ok(Done::of(Some(&problem)))
        }
        (done, _) => Ok(done),
    }
}

/// Makes the document of a component's edges.
pub(crate) async fn edges_of(
    session: &Session,
    registry: &Registry,
    id: &ComponentId,
    shown: Shown,
) -> Result<EdgesDoc, RegistryError> {
    let follow = shown.transitive || shown.tree;
    let edges = match shown.way {
        Way::ToDependencies => registry.dependencies(id, follow).await?,
        Way::ToDependents => registry.dependents(id, follow).await?,
    };
    let paint = session.out.paint();
    let tree = match shown.tree && !session.out.is_json() {
        // It grows from the component to the far ends.
        true => Some(tree_of(registry, id, &edges, |edge| shown.way.ends(&edge.from, &edge.to), paint).await?),
        false => None,
    };
    let edges = edges.iter().map(EdgeDoc::from).collect();
    Ok(EdgesDoc { id: id.clone(), edges, problems: None, error: None, tree })
}

/// Adds what is wrong with the dependencies.
async fn check(registry: &Registry, document: &mut EdgesDoc) -> Result<(), RegistryError> {
    let id = &document.id;
    let problems = registry.validate_dependencies(id).await?;
    document.error = problems.first().map(|first| {
        let kind = match first.fault {
            DependencyFault::Missing => ErrorKind::NotFound,
            DependencyFault::InError | DependencyFault::NotActive => ErrorKind::Conflict,
        };
        let message = format!("`{id}` has dependencies that are not as it needs them: {}", first.message);
        CliError::found(kind, "dependency", message).about(id)
    });
    let doc = |problem: DependencyProblem| ProblemDoc {
        id: problem.need,
        problem: problem.fault.as_str(),
        message: problem.message,
    };
    document.problems = Some(problems.into_iter().map(doc).collect());
    Ok(())
}

/// Shows edges as a table, or as the tree that was drawn.
pub(crate) fn text(document: &EdgesDoc, paint: Paint, way: Way) -> String {
    if let Some(tree) = &document.tree {
        return tree.clone();
    }
    let mut text = format!("{}\n", paint.bold(document.id.as_str()));
    if document.edges.is_empty() {
        text.push_str("  nothing\n");
    } else {
        let direct = document.edges.iter().all(|edge| edge.to == document.id || edge.from == document.id);
        let mut table = Table::new(&["  COMPONENT", "STATUS", "KIND", "INTERFACE", if direct { "" } else { "EDGE" }]);
        for edge in &document.edges {
            let status = edge.status.unwrap_or("missing");
            let painted =
                status.parse::<domain::Status>().map_or_else(|_| paint.red(status), |status| paint.status(status));
            let label = edge.interface.clone().or_else(|| edge.range.clone()).unwrap_or_default();
            let route = if direct { String::new() } else { format!("{} needs {}", edge.to, edge.from) };
            table.row(vec![
                format!("  {}", way.ends(&edge.from, &edge.to).0).into(),
                Cell::painted(status, painted),
                if edge.fused { "fused" } else { edge.kind }.into(),
                escape_line(&label).into_owned().into(),
                route.into(),
            ]);
        }
        text.push_str(&table.render());
    }
    for problem in document.problems.iter().flatten() {
        text.push_str(&format!("  {} {}\n", paint.red(problem.problem), escape_line(&problem.message)));
    }
    if document.problems.as_ref().is_some_and(Vec::is_empty) {
        text.push_str(&format!("  {}\n", paint.green("all dependencies are active")));
    }
    text
}
