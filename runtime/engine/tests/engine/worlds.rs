//! What is foreseen from the types in two binaries is what happens when they are linked.

use domain::ports::{Engine, UnitSpec};
use domain::world::{Item, Side, Verdict, World as Types, diff, fit};
use wit_component::StringEncoding::UTF8;

use crate::random_types::{Chain, Random, TYPED, Ty};
use crate::resources::{API, KEEPER, binaries};
use crate::support::{World, links_of, slot};

const ROUNDS: u64 = 12;
/// Types that are compared with each other in a round.
const TYPES: usize = 4;

fn types(world: &World, bytes: &[u8]) -> Types {
    world.engine.world(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_linked_exactly_where_its_types_fit() {
    let seed = std::env::var("WORLDS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let world = World::new();
    let (mut fitting, mut breaking) = (0, 0);
    for number in seed..seed + ROUNDS {
        let random = &mut Random(number);
        // Some of them so shallow that two are equal by chance.
        let types_of: Vec<_> = (0..TYPES).map(|at| Ty::random(random, at)).collect();
        let mut made = Vec::new();
        for (at, ty) in types_of.iter().enumerate() {
            let provider = Chain { ty }.provider(UTF8);
            let unit = world.prepare(world.spec_of(&format!("test:p{number}x{at}"), provider.clone())).await;
            made.push((Chain { ty }.caller(UTF8), types(&world, &provider), slot(&unit)));
        }
        for (at, (caller, _, _)) in made.iter().enumerate() {
            let wanted = types(&world, caller);
            for (other, (_, offered, provider)) in made.iter().enumerate() {
                let fit = fit(&wanted, TYPED, offered, TYPED);
                let links = links_of(&[(TYPED, TYPED, provider)]);
                let spec = world.spec_of(&format!("test:c{number}x{at}x{other}"), caller.clone());
                let linked = world.engine.prepare(UnitSpec { links, ..spec }).await;
                let pair = (&types_of[at], &types_of[other]);
                assert_eq!(linked.is_ok(), fit.verdict != Verdict::Breaking, "seed {number}: {pair:?} {fit:?}");
                fitting += usize::from(linked.is_ok());
                breaking += usize::from(linked.is_err());
            }
        }
    }
    assert!(fitting > 0 && breaking > 0, "{fitting} fitted, {breaking} did not");
}

#[test]
fn resources_fit_by_their_names_also_where_they_are_passed_on() {
    let world = World::new();
    let [provider, middle, caller] = binaries().map(|bytes| types(&world, &bytes));
    for (wanted, import, offered) in [(&middle, API, &provider), (&caller, API, &provider), (&caller, KEEPER, &middle)]
    {
        let fit = fit(wanted, import, offered, import);
        assert_ne!(fit.verdict, Verdict::Breaking, "{import}: {:?}", fit.differences);
    }
    assert_eq!(fit(&caller, KEEPER, &provider, API).verdict, Verdict::Breaking);
    assert!(diff(&provider, &provider, Side::Exports).items.is_empty());
}

#[test]
fn types_are_written_with_the_names_that_they_have() {
    let world = World::new();
    let found = types(&world, &world.engine.to_binary(include_bytes!("../fixtures/echo-caller.wat")).unwrap());
    let Some(Item::Function(sum)) = found.exports.get("sum") else { panic!("{:?}", found.exports) };
    assert_eq!(found.function_text(sum), "func(items: list<item>) -> u32");
    let Some(Item::Interface(till)) = found.imports.get("demo:shop/till@0.1.0") else { panic!() };
    assert!(till.types.contains_key("item") && !till.functions.is_empty());
}

#[test]
fn bodies_of_functions_are_not_looked_at_again() {
    let world = World::new();
    let wat = |body: &str| {
        format!(
            "(component (core module $m (func (export \"f\") (result i32) {body})) (core instance $i (instantiate $m))
               (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))"
        )
    };
    let bytes = world.engine.to_binary(wat("i64.const 1").as_bytes()).unwrap().into_owned();
    assert!(world.engine.inspect(&bytes).is_err());
    assert!(types(&world, &bytes).exports.contains_key("f"));
}
