//! One component of several: the exports of some are what the imports of others are served with, within one binary.

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::ports::{EngineError, FusePart};
use domain::settings::CompileSettings;
use domain::text::{escape_line, truncate};
use domain::units::format_size;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

use crate::inspect::precheck;

/// Longest reason that is passed on, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

/// Makes one component of `root` and `parts`; see [`domain::ports::Engine::compose`].
///
/// What comes out is checked where it is compiled, as any component is.
pub(crate) fn compose(root: &FusePart, parts: &[FusePart], compile: &CompileSettings) -> Result<Vec<u8>, EngineError> {
    let all = || std::iter::once(root).chain(parts);
    check_size(all().map(|part| part.bytes.len() as u64).sum(), compile)?;
    // Guest-controlled: nothing looks into the bytes before they were counted.
    all().try_for_each(|part| precheck(&part.bytes, compile).map(drop))?;
    // Where it meets a type that it does not know, the composer panics. It owns all that it was working on.
    match catch_unwind(AssertUnwindSafe(|| Composition::new(root, parts)?.encode(root))) {
        Ok(composed) => composed,
        Err(_) => Err(refused("their types are of a sort that cannot be composed")),
    }
}

fn check_size(size: u64, compile: &CompileSettings) -> Result<(), EngineError> {
    let max = compile.size_bytes;
    if size <= max {
        return Ok(());
    }
    let shown = format_size(max);
    Err(refused(&format!("together they have {size} bytes, at most {max} ({shown}, `compile.size`) are allowed")))
}

/// A component in the graph.
#[derive(Clone, Copy)]
struct Placed {
    package: PackageId,
    instance: NodeId,
}

/// The parts, with an instance of each.
struct Composition {
    graph: CompositionGraph,
    root: Placed,
}

impl Composition {
    fn new(root: &FusePart, parts: &[FusePart]) -> Result<Self, EngineError> {
        let mut graph = CompositionGraph::new();
        let mut placed = Vec::with_capacity(parts.len());
        for (number, part) in parts.iter().enumerate() {
            placed.push(place(&mut graph, &format!("part-{number}"), part)?);
        }
        let root_placed = place(&mut graph, "root", root)?;
        let all = parts.iter().zip(placed.iter().copied()).chain([(root, root_placed)]);
        for (part, at) in all {
            for link in &part.links {
                let from = placed.get(link.part).ok_or_else(|| refused("a link leads to a part that is not there"))?;
                let argument = graph
                    .alias_instance_export(from.instance, &link.export)
                    .map_err(|error| unfit(part, &link.import, &error))?;
                graph
                    .set_instantiation_argument(at.instance, &link.import, argument)
                    .map_err(|error| unfit(part, &link.import, &error))?;
            }
        }
        Ok(Self { graph, root: root_placed })
    }

    /// Exports what the root exports, and writes the binary.
    fn encode(mut self, root: &FusePart) -> Result<Vec<u8>, EngineError> {
        let graph = &mut self.graph;
        let names: Vec<String> = graph.types()[graph[self.root.package].ty()].exports.keys().cloned().collect();
        for name in names {
            let export = graph.alias_instance_export(self.root.instance, &name);
            let export = export.map_err(|error| lost(root, &name, &error))?;
            graph.export(export, &name).map_err(|error| lost(root, &name, &error))?;
        }
        let options = EncodeOptions { define_components: true, validate: false, processor: None };
        graph.encode(options).map_err(|error| refused(&chain(&error)))
    }
}

/// Puts a component into the graph, under a name that does not depend on its id: equal bytes are composed to equal bytes.
fn place(graph: &mut CompositionGraph, name: &str, part: &FusePart) -> Result<Placed, EngineError> {
    let unreadable = |reason: String| refused(&format!("{} cannot be read: {reason}", part.id));
    let package = Package::from_bytes(name, None, part.bytes.to_vec(), graph.types_mut())
        .map_err(|error| unreadable(format!("{error:#}")))?;
    let package = graph.register_package(package).map_err(|error| unreadable(chain(&error)))?;
    let instance = graph.instantiate(package);
    Ok(Placed { package, instance })
}

fn unfit(part: &FusePart, import: &str, error: &dyn std::error::Error) -> EngineError {
    refused(&format!("import `{import}` of {}: {}", part.id, chain(error)))
}

fn lost(root: &FusePart, export: &str, error: &dyn std::error::Error) -> EngineError {
    refused(&format!("export `{export}` of {}: {}", root.id, chain(error)))
}

/// Says an error with all that it stems from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

fn refused(reason: &str) -> EngineError {
    EngineError::CannotCompose { reason: escape_line(&truncate(reason, REASON_BYTES_MAX)).into_owned() }
}
