//! What is counted in a component before anything is made of it, and how much of each there may be.

use domain::inspection::Count;
use domain::ports::EngineError;

use super::refuse;

/// What is counted. All but those "in one function" and the depth are sums over the whole component, with every core module and
/// component inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Core modules and components inside.
    Parts,
    /// Functions of core modules.
    Functions,
    /// Bytes of the longest function.
    FunctionBytes,
    /// Locals of the function that has most, parameters aside.
    FunctionLocals,
    /// Locals of all functions.
    Locals,
    /// Types, core and of components, and declarations inside types of components, instances and modules.
    Types,
    /// Parameters, results, fields, cases and flags of all types.
    TypeParts,
    /// Levels of types of components and instances inside one another.
    TypeDepth,
    /// Imports.
    Imports,
    /// Exports.
    Exports,
    /// Globals.
    Globals,
    /// Memories.
    Memories,
    /// Tables.
    Tables,
    /// Data segments.
    DataSegments,
    /// Element segments.
    ElementSegments,
    /// Elements of all element segments.
    Elements,
    /// Bytes of the longest constant expression.
    ConstantBytes,
    /// Core instances and instances.
    Instances,
    /// Aliases.
    Aliases,
    /// Functions that the canonical ABI lifts, lowers or makes.
    Canonicals,
    /// Bytes of sections with names for debugging.
    NameBytes,
    /// Bytes of all other custom sections.
    CustomBytes,
}

/// How the whole table is told, and bounded: the noun, and the most that may be.
///
/// Limit: each is at least twice what the largest of CPython, SpiderMonkey, Go and third-party components up to 20 MB has; the table
/// in `docs/security.md` has their figures, and a test compares.
const BOUNDS: [(Counted, &str, u64); 22] = [
    (Counted::Parts, "modules and components", 500),
    (Counted::Functions, "functions", 100_000),
    (Counted::FunctionBytes, "bytes in one function", 1 << 20),
    (Counted::FunctionLocals, "locals in one function", 10_000),
    (Counted::Locals, "locals", 1_000_000),
    (Counted::Types, "types", 20_000),
    (Counted::TypeParts, "parts of types", 100_000),
    (Counted::TypeDepth, "levels of types inside types", 50),
    (Counted::Imports, "imports", 10_000),
    (Counted::Exports, "exports", 20_000),
    (Counted::Globals, "globals", 50_000),
    (Counted::Memories, "memories", 100),
    (Counted::Tables, "tables", 500),
    (Counted::DataSegments, "data segments", 100_000),
    (Counted::ElementSegments, "element segments", 10_000),
    (Counted::Elements, "elements", 200_000),
    (Counted::ConstantBytes, "bytes in one constant expression", 4 << 10),
    (Counted::Instances, "instances", 2_000),
    (Counted::Aliases, "aliases", 20_000),
    (Counted::Canonicals, "canonical functions", 20_000),
    (Counted::NameBytes, "bytes of names", 16 << 20),
    (Counted::CustomBytes, "bytes of custom sections", 32 << 20),
];

/// How much there is of everything that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    counts: [u64; BOUNDS.len()],
}

impl Census {
    /// Adds to a sum.
    ///
    /// # Errors
    /// [`EngineError::NotAComponent`] if that is more than may be.
    pub(super) fn add(&mut self, what: Counted, more: u64) -> Result<(), EngineError> {
        let sum = self.counts.get(what as usize).copied().unwrap_or_default().saturating_add(more);
        self.check(what, sum)
    }

    /// Takes note of how much one thing has, where the one that has most counts.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn check(&mut self, what: Counted, count: u64) -> Result<(), EngineError> {
        let position = what as usize;
        if let Some(known) = self.counts.get_mut(position) {
            *known = count.max(*known);
        }
        match BOUNDS.get(position) {
            Some((_, noun, max)) if count > *max => {
                Err(refuse(&format!("it has {count} {noun}, at most {max} are allowed")))
            }
            _ => Ok(()),
        }
    }

    /// Returns everything that was counted, in a fixed order.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let rows = BOUNDS.iter().zip(self.counts);
        rows.map(|((_, what, max), count)| Count { what: (*what).to_owned(), count, max: *max }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_in_order() {
        for (position, (what, _, _)) in BOUNDS.iter().enumerate() {
            assert_eq!(*what as usize, position);
        }
        assert_eq!(Counted::CustomBytes as usize + 1, BOUNDS.len());
    }

    /// What large components have, in the order of the table: CPython by componentize-py 0.25 (17.6 MiB), SpiderMonkey by
    /// componentize-js 0.19 (11.1 MiB), stock Go (2.6 MiB), QuickJS (1.2 MiB).
    const REAL: [(&str, [u64; BOUNDS.len()]); 4] = [
        (
            "CPython",
            [
                29, 13_498, 426_843, 271, 47_802, 2_397, 5_283, 1, 2_510, 4_452, 874, 2, 3, 1_832, 9, 5_789, 9, 90,
                1_540, 221, 430_502, 802,
            ],
        ),
        (
            "SpiderMonkey",
            [
                4, 12_450, 135_245, 120, 51_316, 590, 1_163, 1, 157, 69, 4, 1, 2, 20_000, 2, 7_615, 6, 28, 162, 81,
                17_780, 563,
            ],
        ),
        (
            "Go",
            [
                6, 1_849, 25_200, 17, 7_422, 406, 641, 1, 172, 92, 11, 1, 2, 29_526, 2, 1_802, 6, 36, 150, 53, 19_937,
                364,
            ],
        ),
        (
            "QuickJS",
            [
                12, 2_391, 37_088, 86, 7_701, 713, 1_497, 1, 236, 148, 19, 2, 2, 7_227, 5, 821, 8, 47, 211, 57, 14_167,
                1_945,
            ],
        ),
    ];

    #[test]
    fn twice_what_real_components_have_is_taken() {
        for (name, figures) in REAL {
            for ((_, noun, max), figure) in BOUNDS.iter().zip(figures) {
                assert!(figure * 2 <= *max, "{name} has {figure} {noun}, and only {max} are allowed");
            }
        }
    }

    #[test]
    fn as_much_as_may_be_is_taken_and_one_more_is_refused() {
        for (what, noun, max) in BOUNDS {
            let mut census = Census::default();
            assert!(census.add(what, max).is_ok());
            let refused = census.add(what, 1).unwrap_err().to_string();
            assert_eq!(refused, format!("it has {} {noun}, at most {max} are allowed", max + 1));
            assert!(Census::default().check(what, u64::MAX).is_err());
        }
    }
}
