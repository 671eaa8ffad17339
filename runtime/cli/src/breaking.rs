//! Who would break and why, in JSON and in words.

use std::borrow::Cow;

use domain::ComponentId;
use domain::world::{ChangedItem, Diff, ItemDiff, Verdict};
use registry::{Broken, Reason};
use serde::{Deserialize, Serialize};

use domain::text::escape_line;

use crate::style::Paint;

/// Most components that one line names.
const NAMED_MAX: usize = 8;

/// A component that would break.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BrokenDoc {
    pub(crate) id: ComponentId,
    pub(crate) status: Cow<'static, str>,
    pub(crate) reasons: Vec<ReasonDoc>,
    /// Active components that need it, directly or not.
    pub(crate) affected: Vec<ComponentId>,
}

/// Why it would.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReasonDoc {
    /// The component that it needs.
    pub(crate) on: ComponentId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) import: Option<String>,
    /// The function or type in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    /// The type that is wanted, as WIT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wanted: Option<String>,
    /// The type that is there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered: Option<String>,
}

impl From<&Broken> for BrokenDoc {
    fn from(broken: &Broken) -> Self {
        Self {
            id: broken.component.clone(),
            status: broken.status.as_str().into(),
            reasons: broken.reasons.iter().map(ReasonDoc::from).collect(),
            affected: broken.affected.clone(),
        }
    }
}

impl From<&Reason> for ReasonDoc {
    fn from(reason: &Reason) -> Self {
        let difference = reason.difference.as_ref();
        Self {
            on: reason.on.clone(),
            import: reason.import.clone(),
            function: difference.and_then(|difference| difference.item.clone()),
            code: reason.code.into(),
            message: reason.message.clone(),
            wanted: difference.and_then(|difference| difference.kind.wanted()).map(str::to_owned),
            offered: difference.and_then(|difference| difference.kind.offered()).map(str::to_owned),
        }
    }
}

/// Says who would break: a line for each component, one for each reason, one for those that need it.
pub(crate) fn broken_text(broken: &[BrokenDoc], paint: Paint) -> String {
    let mut text = String::new();
    for one in broken {
        let word = if one.status == "active" { paint.red("breaks") } else { paint.yellow("breaks") };
        text.push_str(&format!("{word} {} ({})\n", paint.bold(one.id.as_str()), one.status));
        for reason in &one.reasons {
            text.push_str(&format!("  {}\n", escape_line(&reason.message)));
        }
        if !one.affected.is_empty() {
            let more = one.affected.len().saturating_sub(NAMED_MAX);
            let ids: Vec<_> = one.affected.iter().take(NAMED_MAX).map(|id| id.as_str()).collect();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            text.push_str(&format!("  needed by {}{more}\n", ids.join(", ")));
        }
    }
    text
}

/// An import or export that came, went or changed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ItemDoc {
    pub(crate) name: String,
    /// `added`, `removed` or `changed`.
    pub(crate) change: &'static str,
    /// Its name before, where it has another one now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<String>,
    /// `same`, `additive` or `breaking`; of exports alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<&'static str>,
    pub(crate) functions: Vec<ChangedDoc>,
    pub(crate) types: Vec<ChangedDoc>,
}

/// A function or type that came, went or changed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangedDoc {
    pub(crate) name: String,
    pub(crate) change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) differences: Vec<DifferenceDoc>,
}

/// How a function or type differs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DifferenceDoc {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Makes the documents of one side; `verdicts` says whether it is the side on which they mean something.
pub(crate) fn items(diff: &Diff, verdicts: bool) -> Vec<ItemDoc> {
    let item = |item: &ItemDiff| ItemDoc {
        name: item.new.clone().or_else(|| item.old.clone()).unwrap_or_default(),
        change: change_word(item.old.is_some(), item.new.is_some()),
        was: item.old.clone().filter(|old| item.new.as_ref().is_some_and(|new| new != old)),
        verdict: verdicts.then(|| item.verdict.as_str()),
        functions: item.functions.iter().map(ChangedDoc::from).collect(),
        types: item.types.iter().map(ChangedDoc::from).collect(),
    };
    diff.items.iter().map(item).collect()
}

impl From<&ChangedItem> for ChangedDoc {
    fn from(item: &ChangedItem) -> Self {
        let differences = item
            .differences
            .iter()
            .map(|difference| DifferenceDoc { code: difference.kind.code(), message: difference.to_string() });
        Self {
            name: item.name.clone(),
            change: change_word(item.old.is_some(), item.new.is_some()),
            old: item.old.clone(),
            new: item.new.clone(),
            differences: differences.collect(),
        }
    }
}

fn change_word(was: bool, is: bool) -> &'static str {
    match (was, is) {
        (false, true) => "added",
        (true, false) => "removed",
        _ => "changed",
    }
}

/// Shows what changed on one side, indented under its title.
pub(crate) fn items_text(title: &str, items: &[ItemDoc], paint: Paint) -> String {
    let mut text = String::new();
    for item in items {
        let verdict = item.verdict.filter(|verdict| *verdict != Verdict::Same.as_str());
        let verdict = verdict.map(|verdict| format!(", {verdict}")).unwrap_or_default();
        let was = item.was.as_ref().map(|was| format!(", was {}", escape_line(was))).unwrap_or_default();
        let mark = mark(item.change, paint);
        text.push_str(&format!("{mark} {title} {}{was}{verdict}\n", paint.bold(&escape_line(&item.name))));
        for changed in item.functions.iter().chain(&item.types) {
            text.push_str(&changed_text(changed, paint));
        }
    }
    text
}

fn changed_text(changed: &ChangedDoc, paint: Paint) -> String {
    let name = escape_line(&changed.name);
    let line = |mark: &str, ty: &Option<String>| {
        ty.as_ref().map(|ty| format!("    {mark} {name}: {}\n", escape_line(ty))).unwrap_or_default()
    };
    let mut text = line(&paint.red("-"), &changed.old) + &line(&paint.green("+"), &changed.new);
    for difference in &changed.differences {
        text.push_str(&format!("      {}\n", paint.dim(&escape_line(&difference.message))));
    }
    text
}

fn mark(change: &str, paint: Paint) -> String {
    match change {
        "added" => paint.green("+"),
        "removed" => paint.red("-"),
        _ => paint.yellow("~"),
    }
}
