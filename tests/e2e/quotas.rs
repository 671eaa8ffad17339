//! Quotas of components and namespaces, which hold across processes.

use serde_json::json;

use crate::harness::sandbox::text;
use crate::harness::{Sandbox, wat};

/// Uses some thousand fuel and gives back nothing.
const BUSY: &str = r#"(component
    (core module $m (func (export "work") (local i32)
      (local.set 0 (i32.const 1000))
      (loop $more (br_if $more (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
    (core instance $i (instantiate $m))
    (func (export "work") (canon lift (core func $i "work"))))"#;

fn working(ids: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for id in ids {
        sandbox.register(id, BUSY);
    }
    sandbox.ok(&[&["-q", "activate"], ids].concat());
    sandbox
}

#[test]
fn fuel_that_was_used_is_missing_in_the_next_process() {
    let sandbox = working(&["test:a", "other:b"]);
    sandbox.ok(&["settings", "quotas.components.test:a.fuel_per_second=10"]);
    sandbox.ok(&["call", "test:a", "work()"]);
    let (_, error) = sandbox.fails(&["call", "test:a", "work()"], 6);
    assert_eq!((&error["kind"], &error["code"]), (&json!("exhausted"), &json!("component-failed")));
    assert_eq!(
        error["message"],
        "`test:a` has used up its quota of 10 fuel a second (`quotas.component.fuel_per_second`)"
    );
    let wait = error["failure"]["retry_after_ms"].as_u64().unwrap();
    assert!(wait > 60_000, "{wait}");
    sandbox.ok(&["call", "other:b", "work()"]);
    sandbox.ok(&["settings", "--reset", "quotas.components.test:a.fuel_per_second"]);
    sandbox.ok(&["call", "test:a", "work()"]);
}

#[test]
fn a_namespace_shares_its_quota() {
    let sandbox = working(&["test:a", "test:b", "other:c"]);
    sandbox.ok(&["settings", "quotas.namespace.fuel_per_second=10"]);
    sandbox.ok(&["call", "test:a", "work()"]);
    let (_, error) = sandbox.fails(&["call", "test:b", "work()"], 6);
    assert!(error["message"].as_str().unwrap().starts_with("`test` has used up"), "{error}");
    sandbox.ok(&["call", "other:c", "work()"]);
}

#[test]
fn a_namespace_has_room_for_so_many_components_and_bytes() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["settings", "quotas.namespaces.test.components=2", "quotas.namespaces.small.blobs=1KiB"]);
    sandbox.register("test:a", &wat::answer(1));
    sandbox.register("test:b", &wat::answer(2));
    let third = sandbox.component("test:c", "1.0.0", "", &wat::answer(3));
    let (_, error) = sandbox.fails(&["register", &text(&third)], 6);
    assert_eq!(error["code"], "quota-exceeded", "{error}");
    assert_eq!(sandbox.ids(), ["test:a", "test:b"]);
    // A new revision of what is there is no new component, and what goes makes room.
    sandbox.register_version("test:a", "2.0.0", &wat::answer(4));
    sandbox.ok(&["-q", "unregister", "test:b"]);
    sandbox.ok(&["-q", "register", &text(&third)]);

    let fits = sandbox.component("small:a", "1.0.0", "", &wat::answer(5));
    sandbox.ok(&["-q", "register", &text(&fits)]);
    let mut more = 0;
    let code = loop {
        more += 1;
        assert!(more < 50, "there is no end of the room");
        let next = sandbox.component("small:a", &format!("1.0.{more}"), "", &wat::answer(5 + more));
        let ran = sandbox.run(&["-q", "register", &text(&next)]);
        if ran.code != 0 {
            break ran.code;
        }
    };
    assert_eq!(code, 6);
    let bytes = sandbox.json(&["show", "small:a"])["size"].as_u64().unwrap();
    assert!(bytes * u64::from(more) <= 1_024 && bytes * u64::from(more + 1) > 1_024, "{more} revisions of {bytes}");
}

#[test]
fn a_quota_for_what_is_no_id_is_refused() {
    let sandbox = Sandbox::new();
    let (_, error) = sandbox.fails(&["settings", "quotas.namespaces.No.components=2"], 2);
    assert_eq!(error["kind"], "invalid");
    sandbox.fails(&["settings", "quotas.namespace.components=0"], 2);
    let (_, error) = sandbox.fails(&["settings", "quotas.component.call_per_second=2"], 2);
    assert!(error["hints"][0].as_str().unwrap().contains("calls_per_second"), "{error}");
}
