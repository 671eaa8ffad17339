//! Which entries a filter lets through.

use std::sync::Arc;

use domain::filter::{Condition, Filter};
use domain::{ComponentManifest, Entry, Status};

use crate::fake::entry;

fn sample() -> Entry {
    let mut entry = entry("a", "1.2.0", Status::Active);
    let manifest = "kind = 'skill'\n[metadata]\nauthor = 'Acme'\ntags = ['x', 'y']\nversion = 'own'\n'a.b' = 1\n[metadata.deep.er]\nflag = true\n";
    let revision = Arc::make_mut(&mut entry.revision);
    revision.manifest = ComponentManifest::parse(manifest).unwrap();
    revision.path = Some("/srv/a.wasm".to_owned());
    entry
}

fn condition(text: &str) -> bool {
    let condition: Condition = text.parse().unwrap();
    assert_eq!(condition.to_string(), text);
    condition.matches(&sample())
}

#[test]
fn looks_at_the_entry_and_into_its_metadata() {
    let digest = sample().revision.digest;
    for text in [
        "author=Acme",
        "tags=y",
        "deep.er.flag=true",
        "a.b=1",
        "version=1.2.0",
        "metadata.version=own",
        "kind=skill",
        "status=active",
        &format!("digest={digest}"),
        &format!("digest={}", digest.short()),
    ] {
        assert!(condition(text), "{text}");
    }
    for text in [
        "author=acme",
        "tags=z",
        "tags=x,y",
        "deep=true",
        "deep.er=true",
        "deep.er.flag.more=true",
        "nothing=",
        "version=own",
        "version=1.2",
        "kind=component",
        "status=inactive",
        "digest=",
        "digest=sha256:00",
    ] {
        assert!(!condition(text), "{text}");
    }
}

#[test]
fn a_value_may_have_equal_signs_and_a_key_may_not_be_absent() {
    let parsed: Condition = "a=b=c".parse().unwrap();
    assert_eq!((parsed.key.as_str(), parsed.value.as_str()), ("a", "b=c"));
    for text in ["", "author", "=Acme", " =x", &format!("{}=1", "k".repeat(300))] {
        assert!(text.parse::<Condition>().is_err(), "{text}");
    }
}

#[test]
fn all_conditions_have_to_hold() {
    let entry = sample();
    let mut filter = Filter::default();
    assert!(filter.is_empty() && filter.matches(&entry));
    filter.kind = Some("skill".parse().unwrap());
    filter.status = Some(Status::Active);
    filter.healthy = Some(true);
    filter.path = Some("/srv/a.wasm".to_owned());
    filter.conditions = vec!["author=Acme".parse().unwrap()];
    assert!(!filter.is_empty() && filter.matches(&entry));
    let fails = |change: &dyn Fn(&mut Filter)| {
        let mut filter = filter.clone();
        change(&mut filter);
        !filter.matches(&entry)
    };
    assert!(fails(&|filter| filter.kind = Some("tool".parse().unwrap())));
    assert!(fails(&|filter| filter.status = Some(Status::Error)));
    assert!(fails(&|filter| filter.healthy = Some(false)));
    assert!(fails(&|filter| filter.path = Some("/srv/b.wasm".to_owned())));
    assert!(fails(&|filter| filter.conditions.push("author=Other".parse().unwrap())));
}

#[test]
fn an_entry_whose_probe_failed_is_not_healthy() {
    let mut entry = sample();
    entry.probe = Some(false);
    let filter = Filter { healthy: Some(false), ..Filter::default() };
    assert!(filter.matches(&entry) && !filter.matches(&sample()));
}
