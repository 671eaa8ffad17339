//! Revisions, plans, and what breaking revisions are refused for.

use domain::grant::Revocation;
use domain::world::Verdict;
use domain::{Grant, Status};
use registry::{Change, ChangePlan, ManifestSource, RegisterOutcome, RegistryError, Switch};

use crate::fakes::{World, component, id};

const LOG: &str = "export demo:log/sink@1.0.0\ngives demo:log/sink@1.0.0 write: string";
const LOG_MORE: &str =
    "export demo:log/sink@1.0.0\ngives demo:log/sink@1.0.0 write: string\ngives demo:log/sink@1.0.0 flush: bool";
const LOG_BREAKING: &str = "export demo:log/sink@1.0.0\ngives demo:log/sink@1.0.0 write: string, u32";
const APP: &str = "import demo:log/sink@1.0.0\ntakes demo:log/sink@1.0.0 write: string\nexport demo:app/run@1.0.0";
const APP_NEW: &str =
    "import demo:log/sink@1.0.0\ntakes demo:log/sink@1.0.0 write: string, u32\nexport demo:app/run@1.0.0";
const TOP: &str = "import demo:app/run@1.0.0";

fn text(name: &str, version: &str, lines: &str) -> String {
    format!("name demo:{name}\nversion {version}\n{lines}")
}

/// A log, an app that writes to it, and what needs the app; all active because the last was asked for.
async fn running() -> World {
    let world = World::new().await;
    world.have(&text("log", "1.0.0", LOG)).await;
    world.have(&text("app", "1.0.0", APP)).await;
    world.have(&text("top", "1.0.0", TOP)).await;
    assert_eq!(world.activate("demo:top").await.activated.len(), 3);
    world
}

async fn plan(world: &World, change: Change) -> ChangePlan {
    let before = world.registry.last_seq();
    let plan = world.registry.plan_change(change).await.unwrap();
    world.registry.settle().await.unwrap();
    assert_eq!(world.registry.last_seq(), before, "a plan writes nothing");
    plan
}

fn broken(plan: &ChangePlan) -> Vec<(String, Vec<&'static str>, Vec<String>)> {
    let one = |broken: &registry::Broken| {
        let codes = broken.reasons.iter().map(|reason| reason.code).collect();
        (broken.component.to_string(), codes, broken.affected.iter().map(ToString::to_string).collect())
    };
    plan.broken.iter().map(one).collect()
}

#[tokio::test]
async fn a_plan_names_who_breaks_by_which_function_and_who_depends_on_those() {
    let world = running().await;
    let request = component(&text("log", "2.0.0", LOG_BREAKING));
    let foreseen = plan(&world, Change::Register(vec![request])).await;
    let expected = ("demo:app".to_owned(), vec!["parameter-added"], vec!["demo:top".to_owned()]);
    assert_eq!(broken(&foreseen), [expected]);
    let reason = &foreseen.broken[0].reasons[0];
    assert_eq!(reason.message, "`demo:log/sink@1.0.0`: `write` has one more parameter, `p1: u32`");
    let revision = &foreseen.revisions[0];
    assert_eq!((revision.revision, revision.outcome), (2, Some(RegisterOutcome::Waiting)));
    assert_eq!(revision.exports.verdict(), Verdict::Breaking);

    let request = component(&text("log", "1.1.0", LOG_MORE));
    let foreseen = plan(&world, Change::Register(vec![request])).await;
    assert!(foreseen.broken.is_empty() && foreseen.refused.is_empty());
    assert_eq!(foreseen.revisions[0].exports.verdict(), Verdict::Additive);
    assert_eq!(foreseen.relinked.len(), 1);
    assert_eq!(foreseen.relinked[0].component, id("demo:app"));
}

#[tokio::test]
async fn a_breaking_revision_of_an_active_component_is_refused_unless_it_is_forced() {
    let world = running().await;
    let breaking = text("log", "2.0.0", LOG_BREAKING);
    let error = world.register(&breaking).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("breaking", domain::ErrorKind::Conflict));
    let RegistryError::Breaking { broken, .. } = &error else { panic!("{error}") };
    assert_eq!(broken[0].component, id("demo:app"));
    assert_eq!(world.registry.get(&id("demo:log")).await.unwrap().entry.newest, 1);

    let forced = world.registry.with_force(true).register(component(&breaking)).await.unwrap();
    assert_eq!(forced.outcome, RegisterOutcome::Waiting);
    // What is there already is no news.
    assert_eq!(world.have(&breaking).await.outcome, RegisterOutcome::Unchanged);
    // Neither does anything break while it is not active, or by what only adds.
    world.have(&text("log", "1.1.0", LOG_MORE)).await;
    world.registry.deactivate(&[id("demo:log")], true).await;
    world.have(&text("log", "3.0.0", LOG_BREAKING)).await;
}

