//! The plan of another revision in a registry of 100,000, beside that of the same closure in a registry of 1,000.

use std::time::Duration;

use domain::{ComponentId, Version};
use embed::{Change, RegisterRequest, Registry, Target};
use tokio::runtime::Runtime;

use crate::adding::filled;

const RUNS: usize = 31;
/// Components that import what changes, and that each of them is imported by one more.
const DEPENDENTS: usize = 20;

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    let small = filled(tokio, 1_000)?;
    let large = filled(tokio, 100_000)?;
    for registry in [&small.1, &large.1] {
        tokio.block_on(fill(registry))?;
    }
    let both = crate::medians(RUNS, || plan(tokio, &large.1), || plan(tokio, &small.1));
    crate::show("a plan of 41 components in 100,000", "in 1,000", 2.0, both);
    for registry in [small.1, large.1] {
        tokio.block_on(registry.close())?;
    }
    Ok(())
}

fn plan(tokio: &Runtime, registry: &Registry) -> Duration {
    let change = Change::Use { id: id("base"), revision: 2 };
    crate::time(|| {
        let plan = tokio.block_on(registry.plan_change(change)).expect("it can be planned");
        assert_eq!((plan.broken.len(), plan.relinked.len()), (DEPENDENTS / 2, DEPENDENTS / 2));
        assert!(plan.broken.iter().all(|broken| broken.affected.len() == 1));
    })
}

fn id(name: &str) -> ComponentId {
    ComponentId::new("plan", name).expect("the name is an id")
}

/// A base of which the second revision lacks `g`; half of those that import it import `f` alone. All are active.
async fn fill(registry: &Registry) -> anyhow::Result<()> {
    let mut requests =
        vec![request("base", 1, provider("base", &["f", "g"])), request("base", 2, provider("base", &["f"]))];
    let mut targets = vec![Target { id: id("base"), version: Some(Version::new(1, 0, 0)) }];
    for number in 0..DEPENDENTS {
        let function = if number % 2 == 0 { "f" } else { "g" };
        let (near, far) = (format!("near{number}"), format!("far{number}"));
        requests.push(request(&near, 1, importer("base", function, &near)));
        requests.push(request(&far, 1, importer(&near, "f", &far)));
        targets.push(id(&far).into());
    }
    for request in requests {
        registry.register(request).await?;
    }
    let report = registry.activate(&targets).await;
    anyhow::ensure!(report.failed.is_empty(), "{:?}", report.failed);
    Ok(())
}

fn request(name: &str, version: u64, text: String) -> RegisterRequest {
    let mut request = RegisterRequest::bytes("plan.wat", text.into_bytes());
    request.id = Some(id(name));
    request.version = Some(Version::new(version, 0, 0));
    request
}

fn provider(name: &str, functions: &[&str]) -> String {
    let exports: String = functions.iter().map(|function| format!("(export \"{function}\" (func $f))")).collect();
    format!(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $ops {exports})
            (export "plan:{name}/ops@1.0.0" (instance $ops)))"#
    )
}

fn importer(from: &str, function: &str, name: &str) -> String {
    let import = format!(r#"(import "plan:{from}/ops@1.0.0" (instance (export "{function}" (func))))"#);
    provider(name, &["f"]).replacen("(component", &format!("(component {import}"), 1)
}
