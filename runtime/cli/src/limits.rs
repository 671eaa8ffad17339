//! The limits in force, for people and for scripts.

use std::collections::BTreeMap;

use domain::limits::{Limit, LimitSource, LimitUnit, LimitsInForce};

use crate::output::human_count;

/// Returns the limits in force by name.
pub(crate) fn values(limits: &LimitsInForce) -> BTreeMap<&'static str, u64> {
    let stack = (STACK_FIELD, limits.stack_bytes);
    limits.iter().map(|(limit, value, _)| (limit.field(), value)).chain([stack]).collect()
}

/// Returns where the limits in force come from, by the same names.
pub(crate) fn sources(limits: &LimitsInForce) -> BTreeMap<&'static str, &'static str> {
    let stack = (STACK_FIELD, limits.stack_source().as_str());
    limits.iter().map(|(limit, _, source)| (limit.field(), source.as_str())).chain([stack]).collect()
}

/// The stack's name in JSON: it is no limit that a component can ask for, but shown with them.
const STACK_FIELD: &str = "stack_bytes";

/// Most characters of a line of limits.
const LINE_MAX: usize = 90;

/// Returns the lines that tell people: each limit that somebody set with whoever did, the others together.
pub(crate) fn lines(
    values: &BTreeMap<&'static str, u64>,
    sources: &BTreeMap<&'static str, &'static str>,
) -> (Vec<String>, Vec<String>) {
    let (mut set, mut by_default) = (Vec::new(), Vec::<String>::new());
    let limits = Limit::ALL.iter().map(|limit| (limit.name(), limit.field(), limit.unit()));
    for (name, field, unit) in limits.chain([("stack", STACK_FIELD, LimitUnit::Bytes)]) {
        let (Some(value), Some(source)) = (values.get(field), sources.get(field)) else { continue };
        let value = match unit {
            LimitUnit::Count => human_count(*value),
            unit => unit.format(*value),
        };
        let text = format!("{name} {value}");
        if *source != LimitSource::Default.as_str() {
            set.push(format!("{text} ({source})"));
            continue;
        }
        match by_default.last_mut() {
            Some(line) if line.len() + text.len() + 2 <= LINE_MAX => {
                line.push_str(", ");
                line.push_str(&text);
            }
            _ => by_default.push(text),
        }
    }
    (set, by_default)
}
