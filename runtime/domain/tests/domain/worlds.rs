//! Whether exports serve imports, and what changed, on written and on random types.

use domain::world::{
    DIFFERENCES_MAX, DifferenceKind, Function, Interface, Item, Resource, Side, Type, TypeId, Verdict, World, diff, fit,
};
use proptest::prelude::*;

const NAME: &str = "demo:log/sink@1.0.0";

/// A type as a tree, to be put into any world.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Word(&'static str),
    List(Box<Self>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    Tuple(Vec<Self>),
    Record(Vec<Self>),
    Variant(Vec<Option<Self>>),
    Enum(usize),
    Flags(usize),
    Own(&'static str),
    Borrow(&'static str),
}

impl Shape {
    fn add_to(&self, world: &mut World) -> TypeId {
        let name = |at: usize| format!("n{at}");
        let ty = match self {
            Self::Word(word) => Type::Primitive(word),
            Self::List(inner) => Type::List(inner.add_to(world)),
            Self::Option(inner) => Type::Option(inner.add_to(world)),
            Self::Result(ok, err) => {
                let ok = ok.as_ref().map(|shape| shape.add_to(world));
                Type::Result(ok, err.as_ref().map(|shape| shape.add_to(world)))
            }
            Self::Tuple(shapes) => Type::Tuple(shapes.iter().map(|shape| shape.add_to(world)).collect()),
            Self::Record(shapes) => {
                let fields = shapes.iter().enumerate();
                Type::Record(fields.map(|(at, shape)| (name(at), shape.add_to(world))).collect())
            }
            Self::Variant(shapes) => {
                let cases = shapes.iter().enumerate();
                let case =
                    |(at, shape): (usize, &Option<Self>)| (name(at), shape.as_ref().map(|shape| shape.add_to(world)));
                Type::Variant(cases.map(case).collect())
            }
            Self::Enum(count) => Type::Enum((0..*count).map(name).collect()),
            Self::Flags(count) => Type::Flags((0..*count).map(name).collect()),
            Self::Own(name) => Type::Own(resource(name)),
            Self::Borrow(name) => Type::Borrow(resource(name)),
        };
        world.add(ty).unwrap()
    }
}

fn resource(name: &str) -> Resource {
    Resource { interface: Some(NAME.to_owned()), name: name.to_owned() }
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        proptest::sample::select(&["bool", "u8", "u32", "s64", "string", "char", "f64"][..]).prop_map(Shape::Word),
        (1usize..5).prop_map(Shape::Enum),
        (1usize..5).prop_map(Shape::Flags),
        proptest::sample::select(&["conn", "row"][..]).prop_map(Shape::Own),
        proptest::sample::select(&["conn", "row"][..]).prop_map(Shape::Borrow),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let optional = || proptest::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.clone().prop_map(|shape| Shape::List(Box::new(shape))),
            inner.clone().prop_map(|shape| Shape::Option(Box::new(shape))),
            (optional(), optional()).prop_map(|(ok, err)| Shape::Result(ok, err)),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Shape::Record),
            proptest::collection::vec(proptest::option::of(inner.clone()), 1..4).prop_map(Shape::Variant),
        ]
    })
}

/// Parameters and result of a function.
type Signature = (Vec<Shape>, Option<Shape>);

fn signature() -> impl Strategy<Value = Signature> {
    (proptest::collection::vec(shape(), 0..4), proptest::option::of(shape()))
}

fn function(world: &mut World, (params, result): &Signature, prefix: &str) -> Function {
    let params = params.iter().enumerate().map(|(at, shape)| (format!("{prefix}{at}"), shape.add_to(world)));
    let params = params.collect();
    Function { is_async: false, params, result: result.as_ref().map(|shape| shape.add_to(world)) }
}

fn interface(world: &mut World, functions: &[Signature], prefix: &str) -> Item {
    let resources = ["conn", "row"].map(|name| (name.to_owned(), resource(name)));
    let functions = functions.iter().enumerate();
    let functions = functions.map(|(at, signature)| (format!("f{at}"), function(world, signature, prefix)));
    Item::Interface(Interface { functions: functions.collect(), types: [].into(), resources: resources.into() })
}

fn importing(functions: &[Signature]) -> World {
    let mut world = World::default();
    let item = interface(&mut world, functions, "p");
    world.imports.insert(NAME.to_owned(), item);
    world
}

fn exporting(functions: &[Signature]) -> World {
    let mut world = World::default();
    // Other parts first, and other names of parameters: neither numbers nor such names make types different.
    Shape::List(Box::new(Shape::Word("u8"))).add_to(&mut world);
    let item = interface(&mut world, functions, "q");
    world.exports.insert(NAME.to_owned(), item);
    world
}

