//! `[quotas]` of the settings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use toml_edit::Value;

use super::keys::{Place, Shape};
use crate::document::{DocumentError, Table};
use crate::id::ComponentId;
use crate::manifest::ENTRIES_MAX;
use crate::manifest::parse::read_bytes;
use crate::quota::{Quota, Quotas};
use crate::suggest::nearest;
use crate::units::format_size;

/// What can be bounded, of a component and of a namespace.
const OF_COMPONENT: &[&str] = &["fuel_per_second", "calls_per_second"];
const OF_NAMESPACE: &[&str] = &["fuel_per_second", "calls_per_second", "blobs", "components"];

pub(super) fn read_quotas(table: &Table<'_>) -> Result<Quotas, DocumentError> {
    table.allow(&["component", "namespace", "components", "namespaces"])?;
    let mut quotas = Quotas::default();
    for item in table.items() {
        let inner = item.table()?;
        match item.name {
            "component" => quotas.component = read_quota(&inner, OF_COMPONENT)?,
            "namespace" => quotas.namespace = read_quota(&inner, OF_NAMESPACE)?,
            "components" => {
                for item in inner.items_bounded(ENTRIES_MAX)? {
                    let id = item.name.parse().map_err(|error: crate::id::IdError| item.invalid(error))?;
                    quotas.components.insert(id, read_quota(&item.table()?, OF_COMPONENT)?);
                }
            }
            "namespaces" => {
                for item in inner.items_bounded(ENTRIES_MAX)? {
                    if !is_namespace(item.name) {
                        return Err(item.invalid("is not the namespace of an id, such as `demo` of `demo:log`"));
                    }
                    quotas.namespaces.insert(item.name.to_owned(), read_quota(&item.table()?, OF_NAMESPACE)?);
                }
            }
            _ => {}
        }
    }
    Ok(quotas)
}

fn is_namespace(text: &str) -> bool {
    format!("{text}:x").parse::<ComponentId>().is_ok_and(|id| id.namespace() == text)
}

fn read_quota(table: &Table<'_>, keys: &'static [&'static str]) -> Result<Quota, DocumentError> {
    table.allow(keys)?;
    let mut quota = Quota::default();
    for item in table.items() {
        match item.name {
            "fuel_per_second" => quota.fuel_per_second = Some(item.positive()?),
            "calls_per_second" => quota.calls_per_second = Some(item.positive()?),
            "blobs" => quota.blob_bytes = Some(read_bytes(&item)?),
            "components" => quota.components = Some(item.positive()?),
            _ => {}
        }
    }
    Ok(quota)
}

/// Finds a key below `quotas.`; the error is the known key that is most like it.
pub(super) fn find(rest: &str) -> Result<Place, Option<String>> {
    let parts: Vec<&str> = rest.split('.').collect();
    let (tables, name, known) = match parts.as_slice() {
        ["component", name] => (vec!["component"], name, OF_COMPONENT),
        ["namespace", name] => (vec!["namespace"], name, OF_NAMESPACE),
        ["components", id, name] if id.parse::<ComponentId>().is_ok() => (vec!["components", *id], name, OF_COMPONENT),
        ["namespaces", namespace, name] if is_namespace(namespace) => {
            (vec!["namespaces", *namespace], name, OF_NAMESPACE)
        }
        _ => {
            let all = OF_COMPONENT.iter().map(|name| format!("quotas.component.{name}"));
            let all: Vec<_> = all.chain(OF_NAMESPACE.iter().map(|name| format!("quotas.namespace.{name}"))).collect();
            return Err(nearest(&format!("quotas.{rest}"), all.iter().map(String::as_str)).map(str::to_owned));
        }
    };
    if !known.contains(name) {
        let near = nearest(name, known.iter().copied());
        return Err(near.map(|near| format!("quotas.{}.{near}", tables.join("."))));
    }
    let shape = if *name == "blobs" { Shape::TextOrNumber } else { Shape::Number };
    let path = std::iter::once("quotas").chain(tables).chain([*name]);
    Ok(Place { path: path.map(str::to_owned).collect(), shape })
}

/// Returns the quotas that are set: key, value, sentence.
pub(super) fn values(quotas: &Quotas) -> Vec<(String, Value, Cow<'static, str>)> {
    let mut values = Vec::new();
    add(&mut values, "quotas.component", "each component", &quotas.component);
    add(&mut values, "quotas.namespace", "all components of a namespace together", &quotas.namespace);
    add_all(&mut values, "components", &quotas.components);
    add_all(&mut values, "namespaces", &quotas.namespaces);
    values
}

type Values = Vec<(String, Value, Cow<'static, str>)>;

fn add_all<K: Display>(values: &mut Values, table: &str, quotas: &BTreeMap<K, Quota>) {
    for (name, quota) in quotas {
        add(values, &format!("quotas.{table}.{name}"), &format!("`{name}`"), quota);
    }
}

fn add(values: &mut Values, table: &str, whom: &str, quota: &Quota) {
    let number = |number: u64| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    let rows = [
        ("fuel_per_second", quota.fuel_per_second.map(number), "The fuel that %s may use in a second"),
        ("calls_per_second", quota.calls_per_second.map(number), "The calls that %s may be asked for in a second"),
        ("blobs", quota.blob_bytes.map(|bytes| format_size(bytes).into()), "The bytes of all revisions of %s"),
        ("components", quota.components.map(number), "How many there may be of %s"),
    ];
    for (name, value, doc) in rows {
        values.extend(value.map(|value| (format!("{table}.{name}"), value, doc.replace("%s", whom).into())));
    }
}