#[tokio::test]
async fn a_dependent_that_comes_along_does_not_break() {
    let world = running().await;
    let log = component(&text("log", "2.0.0", LOG_BREAKING));
    let app = component(&text("app", "2.0.0", APP_NEW));
    for requests in [vec![log.clone(), app.clone()], vec![app, log]] {
        let foreseen = plan(&world, Change::Register(requests.clone())).await;
        assert!(foreseen.broken.is_empty(), "{:?}", broken(&foreseen));
        let world = running().await;
        assert!(world.registry.register_many(requests).await.iter().all(Result::is_ok));
    }
    // One that comes along and does not fit either is no help.
    let log = component(&text("log", "2.0.0", LOG_BREAKING));
    let app = component(&text("app", "1.1.0", &format!("{APP}\n# another")));
    let results = world.registry.register_many(vec![log, app]).await;
    assert_eq!(results[0].as_ref().unwrap_err().code(), "breaking");
    assert!(results[1].is_ok());
}

#[tokio::test]
async fn an_interface_that_is_gone_or_a_range_that_is_left_breaks_where_the_old_revision_cannot_stay() {
    let world = running().await;
    let gone = |version| component(&text("log", version, "export demo:log/sink@2.0.0"));
    let foreseen = plan(&world, Change::Register(vec![gone("2.0.0")])).await;
    assert!(foreseen.broken.is_empty(), "{:?}", broken(&foreseen));
    assert_eq!(foreseen.kept[0].id.to_string(), "demo:log@1.0.0");
    assert_eq!(foreseen.kept[0].needed_by, [id("demo:app")]);

    // Two of one version are not active side by side.
    let mut again = gone("1.0.0");
    again.override_version = true;
    let foreseen = plan(&world, Change::Register(vec![again.clone()])).await;
    assert_eq!(broken(&foreseen)[0].1, ["export-missing"]);
    assert!(foreseen.broken[0].reasons[0].message.contains("only `demo:log/sink@2.0.0`"));
    assert_eq!(world.registry.register(again).await.unwrap_err().code(), "breaking");

    world.registry.add_dependency(&id("demo:top"), &id("demo:log"), Some("^1".parse().unwrap())).await.unwrap();
    let foreseen = plan(&world, Change::Register(vec![component(&text("log", "2.0.0", LOG))])).await;
    assert_eq!(foreseen.kept[0].needed_by, [id("demo:top")]);
    assert_eq!(foreseen.relinked[0].component, id("demo:app"));
}

#[tokio::test]
async fn what_comes_and_cannot_be_linked_itself_is_refused_in_the_plan() {
    let world = running().await;
    let app = component(&text("app", "2.0.0", APP_NEW));
    let foreseen = plan(&world, Change::Register(vec![app])).await;
    assert!(foreseen.broken.is_empty());
    assert_eq!((foreseen.refused[0].0.as_str(), foreseen.refused[0].1.code()), ("demo:app", "type-mismatch"));
}

#[tokio::test]
async fn a_plan_of_an_activation_has_waves_and_what_they_lack() {
    let world = World::new().await;
    world.have(&text("log", "1.0.0", LOG)).await;
    world.have(&text("app", "1.0.0", APP)).await;
    let mut asking = component(&text("top", "1.0.0", TOP));
    let mut manifest = domain::ComponentManifest::default();
    manifest.grants.env = vec!["LANG".to_owned()];
    asking.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.registry.register(asking).await.unwrap();
    let foreseen = plan(&world, Change::Activate(vec![id("demo:top").into()])).await;
    assert_eq!(foreseen.waves, [[id("demo:log")], [id("demo:app")], [id("demo:top")]]);
    assert_eq!(foreseen.ungranted[0].0, id("demo:top"));
    // One whose types differ would not come up, nor what needs it.
    world.have(&text("app", "2.0.0", APP_NEW)).await;
    let foreseen = plan(&world, Change::Activate(vec![id("demo:top").into()])).await;
    assert_eq!(foreseen.waves, [[id("demo:log")]]);
    assert_eq!(foreseen.refused[0].1.code(), "type-mismatch");
    assert_eq!(foreseen.skipped, [(id("demo:top"), id("demo:app"))]);
}

#[tokio::test]
async fn a_plan_of_stopping_says_who_would_lose_what() {
    let world = running().await;
    for change in [
        Change::Unregister { ids: vec![id("demo:log")], cascade: false },
        Change::Deactivate { ids: vec![id("demo:log")], cascade: false },
    ] {
        let foreseen = plan(&world, change).await;
        assert_eq!(broken(&foreseen), [("demo:app".to_owned(), vec!["provider-gone"], vec!["demo:top".to_owned()])]);
        assert_eq!((foreseen.refused.len(), foreseen.stops.len()), (1, 0));
    }
    let foreseen = plan(&world, Change::Deactivate { ids: vec![id("demo:log")], cascade: true }).await;
    assert_eq!(foreseen.stops, [id("demo:top"), id("demo:app"), id("demo:log")]);
    assert!(foreseen.broken.is_empty());
}

