//! A store of facts that outlives its instance: it exports `registry:component/state`.

mod codec;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

wit_bindgen::generate!({
    path: "../wit",
    world: "facts",
    generate_all,
});

use demo::logger::log::{self, Level};
use exports::demo::facts::store::{Fact, Guest as Store, PutError, Value};
use exports::registry::component::health::Guest as Health;
use exports::registry::component::state::Guest as State;

/// The most facts that are held.
const FACTS_MAX: usize = 10_000;

/// The longest text or source, in bytes.
const TEXT_BYTES_MAX: usize = 65_536;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 100;

thread_local! {
    static FACTS: RefCell<BTreeMap<String, Fact>> = const { RefCell::new(BTreeMap::new()) };
}

struct Facts;

impl Store for Facts {
    fn put(key: String, value: Value, source: Option<String>) -> Result<Fact, PutError> {
        let stored = insert(key, value, source);
        match &stored {
            Ok(fact) => {
                let text = format!("{} is at revision {}", fact.key, fact.revision);
                log::write(Level::Debug, "put", &text);
            }
            Err(error) => log::write(Level::Warn, "put", &complaint(error)),
        }
        stored
    }

    fn get(key: String) -> Option<Fact> {
        FACTS.with_borrow(|facts| facts.get(&key).cloned())
    }

    fn find(prefix: String) -> Vec<Fact> {
        FACTS.with_borrow(|facts| {
            facts
                .range(prefix.clone()..)
                .take_while(|(key, _)| key.starts_with(&prefix))
                .map(|(_, fact)| fact.clone())
                .collect()
        })
    }

    fn forget(key: String) -> bool {
        let was_there = FACTS.with_borrow_mut(|facts| facts.remove(&key).is_some());
        if was_there {
            log::write(Level::Debug, "forget", &key);
        }
        was_there
    }

    fn count() -> u32 {
        FACTS.with_borrow(|facts| u32::try_from(facts.len()).unwrap_or(u32::MAX))
    }
}

impl State for Facts {
    fn snapshot() -> Result<Vec<u8>, String> {
        Ok(FACTS.with_borrow(|facts| codec::encode(facts.values())))
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let facts = codec::decode(&state).map_err(|error| error.to_string())?;
        FACTS.set(facts.into_iter().map(|fact| (fact.key.clone(), fact)).collect());
        Ok(())
    }
}

impl Health for Facts {
    fn check() -> Result<(), String> {
        let count = FACTS.with_borrow(BTreeMap::len);
        if count < FACTS_MAX { Ok(()) } else { Err(format!("the store is full: {count} facts")) }
    }
}

/// Checks and stores one fact.
fn insert(key: String, value: Value, source: Option<String>) -> Result<Fact, PutError> {
    if !is_key(&key) {
        return Err(PutError::BadKey(key));
    }
    let text_bytes = match &value {
        Value::Text(text) => text.len(),
        Value::Number(_) | Value::Flag(_) => 0,
    };
    if text_bytes.max(source.as_ref().map_or(0, String::len)) > TEXT_BYTES_MAX {
        return Err(PutError::TooLong(TEXT_BYTES_MAX as u32));
    }
    FACTS.with_borrow_mut(|facts| {
        let room = facts.len() < FACTS_MAX;
        match facts.entry(key.clone()) {
            Entry::Occupied(mut old) => {
                let revision = old.get().revision.saturating_add(1);
                let fact = Fact { key, value, source, revision };
                old.insert(fact.clone());
                Ok(fact)
            }
            Entry::Vacant(place) if room => {
                let fact = Fact { key, value, source, revision: 1 };
                Ok(place.insert(fact).clone())
            }
            Entry::Vacant(_) => Err(PutError::Full(FACTS_MAX as u32)),
        }
    })
}

/// Tells whether `key` is words of `a-z`, `0-9`, `-`, `_`, joined by `/`.
fn is_key(key: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    key.len() <= KEY_BYTES_MAX && key.split('/').all(is_word)
}

fn complaint(error: &PutError) -> String {
    match error {
        PutError::BadKey(key) => format!("`{}` is no key", key.escape_debug()),
        PutError::TooLong(most) => format!("text of more than {most} bytes"),
        PutError::Full(most) => format!("the store holds {most} facts already"),
    }
}

export!(Facts);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_words_joined_by_slashes() {
        for good in ["price", "sentiment/dull", "a-1/b_2/c"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "Price", "a b", "é", &"x".repeat(101)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_fact_written_again_takes_the_next_revision() {
        let first = insert("again".into(), Value::Number(1.0), None).expect("a good fact");
        let second = insert("again".into(), Value::Flag(true), None).expect("a good fact");
        assert_eq!((first.revision, second.revision), (1, 2));
        assert!(matches!(Facts::get("again".into()), Some(Fact { value: Value::Flag(true), .. })));
    }

    #[test]
    fn a_prefix_finds_its_facts_in_order() {
        for key in ["find/b", "find/a", "finder", "other"] {
            insert(key.into(), Value::Flag(true), None).expect("a good fact");
        }
        let keys: Vec<_> = Facts::find("find/".into()).into_iter().map(|fact| fact.key).collect();
        assert_eq!(keys, ["find/a", "find/b"]);
    }
}
