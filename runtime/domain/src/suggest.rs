//! Finds what somebody probably meant.

/// Returns the function that was probably meant by `given`, which none of `known` is; `known` are qualified where the
/// function is in an interface, `given` may be or not.
///
/// The answer means one function and is as short as that allows: `greet`, or `demo:hello/hello@1.0.0#greet`.
/// # Examples
/// ```
/// use domain::suggest::function;
/// let known = ["demo:hello/hello@1.0.0#greet", "demo:hello/bye@1.0.0#part"];
/// assert_eq!(function("gret", known), Some("greet"));
/// assert_eq!(function("demo:hello/helo#greet", known), Some("demo:hello/hello@1.0.0#greet"));
/// ```
pub fn function<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let names = known.iter().map(|name| split(name).1);
    let (path, last) = split(given);
    let name = if names.clone().any(|name| name == last) { last } else { nearest(last, names)? };
    let mut same = known.into_iter().filter(|known| split(known).1 == name);
    let Some(path) = path else {
        let first = same.next()?;
        return Some(if same.next().is_some() { first } else { split(first).1 });
    };
    let given_path = path;
    let path = unversioned(path);
    // People leave out the namespace, the package and the version.
    let distance = |name: &str| {
        let full = unversioned(split(name).0.unwrap_or_default());
        let after = |mark| full.rsplit_once(mark).map_or(full, |(_, rest)| rest);
        let forms = [full, after(':'), after('/')];
        forms.into_iter().map(|form| strsim::damerau_levenshtein(path, form)).min()
    };
    let version = |name: &str| name.rsplit_once('@').map(|(_, version)| version.to_owned());
    let wanted = version(given_path);
    same.min_by_key(|name| (distance(name), version(split(name).0.unwrap_or_default()) != wanted, name.len()))
}

/// Splits `interface#function`; a bare name has no interface.
fn split(name: &str) -> (Option<&str>, &str) {
    name.rsplit_once('#').map_or((None, name), |(path, last)| (Some(path), last))
}

fn unversioned(path: &str) -> &str {
    path.split_once('@').map_or(path, |(path, _)| path)
}

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
    use super::{function, nearest};

    #[test]
    fn a_function_is_meant_by_its_bare_name_too() {
        let known = ["demo:hello/hello@1.0.0#greet", "demo:hello/bye@1.0.0#part", "answer"];
        let cases = [
            ("gret", Some("greet")),
            ("anwser", Some("answer")),
            ("something-else", None),
            // Right name, wrong interface: the interface most like the one typed.
            ("y/b#greet", Some("demo:hello/hello@1.0.0#greet")),
            ("demo:hello/hello@1.0.0#gret", Some("demo:hello/hello@1.0.0#greet")),
            ("demo:hello/hello#gret", Some("demo:hello/hello@1.0.0#greet")),
            ("wrong:far/away@7.0.0#gret", Some("demo:hello/hello@1.0.0#greet")),
            ("y/b#something-else", None),
            ("", None),
        ];
        for (given, meant) in cases {
            assert_eq!(function(given, known), meant, "{given}");
        }
    }

    #[test]
    fn of_functions_with_the_same_name_the_one_in_the_most_similar_interface_is_meant() {
        let known = ["x:y/a@1.0.0#f", "x:y/b@1.0.0#f", "x:long-package/c@1.0.0#f", "x:y/b@1.0.0#g"];
        for (given, meant) in [
            ("y/bb#f", "x:y/b@1.0.0#f"),
            ("x:z/b#f", "x:y/b@1.0.0#f"),
            ("a@2.0.0#f", "x:y/a@1.0.0#f"),
            ("long-pakage/c#f", "x:long-package/c@1.0.0#f"),
        ] {
            assert_eq!(function(given, known), Some(meant), "{given}");
        }
        // A bare name that several have would be ambiguous.
        assert_eq!(function("ff", known), Some("x:y/a@1.0.0#f"));
    }

    #[test]
    fn suggests_a_near_word_and_nothing_for_a_far_one() {
        assert_eq!(nearest("lmits", ["limits", "grants"]), Some("limits"));
        assert_eq!(nearest("zebra", ["limits", "grants"]), None);
    }
}
