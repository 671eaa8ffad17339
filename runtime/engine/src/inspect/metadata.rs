//! What tools and authors wrote into a binary's custom sections. All of it is a stranger's word, taken with a bound.

use std::collections::BTreeMap;

use domain::manifest::VERSION_BYTES_MAX;
use domain::text::truncate;
use semver::Version;
use wasmparser::{ComponentName, CustomSectionReader, KnownCustom, Parser, Payload};

use crate::settings::{METADATA_ENTRIES_MAX, METADATA_TEXT_MAX};

/// Sections of plain text, as `wasm-tools metadata add` writes them.
const TEXT_SECTIONS: &[&str] = &["authors", "description", "licenses", "source", "homepage", "revision", "version"];

#[derive(Default)]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) version: Option<Version>,
    pub(super) description: Option<String>,
    pub(super) other: BTreeMap<String, String>,
}

/// Reads the metadata of the component itself, and the producers of the core modules right inside it as well, for that is
/// where compilers leave their names. A section that cannot be read is skipped.
pub(super) fn read(bytes: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::CustomSection(section)) if depth <= 1 => read_section(&mut metadata, &section, depth),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    metadata
}

fn read_section(metadata: &mut Metadata, section: &CustomSectionReader<'_>, depth: usize) {
    match section.as_known() {
        KnownCustom::ComponentName(names) if depth == 0 => {
            for name in names.into_iter().flatten() {
                if let ComponentName::Component { name, .. } = name {
                    metadata.name = Some(bounded(name));
                }
            }
        }
        KnownCustom::Producers(fields) => {
            for field in fields.into_iter().flatten() {
                for value in field.values.into_iter().flatten() {
                    let text = if value.version.is_empty() {
                        value.name.to_owned()
                    } else {
                        format!("{} {}", value.name, value.version)
                    };
                    add_producer(metadata, field.name, &text);
                }
            }
        }
        _ if depth == 0 && TEXT_SECTIONS.contains(&section.name()) => {
            if let Ok(text) = std::str::from_utf8(section.data()) {
                add_text(metadata, section.name(), text);
            }
        }
        _ => {}
    }
}

fn add_text(metadata: &mut Metadata, name: &str, text: &str) {
    match name {
        "description" => metadata.description = Some(bounded(text)),
        "version" => match Version::parse(text) {
            Ok(version) if text.len() <= VERSION_BYTES_MAX => metadata.version = Some(version),
            // Not semver, or longer than a version may be: shown as the author wrote it, but it cannot order revisions.
            Ok(_) | Err(_) => add(metadata, name, bounded(text)),
        },
        _ => add(metadata, name, bounded(text)),
    }
}

/// Adds to the comma-separated list of a producers field, each producer once.
fn add_producer(metadata: &mut Metadata, field: &str, text: &str) {
    let known = metadata.other.get(field).cloned().unwrap_or_default();
    if known.split(", ").any(|one| one == text) {
        return;
    }
    let list = if known.is_empty() { text.to_owned() } else { format!("{known}, {text}") };
    if list.len() <= METADATA_TEXT_MAX {
        add(metadata, field, list);
    }
}

fn add(metadata: &mut Metadata, key: &str, value: String) {
    if metadata.other.len() < METADATA_ENTRIES_MAX || metadata.other.contains_key(key) {
        metadata.other.insert(bounded(key), value);
    }
}

fn bounded(text: &str) -> String {
    truncate(text, METADATA_TEXT_MAX).into_owned()
}
