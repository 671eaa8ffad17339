//! Components made on the spot.

/// Returns a component that exports `graph:<name>/value@1.0.0` with `get: func() -> u32`, which answers 1 and what each of `needs`
/// answers, by the same interface of theirs.
pub(crate) fn node(name: &str, needs: &[&str]) -> String {
    node_versioned(name, "1.0.0", needs)
}

/// As [`node`], with another version of the exported interface.
pub(crate) fn node_versioned(name: &str, version: &str, needs: &[&str]) -> String {
    let (mut imports, mut lowered, mut core_imports, mut with, mut sum) =
        (String::new(), String::new(), String::new(), String::new(), "(i32.const 1)".to_owned());
    for (n, need) in needs.iter().enumerate() {
        imports +=
            &format!("(import \"graph:{need}/value@1.0.0\" (instance $i{n} (export \"get\" (func (result u32)))))\n");
        lowered += &format!("(core func $f{n} (canon lower (func $i{n} \"get\")))\n");
        core_imports += &format!("(import \"needs\" \"{n}\" (func $f{n} (result i32)))\n");
        with += &format!("(export \"{n}\" (func $f{n}))\n");
        sum = format!("(i32.add (call $f{n}) {sum})");
    }
    format!(
        "(component
          {imports}{lowered}
          (core module $m {core_imports} (func (export \"get\") (result i32) {sum}))
          (core instance $i (instantiate $m (with \"needs\" (instance {with}))))
          (func $get (result u32) (canon lift (core func $i \"get\")))
          (instance $value (export \"get\" (func $get)))
          (export \"graph:{name}/value@{version}\" (instance $value)))"
    )
}

/// Returns a component whose only function `answer` returns `number`.
pub(crate) fn answer(number: u32) -> String {
    format!(
        "(component
          (core module $m (func (export \"answer\") (result i32) (i32.const {number})))
          (core instance $i (instantiate $m))
          (func (export \"answer\") (result u32) (canon lift (core func $i \"answer\"))))"
    )
}
