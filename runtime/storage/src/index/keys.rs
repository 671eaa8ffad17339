//! How keys of rows are written, so that their order is the order of what they stand for.

use domain::ComponentId;

/// Ends a text within a key. A zero byte of the text itself is followed by [`ESCAPED`], which begins no id.
const END: u8 = 0;
const ESCAPED: u8 = 0xff;

/// Room for most keys of terms, so that they do not grow piece by piece.
const KEY_BYTES: usize = 128;

fn push_text(key: &mut Vec<u8>, text: &str) {
    for (number, part) in text.as_bytes().split(|byte| *byte == END).enumerate() {
        if number > 0 {
            key.extend([END, ESCAPED]);
        }
        key.extend(part);
    }
    key.push(END);
}

/// Key of the entry, and of its use.
pub(crate) fn id(id: &ComponentId) -> Vec<u8> {
    id.as_str().as_bytes().to_vec()
}

/// Beginning of the keys of an entry's revisions.
pub(crate) fn revisions(id: &ComponentId) -> Vec<u8> {
    let mut key = Vec::new();
    push_text(&mut key, id.as_str());
    key
}

/// Key of a revision.
pub(crate) fn revision(id: &ComponentId, number: u32) -> Vec<u8> {
    let mut key = revisions(id);
    key.extend(number.to_be_bytes());
    key
}

/// Tells whether a key is one of [`revision`], not one of [`id`].
pub(crate) fn is_of_revision(key: &[u8]) -> bool {
    key.contains(&END)
}

/// Beginning of the keys of the edges to `dependency`.
pub(crate) fn edges_to(dependency: &ComponentId) -> Vec<u8> {
    revisions(dependency)
}

/// Key of the edge from `dependent` to `dependency`.
pub(crate) fn edge(dependency: &ComponentId, dependent: &ComponentId) -> Vec<u8> {
    let mut key = edges_to(dependency);
    key.extend(dependent.as_str().as_bytes());
    key
}

/// Beginning of the keys of all entries under all keys of an index.
pub(crate) fn terms_of(index: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.push(b't');
    push_text(&mut key, index);
    key
}

/// Beginning of the keys of the entries under one key of an index.
pub(crate) fn term(index: &str, word: &str) -> Vec<u8> {
    let mut key = terms_of(index);
    push_text(&mut key, word);
    key
}

/// Key of an entry under one key of an index.
pub(crate) fn term_entry(index: &str, word: &str, id: &ComponentId) -> Vec<u8> {
    let mut key = term(index, word);
    key.extend(id.as_str().as_bytes());
    key
}

/// Beginning of the keys of the numbers of entries, by key of an index.
pub(crate) fn counts_of(index: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.push(b'n');
    push_text(&mut key, index);
    key
}

/// Key of the number of entries under one key of an index.
pub(crate) fn count(index: &str, word: &str) -> Vec<u8> {
    let mut key = counts_of(index);
    push_text(&mut key, word);
    key
}

/// Reads the text that a key's rest is, as [`count`] wrote it.
pub(crate) fn read_text(rest: &[u8]) -> Option<String> {
    let text = rest.strip_suffix(&[END])?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut escaped = false;
    for byte in text {
        if !(escaped && *byte == ESCAPED) {
            bytes.push(*byte);
        }
        escaped = *byte == END;
    }
    String::from_utf8(bytes).ok()
}

/// Tells whether a key's rest after [`term`] belongs to a longer text with a zero byte in it.
pub(crate) fn is_longer_text(rest: &[u8]) -> bool {
    rest.first() == Some(&ESCAPED)
}

/// Beginning of the keys of a component's failures, newest first.
pub(crate) fn failures_of(id: &ComponentId) -> Vec<u8> {
    let mut key = vec![b'c'];
    push_text(&mut key, id.as_str());
    key
}

/// Key of a failure of a component.
pub(crate) fn failure(id: &ComponentId, seq: u64) -> Vec<u8> {
    let mut key = failures_of(id);
    key.extend(newest_first(seq));
    key
}

/// Beginning of the keys of the failures of all components, newest first.
pub(crate) const FAILURES_BY_AGE: &[u8] = b"a";

/// Key of a failure among those of all components.
pub(crate) fn failure_by_age(id: &ComponentId, seq: u64) -> Vec<u8> {
    let mut key = FAILURES_BY_AGE.to_vec();
    key.extend(newest_first(seq));
    key.extend(id.as_str().as_bytes());
    key
}

fn newest_first(seq: u64) -> [u8; 8] {
    (u64::MAX - seq).to_be_bytes()
}

/// Reads the sequence number at the end of a key's rest.
pub(crate) fn read_seq(rest: &[u8]) -> Option<(u64, &[u8])> {
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::MAX - u64::from_be_bytes(*seq), rest))
}

/// Beginning of the keys of the custom indexes' names.
pub(crate) const CUSTOM_INDEXES: &[u8] = b"index\0";

/// Key of a custom index's name.
pub(crate) fn custom_index(name: &str) -> Vec<u8> {
    let mut key = CUSTOM_INDEXES.to_vec();
    key.extend(name.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_zero_bytes_stay_apart_and_come_back() {
        for text in ["", "a", "a\0", "a\0b", "\0\0", "ÿ\0ÿ"] {
            let key = count("index", text);
            let rest = key.strip_prefix(counts_of("index").as_slice()).unwrap();
            assert_eq!(read_text(rest).as_deref(), Some(text));
        }
        let short = term("index", "a");
        let id: ComponentId = "demo:a".parse().unwrap();
        let longer = term_entry("index", "a\0b", &id);
        assert!(is_longer_text(longer.strip_prefix(short.as_slice()).unwrap()));
        let same = term_entry("index", "a", &id);
        assert!(!is_longer_text(same.strip_prefix(short.as_slice()).unwrap()));
    }

    #[test]
    fn newer_failures_come_first() {
        let id: ComponentId = "demo:a".parse().unwrap();
        assert!(failure(&id, 8) < failure(&id, 7));
        let key = failure(&id, 7);
        let (seq, rest) = read_seq(key.strip_prefix(failures_of(&id).as_slice()).unwrap()).unwrap();
        assert_eq!((seq, rest), (7, &[][..]));
    }
}
