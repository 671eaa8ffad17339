//! The limits in force, for people and for scripts.

use std::collections::BTreeMap;

use domain::limits::{Limit, LimitSource, LimitUnit, LimitsInForce};

use crate::output::human_count;

/// Returns the limits in force by name.
pub(crate) fn values(limits: &LimitsInForce) -> BTreeMap<&'static str, u64> {
    limits.iter().map(|(limit, value, _)| (limit.field(), value)).collect()
}

/// Returns where the limits in force come from, by the same names.
pub(crate) fn sources(limits: &LimitsInForce) -> BTreeMap<&'static str, &'static str> {
    limits.iter().map(|(limit, _, source)| (limit.field(), source.as_str())).collect()
}

/// Most characters of a line of limits.
const LINE_MAX: usize = 90;

/// Returns the lines that tell people: each limit that somebody set with whoever did, the others together.
pub(crate) fn lines(
    values: &BTreeMap<&'static str, u64>,
    sources: &BTreeMap<&'static str, &'static str>,
) -> (Vec<String>, Vec<String>) {
    let (mut set, mut by_default) = (Vec::new(), Vec::<String>::new());
    for limit in Limit::ALL {
        let (Some(value), Some(source)) = (values.get(limit.field()), sources.get(limit.field())) else { continue };
        let value = match limit.unit() {
            LimitUnit::Count => human_count(*value),
            unit => unit.format(*value),
        };
        let text = format!("{} {value}", limit.name());
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
