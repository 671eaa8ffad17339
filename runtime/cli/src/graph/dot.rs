//! The graph for Graphviz.

use std::fmt::Write as _;

use domain::status::Status;
use domain::text::escape_line;

use super::GraphPicture;
use super::links::{Item, Line, Links};

/// Renders a `digraph` whose nodes bear the component ids, dependencies on the left.
pub(super) fn render(picture: &GraphPicture) -> String {
    let links = Links::new(picture);
    let mut out = String::from(
        "digraph components {\n  rankdir=LR\n  node [shape=box style=\"rounded,filled\" fontname=\"Helvetica,Arial,sans-serif\"]\n  \
         edge [color=\"#7b8794\" fontname=\"Helvetica,Arial,sans-serif\" fontsize=10]\n",
    );
    for item in &links.items {
        write_node(&mut out, *item);
    }
    for line in &links.lines {
        if let (Some(from), Some(to)) = (links.items.get(line.from), links.items.get(line.to)) {
            write_edges(&mut out, from.id(), to.id(), line);
        }
    }
    out.push_str("}\n");
    out
}

fn write_node(out: &mut String, item: Item<'_>) {
    let (fill, border, style) = match item.status() {
        Some(Status::Active) => ("#d9f2e8", "#007a59", "rounded,filled"),
        Some(Status::Registered) => ("#dcebfa", "#0063a8", "rounded,filled"),
        Some(Status::Inactive) => ("#e9ecef", "#5f6b77", "rounded,filled"),
        Some(Status::Error) => ("#fde3d3", "#c24a00", "rounded,filled,bold"),
        Some(Status::Discovered) => ("#f7e3f0", "#a3457d", "rounded,filled,dashed"),
        None => ("#ffffff", "#c24a00", "rounded,dashed"),
    };
    let (id, name, details) = (quoted(item.id()), label(item.label()), label(&item.details().join(" · ")));
    let status = item.status_word();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "  {id} [label=\"{name}\\n{details}\" tooltip=\"{}, {status}\" style=\"{style}\" fillcolor=\"{fill}\" color=\"{border}\"]",
        label(item.id()),
    );
}

fn write_edges(out: &mut String, from: &str, to: &str, line: &Line<'_>) {
    for edge in &line.edges {
        let style = match (edge.declared, edge.fused) {
            (true, _) => " style=dashed",
            (false, true) => " style=bold penwidth=3",
            (false, false) => "",
        };
        let _ = writeln!(out, "  {} -> {} [label=\"{}\"{style}]", quoted(from), quoted(to), label(&edge.label));
    }
}

/// Returns `id` as a quoted DOT identifier. A backslash would swallow a closing quote, so each is doubled.
fn quoted(id: &str) -> String {
    format!("\"{}\"", escape_line(id).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns `text` for the inside of a quoted label: backslashes start escapes there (`\N`), and `&` starts an entity.
fn label(text: &str) -> String {
    escape_line(text).replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphFormat, samples};

    #[test]
    fn draws_the_demo() {
        insta::assert_snapshot!(render(&samples::small()), @r##"
        digraph components {
          rankdir=LR
          node [shape=box style="rounded,filled" fontname="Helvetica,Arial,sans-serif"]
          edge [color="#7b8794" fontname="Helvetica,Arial,sans-serif" fontsize=10]
          "demo:logger" [label="logger\ndemo · 0.1.0 · service" tooltip="demo:logger, registered" style="rounded,filled" fillcolor="#dcebfa" color="#0063a8"]
          "demo:report" [label="report\ndemo · 0.1.0 · tool" tooltip="demo:report, error" style="rounded,filled,bold" fillcolor="#fde3d3" color="#c24a00"]
          "demo:text" [label="text\ndemo · 0.1.0 · library" tooltip="demo:text, active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "demo:logger" -> "demo:text" [label="demo:logger/log@0.1.0"]
          "demo:text" -> "demo:report" [label="demo:text/prose@0.1.0"]
          "demo:text" -> "demo:report" [label="depends_on" style=dashed]
        }
        "##);
    }

    #[test]
    fn a_fused_edge_is_drawn_strong() {
        let mut picture = samples::small();
        picture.edges[0].fused = true;
        let line = "  \"demo:logger\" -> \"demo:text\" [label=\"demo:logger/log@0.1.0\" style=bold penwidth=3]";
        assert!(render(&picture).lines().any(|found| found == line), "{}", render(&picture));
        let all = |format| crate::graph::render(&picture, format, crate::graph::Colour::Never);
        assert!(all(GraphFormat::Mermaid).contains("  n0 ==>|\"demo:logger/log@0.1.0\"| n2\n"));
        assert!(all(GraphFormat::Tree).contains("demo:logger@0.1.0 [registered] log@0.1.0 (fused)\n"));
        assert_eq!(all(GraphFormat::Json).matches("\"fused\": true").count(), 1);
        assert!(all(GraphFormat::Svg).contains("stroke-width=\"3.5\"") && all(GraphFormat::Svg).contains("fused with"));
    }

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        insta::assert_snapshot!(render(&samples::hostile()), @r##"
        digraph components {
          rankdir=LR
          node [shape=box style="rounded,filled" fontname="Helvetica,Arial,sans-serif"]
          edge [color="#7b8794" fontname="Helvetica,Arial,sans-serif" fontsize=10]
          "x:\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿" [label="\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿\nx · 0.1.0 · a &amp; b" tooltip="x:\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿, active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "x:\"]; evil [label=\"" [label="\"]; evil [label=\"\nx · 1\"<&amp; · a &amp; b" tooltip="x:\"]; evil [label=\", active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "x:<script>alert('1')</script>&amp;" [label="<script>alert('1')</script>&amp;amp;\nx · 0.1.0 · a &amp; b" tooltip="x:<script>alert('1')</script>&amp;amp;, active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "x:`code` #quot; |pipe| {b} --> end" [label="`code` #quot; |pipe| {b} --> end\nx · 0.1.0 · a &amp; b" tooltip="x:`code` #quot; |pipe| {b} --> end, active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "x:back\\slash\\" [label="back\\slash\\\nx · 0.1.0 · a &amp; b" tooltip="x:back\\slash\\, active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "x:世界の部品-שלום" [label="世界の部品-שלום\nx · 0.1.0 · a &amp; b" tooltip="x:世界の部品-שלום, active" style="rounded,filled" fillcolor="#d9f2e8" color="#007a59"]
          "x:\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿" -> "x:`code` #quot; |pipe| {b} --> end" [label="x:\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿/x:`code` #quot; |pipe| {b} --> end"]
          "x:\"]; evil [label=\"" -> "x:back\\slash\\" [label="x:\"]; evil [label=\"/x:back\\slash\\"]
          "x:<script>alert('1')</script>&amp;" -> "x:\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿" [label="x:<script>alert('1')</script>&amp;amp;/x:\\u{1b}[2J\\u{202e}line\\nfeed\\u{0}￿"]
          "x:`code` #quot; |pipe| {b} --> end" -> "x:世界の部品-שלום" [label="x:`code` #quot; |pipe| {b} --> end/x:世界の部品-שלום"]
          "x:back\\slash\\" -> "x:<script>alert('1')</script>&amp;" [label="x:back\\slash\\/x:<script>alert('1')</script>&amp;amp;"]
        }
        "##);
    }

    #[test]
    fn an_empty_registry_is_an_empty_digraph() {
        let text = render(&GraphPicture::default());
        assert!(text.starts_with("digraph components {") && text.ends_with("}\n") && !text.contains("->"));
    }
}
