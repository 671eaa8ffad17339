use domain::ErrorKind;

use crate::fakes::{World, id};

#[tokio::test]
async fn a_bare_name_is_enough_where_it_is_unique() {
    let world = World::new().await;
    world.have("name demo:log\nversion 1.0.0").await;
    assert_eq!(world.registry.resolve("log").await.unwrap().id, id("demo:log"));
    world.have("name acme:log\nversion 1.0.0").await;
    let error = world.registry.resolve("log").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "ambiguous-name"));
    assert_eq!(error.hints(), ["acme:log", "demo:log"]);
}

#[tokio::test]
async fn an_unknown_name_suggests_what_was_meant() {
    let world = World::new().await;
    world.have("name demo:logger\nversion 1.0.0").await;
    for name in ["demo:loger", "loger", "acme:logger"] {
        let error = world.registry.resolve(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hints()[0].contains("demo:logger"), "{name}: {:?}", error.hints());
    }
}

#[tokio::test]
async fn a_version_must_be_one_that_is_there() {
    let world = World::new().await;
    world.have("name demo:log\nversion 1.0.0").await;
    assert!(world.registry.resolve("demo:log@1.0.0").await.unwrap().version.is_some());
    let error = world.registry.resolve("demo:log@2.0.0").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "version-not-found"));
}

#[tokio::test]
async fn a_version_that_is_not_in_service_can_be_looked_at_but_not_meant_for_the_whole() {
    let world = World::new().await;
    world.have("name demo:log\nversion 1.0.0\nexport demo:log/old").await;
    world.have("name demo:log\nversion 2.0.0\nexport demo:log/new").await;
    let error = world.registry.resolve_current("demo:log@1.0.0").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "version-not-active"));
    assert!(world.registry.resolve_current("demo:log@2.0.0").await.is_ok());
    let old = world.registry.resolve("demo:log@1.0.0").await.unwrap();
    let entry = world.registry.get_target(&old).await.unwrap().entry;
    assert_eq!((entry.revision.number, entry.revision.exports[0].name.as_str()), (1, "demo:log/old"));
    assert!(world.registry.wit(&old).await.unwrap().contains("demo:log/old"));
}

#[tokio::test]
async fn case_is_folded_only_when_the_setting_says_so() {
    let world = World::new().await;
    world.have("name demo:log\nversion 1.0.0").await;
    assert_eq!(world.registry.resolve("Demo:LOG").await.unwrap_err().kind(), ErrorKind::Invalid);
    world.registry.set_setting("case_sensitive", Some("false")).await.unwrap();
    assert_eq!(world.registry.resolve("Demo:LOG").await.unwrap().id, id("demo:log"));
}

#[tokio::test]
async fn a_setting_that_does_not_exist_or_fit_is_refused_and_a_change_is_an_event() {
    let world = World::new().await;
    assert_eq!(world.registry.set_setting("case_sensitiv", Some("true")).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(world.registry.set_setting("case_sensitive", Some("12")).await.is_err());
    world.registry.set_setting("allow_override", Some("true")).await.unwrap();
    assert!(world.registry.settings().allow_override);
    world.registry.set_setting("allow_override", None).await.unwrap();
    assert!(!world.registry.settings().allow_override);
    assert_eq!(world.events().await.iter().filter(|name| **name == "config-set").count(), 2);
}
