//! The graph as one JSON document: the shape is public and only ever grows.

use serde::Serialize;

use super::GraphPicture;

#[derive(Serialize)]
struct Document<'a> {
    nodes: Vec<NodeRecord<'a>>,
    edges: Vec<EdgeRecord<'a>>,
}

#[derive(Serialize)]
struct NodeRecord<'a> {
    id: &'a str,
    label: &'a str,
    kind: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unresolved: &'a [String],
}

#[derive(Serialize)]
struct EdgeRecord<'a> {
    from: &'a str,
    to: &'a str,
    label: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fused: bool,
}

/// Renders `{"nodes":[{"id","label","kind","status",…}],"edges":[{"from","to","label",…}]}`, edges from dependency to dependent.
pub(super) fn render(picture: &GraphPicture) -> String {
    let nodes = picture.nodes.iter().map(|node| NodeRecord {
        id: &node.id,
        label: &node.label,
        kind: &node.kind,
        status: node.status.as_str(),
        version: &node.version,
        unresolved: &node.unresolved,
    });
    let edges = picture.edges.iter().map(|edge| EdgeRecord {
        from: &edge.from,
        to: &edge.to,
        label: &edge.label,
        kind: if edge.declared { "declared" } else { "import" },
        fused: edge.fused,
    });
    let document = Document { nodes: nodes.collect(), edges: edges.collect() };
    let mut text = serde_json::to_string_pretty(&document).expect("strings and lists always become JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    #[test]
    fn writes_what_scripts_rely_on() {
        let mut picture = samples::demo();
        picture.nodes.truncate(2);
        picture.edges.truncate(1);
        insta::assert_snapshot!(render(&picture), @r#"
        {
          "nodes": [
            {
              "id": "demo:logger",
              "label": "logger",
              "kind": "service",
              "status": "active",
              "version": "0.1.0"
            },
            {
              "id": "demo:facts",
              "label": "facts",
              "kind": "service",
              "status": "active",
              "version": "0.1.0"
            }
          ],
          "edges": [
            {
              "from": "demo:logger",
              "to": "demo:facts",
              "label": "demo:logger/log@0.1.0",
              "kind": "import"
            }
          ]
        }
        "#);
    }

    #[test]
    fn names_survive_a_round_trip_whatever_they_hold() {
        let picture = samples::hostile();
        let value: serde_json::Value = serde_json::from_str(&render(&picture)).unwrap();
        let ids: Vec<_> = value["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
        assert_eq!(ids, picture.nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>());
        assert_eq!(value["edges"].as_array().unwrap().len(), picture.edges.len());
    }

    #[test]
    fn an_empty_registry_is_two_empty_lists() {
        let value: serde_json::Value = serde_json::from_str(&render(&GraphPicture::default())).unwrap();
        assert_eq!(value, serde_json::json!({"nodes": [], "edges": []}));
    }
}