proptest! {
    #[test]
    fn who_imports_some_of_what_is_exported_is_served(
        all in proptest::collection::vec(signature(), 1..5), more in proptest::collection::vec(signature(), 0..3),
    ) {
        let offered: Vec<_> = all.iter().chain(&more).cloned().collect();
        let fit = fit(&importing(&all), NAME, &exporting(&offered), NAME);
        let expected = if more.is_empty() { Verdict::Same } else { Verdict::Additive };
        prop_assert_eq!((fit.verdict, fit.differences), (expected, vec![]));
    }

    #[test]
    fn a_fit_breaks_exactly_where_two_signatures_differ(
        wanted in proptest::collection::vec(signature(), 1..4), offered in proptest::collection::vec(signature(), 1..4),
    ) {
        let fit = fit(&importing(&wanted), NAME, &exporting(&offered), NAME);
        let differ = wanted.iter().enumerate().filter(|(at, signature)| offered.get(*at) != Some(signature));
        let differ: Vec<_> = differ.map(|(at, _)| format!("f{at}")).collect();
        let mut named: Vec<_> = fit.differences.iter().filter_map(|difference| difference.item.clone()).collect();
        named.dedup();
        prop_assert_eq!(&named, &differ);
        prop_assert_eq!(fit.verdict == Verdict::Breaking, !differ.is_empty());
        prop_assert!(fit.differences.len() <= DIFFERENCES_MAX * wanted.len());
    }

    #[test]
    fn a_diff_says_the_same_as_every_import_of_what_was_there(
        old in proptest::collection::vec(signature(), 0..4), new in proptest::collection::vec(signature(), 0..4),
    ) {
        let (before, after) = (exporting(&old), exporting(&new));
        let diff = diff(&before, &after, Side::Exports);
        let fit = fit(&importing(&old), NAME, &after, NAME);
        prop_assert_eq!(diff.verdict(), fit.verdict);
        prop_assert_eq!(diff.items.is_empty(), old == new);
    }
}

#[test]
fn types_that_share_parts_are_compared_part_by_part() {
    let doubled = |last: &'static str| {
        let mut world = World::default();
        let mut ty = world.add(Type::Primitive(last)).unwrap();
        for _ in 0..64 {
            ty = world.add(Type::Tuple(vec![ty, ty])).unwrap();
        }
        let function = Function { is_async: false, params: vec![("all".to_owned(), ty)], result: None };
        (world, Item::Interface(Interface { functions: [("f".to_owned(), function)].into(), ..Interface::default() }))
    };
    let (mut wanted, item) = doubled("u8");
    wanted.imports.insert(NAME.to_owned(), item);
    for (last, verdict) in [("u8", Verdict::Same), ("u16", Verdict::Breaking)] {
        let (mut offered, item) = doubled(last);
        offered.exports.insert(NAME.to_owned(), item);
        let fit = fit(&wanted, NAME, &offered, NAME);
        assert_eq!((fit.verdict, fit.differences.len()), (verdict, usize::from(verdict == Verdict::Breaking)));
    }
}

/// Says what differs between two exports of one function.
fn differences(old: (Vec<(&str, Shape)>, Option<Shape>), new: (Vec<(&str, Shape)>, Option<Shape>)) -> Vec<String> {
    let world = |(params, result): (Vec<(&str, Shape)>, Option<Shape>)| {
        let mut world = World::default();
        let params = params.into_iter().map(|(name, shape)| (name.to_owned(), shape.add_to(&mut world))).collect();
        let result = result.map(|shape| shape.add_to(&mut world));
        let function = Function { is_async: false, params, result };
        let interface = Interface { functions: [("write".to_owned(), function)].into(), ..Interface::default() };
        world.imports.insert(NAME.to_owned(), Item::Interface(interface.clone()));
        world.exports.insert(NAME.to_owned(), Item::Interface(interface));
        world
    };
    let fit = fit(&world(old), NAME, &world(new), NAME);
    fit.differences.iter().map(|difference| format!("{}: {difference}", difference.kind.code())).collect()
}

