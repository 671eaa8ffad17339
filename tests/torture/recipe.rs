//! Components made on the spot: each has bytes of its own, and says which they are when it is called.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// How to make one version of a component.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// `namespace:name`.
    pub(crate) id: String,
    /// No two recipes have the same one.
    pub(crate) version: String,
    /// What its function `own` answers; no two recipes have the same one.
    pub(crate) answer: u32,
    /// Ids of the components whose `get` it imports.
    pub(crate) needs: Vec<String>,
    /// Whether `lifecycle.activate` answers `err`.
    pub(crate) refuses: bool,
    /// Bytes of data in it, so that writes have different lengths.
    pub(crate) padding: usize,
}

/// The word that stands for a component in the name of its interface.
fn word(id: &str) -> String {
    id.replace(':', "-")
}

impl Recipe {
    /// Writes `component.wasm` and its manifest into a folder of its own in `parent`, and returns that folder and the digest.
    pub(crate) fn write(&self, parent: &Path) -> (PathBuf, String) {
        let folder = parent.join(format!("{}-{}", word(&self.id), self.answer));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = wat::parse_str(self.text()).unwrap();
        std::fs::write(folder.join("component.wasm"), &bytes).unwrap();
        std::fs::write(folder.join("component.toml"), self.manifest()).unwrap();
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        (folder, format!("sha256:{hex}"))
    }

    /// The grant and the metadata differ from version to version, as the bytes do: each shows which revision an entry points to.
    fn manifest(&self) -> String {
        let (namespace, _) = self.id.split_once(':').unwrap();
        format!(
            "id = \"{}\"\nversion = \"{}\"\nkind = \"{namespace}\"\n[metadata]\nanswer = \"{}\"\n[grants]\nenv = [\"{}\"]\n",
            self.id,
            self.version,
            self.answer,
            self.variable()
        )
    }

    /// Returns the environment variable that the manifest asks for.
    pub(crate) fn variable(&self) -> String {
        format!("ANSWER_{}", self.answer)
    }

    fn text(&self) -> String {
        let (mut imports, mut lowered, mut core, mut with) =
            (String::new(), String::new(), String::new(), String::new());
        let mut sum = format!("(i32.const {})", self.answer);
        for (n, need) in self.needs.iter().enumerate() {
            let need = word(need);
            let _ = writeln!(
                imports,
                "(import \"graph:{need}/value@1.0.0\" (instance $i{n} (export \"get\" (func (result u32)))))"
            );
            let _ = writeln!(lowered, "(core func $f{n} (canon lower (func $i{n} \"get\")))");
            let _ = writeln!(core, "(import \"needs\" \"{n}\" (func $f{n} (result i32)))");
            let _ = writeln!(with, "(export \"{n}\" (func $f{n}))");
            sum = format!("(i32.add (call $f{n}) {sum})");
        }
        let (name, answer, padding) = (word(&self.id), self.answer, "x".repeat(self.padding));
        let lifecycle = if self.refuses { REFUSES } else { "" };
        format!(
            "(component
              {imports}{lowered}
              (core module $m {core}
                (memory (export \"memory\") 1)
                (data (i32.const 16) \"not today\")
                (data (i32.const 1024) \"{padding}\")
                (func (export \"own\") (result i32) (i32.const {answer}))
                (func (export \"trap\") unreachable)
                (func (export \"get\") (result i32) {sum})
                (func (export \"activate\") (result i32)
                  (i32.store (i32.const 0) (i32.const 1))
                  (i32.store (i32.const 4) (i32.const 16))
                  (i32.store (i32.const 8) (i32.const 9))
                  (i32.const 0))
                (func (export \"deactivate\") (result i32)
                  (i32.store (i32.const 0) (i32.const 0))
                  (i32.const 0)))
              (core instance $i (instantiate $m (with \"needs\" (instance {with}))))
              (func $own (result u32) (canon lift (core func $i \"own\")))
              (func $trap (canon lift (core func $i \"trap\")))
              (func $get (result u32) (canon lift (core func $i \"get\")))
              (instance $value (export \"get\" (func $get)))
              (export \"own\" (func $own))
              (export \"trap\" (func $trap))
              (export \"graph:{name}/value@1.0.0\" (instance $value))
              {lifecycle})"
        )
    }
}

/// The exports of a component whose activation fails.
const REFUSES: &str = "
  (func $activate (result (result (error string)))
    (canon lift (core func $i \"activate\") (memory (core memory $i \"memory\"))))
  (func $deactivate (result (result (error string)))
    (canon lift (core func $i \"deactivate\") (memory (core memory $i \"memory\"))))
  (instance $lifecycle (export \"activate\" (func $activate)) (export \"deactivate\" (func $deactivate)))
  (export \"registry:component/lifecycle@0.1.0\" (instance $lifecycle))";