#[tokio::test]
async fn a_plan_of_a_revocation_says_what_an_active_component_would_lose() {
    let world = World::new().await;
    let mut asking = component("name demo:a\nversion 1.0.0");
    let mut manifest = domain::ComponentManifest::default();
    manifest.grants.env = vec!["LANG".to_owned()];
    asking.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    asking.grants = vec!["env LANG".parse::<Grant>().unwrap(), "env TZ".parse().unwrap()];
    world.registry.register(asking).await.unwrap();
    world.activate("demo:a").await;
    let revoke = |name: &str| Change::Revoke { id: id("demo:a"), what: Revocation::Variable(name.to_owned()) };
    let foreseen = plan(&world, revoke("LANG")).await;
    assert_eq!(broken(&foreseen)[0].1, ["grant-revoked"]);
    assert_eq!(foreseen.renewed, [id("demo:a")]);
    // What it never asked for it does not miss.
    assert!(plan(&world, revoke("TZ")).await.broken.is_empty());
    assert_eq!(plan(&world, revoke("HOME")).await.refused[0].1.code(), "not-granted");
}

#[tokio::test]
async fn a_component_goes_to_the_revision_that_is_chosen_and_back_the_way_it_came() {
    let world = World::new().await;
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        world.have(&text("a", version, "")).await;
    }
    let current = async || world.registry.get(&id("demo:a")).await.unwrap().entry.revision.number;
    assert_eq!(current().await, 3);
    assert_eq!(world.registry.rollback(&id("demo:a"), None).await.unwrap().to.0, 2);
    // A second one goes on back, not forward to what was bad.
    assert_eq!(world.registry.rollback(&id("demo:a"), None).await.unwrap().to.0, 1);
    let error = world.registry.rollback(&id("demo:a"), None).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("no-earlier-revision", domain::ErrorKind::NotFound));
    let forward = world.registry.use_revision(&id("demo:a"), 3).await.unwrap();
    assert_eq!((forward.switch, forward.from.0), (Switch::Selected, 1));
    assert_eq!(world.registry.use_revision(&id("demo:a"), 3).await.unwrap().switch, Switch::Unchanged);
    assert_eq!(world.registry.rollback(&id("demo:a"), Some(1)).await.unwrap().to.0, 1);
    assert_eq!(world.registry.use_revision(&id("demo:a"), 9).await.unwrap_err().code(), "revision-not-found");
    assert_eq!(current().await, 1);
}

#[tokio::test]
async fn an_active_component_is_replaced_and_stays_where_it_was_put() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0").await;
    let report = world.registry.use_revision(&id("demo:a"), 2).await.unwrap();
    assert_eq!((report.switch, report.activation.unwrap().activated.len()), (Switch::Replaced, 1));
    let back = world.registry.rollback(&id("demo:a"), None).await.unwrap();
    assert_eq!((back.switch, back.to.0), (Switch::Replaced, 1));
    // The newer one was left, so it does not come back by itself.
    world.registry.deactivate(&[id("demo:a")], false).await;
    let entry = world.registry.get(&id("demo:a")).await.unwrap().entry;
    assert_eq!((entry.status, entry.revision.number, entry.waiting), (Status::Inactive, 1, None));
}

#[tokio::test]
async fn a_revision_that_fails_leaves_the_active_one_in_service() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0\nfail-start").await;
    assert_eq!(world.registry.use_revision(&id("demo:a"), 2).await.unwrap_err().code(), "component-activation");
    let entry = world.registry.get(&id("demo:a")).await.unwrap().entry;
    assert_eq!((entry.status, entry.revision.number, entry.waiting), (Status::Active, 1, Some(2)));
    assert!(entry.trail.is_empty());
}

#[tokio::test]
async fn going_back_to_what_breaks_dependents_is_refused_too() {
    let world = World::new().await;
    world.have(&text("log", "1.0.0", LOG_BREAKING)).await;
    world.have(&text("log", "2.0.0", LOG)).await;
    world.have(&text("app", "1.0.0", APP)).await;
    world.activate("demo:app").await;
    let error = world.registry.rollback(&id("demo:log"), None).await.unwrap_err();
    assert_eq!(error.code(), "breaking");
    let foreseen = plan(&world, Change::Use { id: id("demo:log"), revision: 1 }).await;
    assert_eq!(foreseen.broken_active().count(), 1);
    let forced = world.registry.with_force(true).rollback(&id("demo:log"), None).await.unwrap();
    assert_eq!((forced.switch, forced.to.0), (Switch::Replaced, 1));
}