#[test]
fn says_what_differs_and_where() {
    use Shape::{Enum, List, Option as Maybe, Record, Variant, Word};
    let line = || ("line", Word("string"));
    let level = |shape: Shape| ("level", shape);
    let found = |old, new| differences(old, new);
    assert_eq!(
        found((vec![line()], None), (vec![line(), level(Word("u8"))], None)),
        ["parameter-added: `write` has one more parameter, `level: u8`"]
    );
    assert_eq!(
        found((vec![line(), level(Word("u8"))], Some(Word("bool"))), (vec![level(Word("u16"))], None)),
        [
            "parameter-removed: `write` has no parameter `line: string`",
            "type-changed: `write`, parameter `level`: is `u16`, and `u8` is wanted",
            "result-removed: `write` returns nothing, and `bool` is wanted",
        ]
    );
    assert_eq!(
        found((vec![level(Enum(2))], None), (vec![level(Enum(3))], None)),
        ["case-added: `write`, parameter `level`: the case `n2` was added"]
    );
    let nested = |inner: Shape| (vec![], Some(List(Box::new(Record(vec![Word("u8"), Maybe(Box::new(inner))])))));
    assert_eq!(
        found(nested(Variant(vec![None, Some(Word("u8"))])), nested(Variant(vec![None, Some(Word("string"))]))),
        ["type-changed: `write`, result, element, field `n1`, value, case `n1`: is `string`, and `u8` is wanted"]
    );
    assert_eq!(found((vec![line()], None), (vec![("text", Word("string"))], None)), Vec::<String>::new());
}

#[test]
fn an_interface_or_a_resource_that_is_gone_breaks() {
    let wanted = importing(&[(vec![Shape::Own("conn")], None)]);
    let fit_with = |offered: &World| fit(&wanted, NAME, offered, NAME);
    let gone = fit_with(&World::default());
    assert_eq!(gone.differences[0].kind, DifferenceKind::ExportMissing);
    let mut without = exporting(&[(vec![Shape::Own("conn")], None)]);
    let Some(Item::Interface(interface)) = without.exports.get_mut(NAME) else { panic!() };
    interface.resources.remove("conn");
    assert!(fit_with(&without).differences.iter().any(|found| found.kind == DifferenceKind::ResourceMissing));
    // What is linked with an export takes its resources, whatever they are called elsewhere; one of a third interface is another.
    for (version, definer, verdict) in [
        ("1.3.0", "demo:log/sink@1.3.0", Verdict::Same),
        ("1.3.0", "demo:db/pool@1.0.0", Verdict::Same),
        ("2.0.0", "demo:log/sink@2.0.0", Verdict::Same),
    ] {
        let name = format!("demo:log/sink@{version}");
        let conn = Resource { interface: Some(definer.to_owned()), name: "conn".to_owned() };
        let row = Resource { name: "row".to_owned(), ..conn.clone() };
        let mut offered = World::default();
        let ty = offered.add(Type::Own(conn.clone())).unwrap();
        let function = Function { is_async: false, params: vec![("p0".to_owned(), ty)], result: None };
        let interface = Interface {
            functions: [("f0".to_owned(), function)].into(),
            types: [].into(),
            resources: [("conn".to_owned(), conn), ("row".to_owned(), row)].into(),
        };
        offered.exports.insert(name.clone(), Item::Interface(interface));
        assert_eq!(fit(&wanted, NAME, &offered, &name).verdict, verdict, "{version} {definer}");
        // Where it exports another resource under that name, the function's is one that nobody else knows.
        let Some(Item::Interface(interface)) = offered.exports.get_mut(&name) else { panic!() };
        let other = Resource { interface: Some("demo:db/third@1.0.0".to_owned()), name: "conn".to_owned() };
        interface.resources.insert("conn".to_owned(), other);
        let verdict =
            if version == "1.3.0" && definer.starts_with("demo:log") { Verdict::Same } else { Verdict::Breaking };
        assert_eq!(fit(&wanted, NAME, &offered, &name).verdict, verdict, "{version} {definer}");
    }
}

#[test]
fn an_interface_in_another_version_is_the_same_interface_changed() {
    let old = exporting(&[(vec![], None)]);
    for (version, verdict) in [("1.1.0", Verdict::Additive), ("0.9.0", Verdict::Breaking), ("2.0.0", Verdict::Breaking)]
    {
        let mut new = exporting(&[(vec![], None), (vec![], None)]);
        let item = new.exports.remove(NAME).unwrap();
        new.exports.insert(format!("demo:log/sink@{version}"), item);
        let diff = diff(&old, &new, Side::Exports);
        let [item] = diff.items.as_slice() else { panic!("{diff:?}") };
        assert_eq!((item.old.as_deref(), item.verdict), (Some(NAME), verdict), "{version}");
        assert_eq!(item.functions.len(), 1);
    }
}

#[test]
fn types_beyond_the_bounds_are_refused() {
    let mut world = World::default();
    let mut ty = world.add(Type::Primitive("u8")).unwrap();
    for _ in 0..domain::world::DEPTH_MAX {
        ty = world.add(Type::Option(ty)).unwrap();
    }
    assert_eq!(world.add(Type::Option(ty)), Err(domain::world::WorldError::TooDeep));
    while world.type_count() < domain::world::TYPES_MAX {
        world.add(Type::Primitive("u8")).unwrap();
    }
    assert_eq!(world.add(Type::Primitive("u8")), Err(domain::world::WorldError::TooMany));
}
