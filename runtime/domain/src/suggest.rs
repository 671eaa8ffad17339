//! Finds what somebody probably meant.

/// Returns the candidate most like `given`, if any is near enough to be worth suggesting.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(given, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed_distance(given.len().max(candidate.len())))
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}

fn allowed_distance(length: usize) -> usize {
    (length / 3).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_a_near_word_and_nothing_for_a_far_one() {
        assert_eq!(nearest("lmits", ["limits", "grants"]), Some("limits"));
        assert_eq!(nearest("zebra", ["limits", "grants"]), None);
    }
}
