//! The graph as a Mermaid flowchart, which Markdown viewers draw.

use std::fmt::Write as _;

use domain::status::Status;
use domain::text::escape_line;

use super::GraphPicture;
use super::links::{Item, Links};

/// Edges that Mermaid draws unless its configuration says otherwise.
const EDGES_DRAWN_BY_DEFAULT: usize = 500;

const CLASSES: &str = "  classDef active fill:#d9f2e8,stroke:#007a59,color:#13202b
  classDef registered fill:#dcebfa,stroke:#0063a8,color:#13202b
  classDef inactive fill:#e9ecef,stroke:#5f6b77,color:#13202b
  classDef error fill:#fde3d3,stroke:#c24a00,stroke-width:2px,color:#13202b
  classDef discovered fill:#f7e3f0,stroke:#a3457d,stroke-dasharray:4 3,color:#13202b
  classDef missing fill:#ffffff,stroke:#c24a00,stroke-dasharray:4 3,color:#13202b
";

/// Renders a left-to-right flowchart, dependencies on the left; a class for each status.
pub(super) fn render(picture: &GraphPicture) -> String {
    let links = Links::new(picture);
    let edges: usize = links.lines.iter().map(|line| line.edges.len()).sum();
    let mut out = String::from("flowchart LR\n");
    // Writing to a String cannot fail.
    if links.items.is_empty() {
        out.push_str("  %% no components\n");
        return out;
    }
    if edges > EDGES_DRAWN_BY_DEFAULT {
        let _ =
            writeln!(out, "  %% {edges} edges: the viewer needs maxEdges and maxTextSize raised in its configuration");
    }
    for (i, item) in links.items.iter().enumerate() {
        let details: Vec<String> = item.details().into_iter().map(text).collect();
        let (name, details) = (text(item.label()), details.join(" · "));
        let _ = writeln!(out, "  n{i}[\"{name}<br/>{details}\"]:::{}", class(*item));
    }
    for line in &links.lines {
        for edge in &line.edges {
            let arrow = match (edge.declared, edge.fused) {
                (true, _) => "-.->",
                (false, true) => "==>",
                (false, false) => "-->",
            };
            let _ = writeln!(out, "  n{} {arrow}|\"{}\"| n{}", line.from, text(&edge.label), line.to);
        }
    }
    out.push_str(CLASSES);
    out
}

fn class(item: Item<'_>) -> &'static str {
    item.status().map_or("missing", Status::as_str)
}

/// Returns `raw` for the inside of a quoted label: all that Mermaid, Markdown or HTML could read as theirs becomes `#code;`.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in escape_line(raw).chars() {
        let harmless = c.is_alphanumeric() || matches!(c, ' ' | ':' | '/' | '@' | '.' | '-' | '_' | '+' | '…');
        if harmless {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    // Mermaid refuses an empty label.
    if out.is_empty() { "#32;".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    #[test]
    fn draws_the_demo() {
        insta::assert_snapshot!(render(&samples::small()), @r#"
        flowchart LR
          n0["logger<br/>demo · 0.1.0 · service"]:::registered
          n1["report<br/>demo · 0.1.0 · tool"]:::error
          n2["text<br/>demo · 0.1.0 · library"]:::active
          n0 -->|"demo:logger/log@0.1.0"| n2
          n2 -->|"demo:text/prose@0.1.0"| n1
          n2 -.->|"depends_on"| n1
          classDef active fill:#d9f2e8,stroke:#007a59,color:#13202b
          classDef registered fill:#dcebfa,stroke:#0063a8,color:#13202b
          classDef inactive fill:#e9ecef,stroke:#5f6b77,color:#13202b
          classDef error fill:#fde3d3,stroke:#c24a00,stroke-width:2px,color:#13202b
          classDef discovered fill:#f7e3f0,stroke:#a3457d,stroke-dasharray:4 3,color:#13202b
          classDef missing fill:#ffffff,stroke:#c24a00,stroke-dasharray:4 3,color:#13202b
        "#);
    }

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        insta::assert_snapshot!(render(&samples::hostile()), @r##"
        flowchart LR
          n0["#92;u#123;1b#125;#91;2J#92;u#123;202e#125;line#92;nfeed#92;u#123;0#125;#65535;<br/>x · 0.1.0 · a #38; b"]:::active
          n1["#34;#93;#59; evil #91;label#61;#34;<br/>x · 1#34;#60;#38; · a #38; b"]:::active
          n2["#60;script#62;alert#40;#39;1#39;#41;#60;/script#62;#38;amp#59;<br/>x · 0.1.0 · a #38; b"]:::active
          n3["#96;code#96; #35;quot#59; #124;pipe#124; #123;b#125; --#62; end<br/>x · 0.1.0 · a #38; b"]:::active
          n4["back#92;slash#92;<br/>x · 0.1.0 · a #38; b"]:::active
          n5["世界の部品-שלום<br/>x · 0.1.0 · a #38; b"]:::active
          n0 -->|"x:#92;u#123;1b#125;#91;2J#92;u#123;202e#125;line#92;nfeed#92;u#123;0#125;#65535;/x:#96;code#96; #35;quot#59; #124;pipe#124; #123;b#125; --#62; end"| n3
          n1 -->|"x:#34;#93;#59; evil #91;label#61;#34;/x:back#92;slash#92;"| n4
          n2 -->|"x:#60;script#62;alert#40;#39;1#39;#41;#60;/script#62;#38;amp#59;/x:#92;u#123;1b#125;#91;2J#92;u#123;202e#125;line#92;nfeed#92;u#123;0#125;#65535;"| n0
          n3 -->|"x:#96;code#96; #35;quot#59; #124;pipe#124; #123;b#125; --#62; end/x:世界の部品-שלום"| n5
          n4 -->|"x:back#92;slash#92;/x:#60;script#62;alert#40;#39;1#39;#41;#60;/script#62;#38;amp#59;"| n2
          classDef active fill:#d9f2e8,stroke:#007a59,color:#13202b
          classDef registered fill:#dcebfa,stroke:#0063a8,color:#13202b
          classDef inactive fill:#e9ecef,stroke:#5f6b77,color:#13202b
          classDef error fill:#fde3d3,stroke:#c24a00,stroke-width:2px,color:#13202b
          classDef discovered fill:#f7e3f0,stroke:#a3457d,stroke-dasharray:4 3,color:#13202b
          classDef missing fill:#ffffff,stroke:#c24a00,stroke-dasharray:4 3,color:#13202b
        "##);
    }

    #[test]
    fn an_empty_registry_is_a_flowchart_without_nodes() {
        assert_eq!(render(&GraphPicture::default()), "flowchart LR\n  %% no components\n");
    }

    #[test]
    fn says_when_a_viewer_would_refuse_the_number_of_edges() {
        let text = render(&samples::random(400, 600, 7));
        assert!(text.lines().nth(1).unwrap().contains("maxEdges"), "{text}");
        assert!(!render(&samples::demo()).contains("maxEdges"));
    }
}