#[tokio::test]
async fn the_lock_says_what_each_need_was_bound_to() {
    let world = World::new().await;
    world.have(&text("log", "1.2.0", LOG)).await;
    world.have(&text("app", "1.0.0", APP)).await;
    world.registry.add_dependency(&id("demo:app"), &id("demo:log"), Some("^1".parse().unwrap())).await.unwrap();
    world.activate("demo:app").await;
    let lock = async || {
        let activation = world.registry.get(&id("demo:app")).await.unwrap().entry.activation.clone().unwrap();
        let bound = activation
            .lock
            .iter()
            .map(|bound| format!("{} → {} {} ({})", bound.edge.label(), bound.edge.on, bound.version, bound.revision));
        bound.collect::<Vec<_>>()
    };
    let expected = ["demo:log/sink@1.0.0 → demo:log 1.2.0 (1)", "depends_on → demo:log 1.2.0 (1)"];
    assert_eq!(lock().await, expected);
    // It is what it was then, also while another revision serves, until the next activation.
    world.have(&text("log", "1.3.0", LOG_MORE)).await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    assert_eq!(lock().await, expected);
    world.registry.deactivate(&[id("demo:app")], false).await;
    world.activate("demo:app").await;
    assert_eq!(lock().await[0], "demo:log/sink@1.0.0 → demo:log 1.3.0 (2)");
    let versions = world.registry.versions(&id("demo:log")).await.unwrap();
    let states: Vec<_> = versions.revisions.iter().map(|one| (one.revision.number, one.is_active)).collect();
    assert_eq!((states, versions.rollback_to), (vec![(1, false), (2, true)], Some(1)));
}

#[tokio::test]
async fn says_why_it_is_active_and_who_would_stop_with_it() {
    let world = running().await;
    let why = world.registry.why(&id("demo:log")).await.unwrap();
    assert_eq!(why.entry.activation.as_ref().unwrap().asked, Some(false));
    assert_eq!(why.needed_by.iter().map(|edge| &edge.to).collect::<Vec<_>>(), [&id("demo:app")]);
    let [chain] = why.chains.as_slice() else { panic!("{:?}", why.chains) };
    assert_eq!(chain.path, ["demo:log", "demo:app", "demo:top"].map(id));
    assert_eq!(chain.root.activation.as_ref().unwrap().asked, Some(true));
    // Going to another revision asks for none.
    world.have(&text("log", "1.1.0", LOG_MORE)).await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    let activation = world.registry.why(&id("demo:log")).await.unwrap().entry.activation.clone().unwrap();
    assert_eq!((activation.revision, activation.asked), (2, Some(false)));
    let top = world.registry.why(&id("demo:top")).await.unwrap();
    assert!(top.needed_by.is_empty() && top.chains.is_empty());

    world.have(&text("idle", "1.0.0", TOP)).await;
    let impact = world.registry.impact(&id("demo:log")).await.unwrap();
    let found = impact.dependents.iter().map(|one| (one.id.to_string(), one.distance, one.status));
    let found: Vec<_> = found.collect();
    let expected = [
        ("demo:app".to_owned(), 1, Status::Active),
        ("demo:idle".to_owned(), 2, Status::Registered),
        ("demo:top".to_owned(), 2, Status::Active),
    ];
    assert_eq!(found, expected);
    assert_eq!(impact.active().count(), 2);
}

#[tokio::test]
async fn a_diff_has_types_grants_and_the_manifest() {
    let world = World::new().await;
    let with = |lines: &str, version: &str, manifest: &str| {
        let mut request = component(&text("log", version, lines));
        let manifest = domain::ComponentManifest::parse(manifest).unwrap();
        request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
        request
    };
    let first = with(LOG, "1.0.0", "[limits]\nfuel = 5000\n[grants]\nenv = [\"LANG\"]");
    world.registry.register(first).await.unwrap();
    let second = with(LOG_MORE, "1.1.0", "[limits]\nfuel = 6000\n[grants]\nenv = [\"TZ\"]");
    world.registry.register(second).await.unwrap();
    let diff = world.registry.diff(&id("demo:log"), 1, 2).await.unwrap();
    assert_eq!(diff.exports.verdict(), Verdict::Additive);
    assert_eq!(diff.exports.items[0].functions[0].name, "flush");
    let texts = |grants: &[Grant]| grants.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((texts(&diff.asks_anew), texts(&diff.asks_no_more)), (vec!["env TZ".into()], vec!["env LANG".into()]));
    assert_eq!(diff.fields.iter().map(|field| field.key.as_str()).collect::<Vec<_>>(), ["limits.fuel"]);
    let back = world.registry.diff(&id("demo:log"), 2, 1).await.unwrap();
    assert_eq!(back.exports.verdict(), Verdict::Breaking);
}
