//! Values of random types cross from component to component as they would if every value were made on the way.

use std::sync::Arc;

use domain::Limits;
use domain::ports::{Slot, Unit, UnitSpec};
use engine::EngineSettings;
use wit_component::StringEncoding;

use crate::random_types::{Chain, Random, TYPED, Ty};
use crate::support::{Folder, World, links_of, slot, wave};

const TYPES: u64 = 60;
const VALUES: usize = 8;
const ENCODINGS: [StringEncoding; 3] = [StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16];

/// A caller that reaches its provider directly, and one that goes through a component in between.
struct Callers {
    world: World,
    near: Arc<dyn Unit>,
    far: Arc<dyn Unit>,
    _slots: Vec<Arc<Slot>>,
}

impl Callers {
    async fn new(code: &Arc<Folder>, components: &[Vec<u8>; 3], gates_by_value: bool) -> Self {
        let settings = EngineSettings { gates_by_value, ..EngineSettings::default() };
        let world = World::on(Arc::clone(code), Vec::new(), settings);
        let [provider, middle, caller] = components;
        let linked = |id: &str, bytes: &[u8], to: &Arc<Slot>| UnitSpec {
            links: links_of(&[(TYPED, TYPED, to)]),
            limits: Limits { resources: 16, ..Limits::DEFAULT },
            ..world.spec_of(id, bytes.to_vec())
        };
        let provider = slot(&world.prepare(world.spec_of("test:provider", provider.clone())).await);
        let middle = slot(&world.prepare(linked("test:middle", middle, &provider)).await);
        let near = world.prepare(linked("test:near", caller, &provider)).await;
        let far = world.prepare(linked("test:far", caller, &middle)).await;
        Self { near, far, _slots: vec![provider, middle], world }
    }

    /// Calls both, and says what came of it.
    async fn call(&self, call: &str) -> [String; 2] {
        let mut said = Vec::new();
        for unit in [&self.near, &self.far] {
            said.push(match unit.call(wave(call)).await {
                Ok(outcome) => outcome.wave,
                Err(error) => {
                    let failures = std::mem::take(&mut *self.world.heard.failures.lock().unwrap());
                    let of = |f: domain::Failure| format!("{} {} {}", f.component, f.phase, f.kind);
                    // Arguments that cannot be read from outside reach nobody.
                    let of = failures.into_iter().map(of).collect::<Vec<_>>().join(", ");
                    if of.is_empty() { format!("{error}") } else { of }
                }
            });
        }
        said.try_into().unwrap()
    }
}

fn bytes_of(random: &mut Random) -> String {
    let word = |random: &mut Random| match random.below(6) {
        0 => random.next(),
        1 | 2 => random.next() % 4,
        3 => random.next() % 70_000 * 4,
        4 => 4096 + random.next() % 512,
        _ => 0,
    };
    let bytes: Vec<_> = (0..40).flat_map(|_| word(random).to_le_bytes()).map(|byte| byte.to_string()).collect();
    format!("[{}]", bytes.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_carry_what_values_would() {
    let seed = std::env::var("GATES_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let types = std::env::var("GATES_TYPES").ok().and_then(|types| types.parse().ok()).unwrap_or(TYPES);
    let (mut carried, mut failed) = (0, 0);
    for number in seed..seed + types {
        let random = &mut Random(number);
        let depth = 1 + random.below(4);
        let ty = Ty::random(random, depth);
        let chain = Chain { ty: &ty };
        let mut encoding = || ENCODINGS[random.below(3)];
        let components = [chain.provider(encoding()), chain.middle(encoding()), chain.caller(encoding())];
        let code = Arc::new(Folder::new());
        let fast = Callers::new(&code, &components, false).await;
        let slow = Callers::new(&code, &components, true).await;
        for _ in 0..VALUES {
            let value = ty.value(random);
            let call = format!("echo({value})");
            let [near, far] = fast.call(&call).await;
            let expected = slow.call(&call).await;
            assert_eq!([&near, &far], [&expected[0], &expected[1]], "seed {number}: {call} of {ty:?}");
            assert!(!near.contains("test:"), "seed {number}: {near}");
            carried += 1;
            for function in ["raw-params", "raw-result"] {
                let call = format!("{function}({})", bytes_of(random));
                let came = fast.call(&call).await;
                failed += usize::from(came[0].contains("test:"));
                assert_eq!(came, slow.call(&call).await, "seed {number}: {call} of {ty:?}");
            }
        }
    }
    assert!(carried > 0 && failed > 0, "{carried} values were carried, {failed} were refused");
}
