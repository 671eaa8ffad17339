//! The table of limits in `docs/limits.md` is the one in the code.

use std::fmt::Write as _;
use std::path::Path;

use domain::limits::{Limit, LimitUnit, Limits};

const BEGIN: &str = "<!-- limits -->\n";
const END: &str = "<!-- /limits -->\n";

fn table() -> String {
    let mut table = "| name | default | ceiling | what it bounds | in JSON |\n|---|---|---|---|---|\n".to_owned();
    for limit in Limit::ALL {
        let value = |limits: &Limits| match limit.unit() {
            LimitUnit::Count => limits.get(*limit).to_string(),
            unit => format!("\"{}\"", unit.format(limits.get(*limit))),
        };
        let (default, ceiling) = (value(&Limits::DEFAULT), value(&Limits::CEILING));
        let (name, doc) = (limit.name(), limit.doc().trim_end_matches('.'));
        let _ = writeln!(table, "| `{name}` | `{default}` | `{ceiling}` | {doc} | `{}` |", limit.field());
    }
    table
}

#[test]
fn the_page_has_every_limit_with_its_default_and_its_ceiling() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(found, table(), "`BLESS=1 cargo test -p domain limits` renews docs/limits.md");
}
