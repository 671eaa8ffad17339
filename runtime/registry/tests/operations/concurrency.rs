use registry::Target;

use crate::fakes::{World, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dependencies_that_race_never_close_a_cycle() {
    let world = World::new().await;
    for n in 0..6 {
        world.have(&format!("name demo:c{n}\nversion 1.0.0")).await;
    }
    let mut tasks = Vec::new();
    for from in 0..6 {
        for to in 0..6 {
            let registry = world.registry.clone();
            tasks.push(tokio::spawn(async move {
                let (from, to) = (id(&format!("demo:c{from}")), id(&format!("demo:c{to}")));
                registry.add_dependency(&from, &to, None).await.is_ok()
            }));
        }
    }
    let mut added = 0;
    for task in tasks {
        added += usize::from(task.await.unwrap());
    }
    // A graph of six without cycles has at most 15 edges, and every order of adding reaches it.
    assert_eq!(added, 15);
    assert!(world.registry.cycles().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn activating_calling_and_deactivating_at_once_leaves_a_consistent_registry() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x").await;
    for n in 0..8 {
        world.have(&format!("name demo:u{n}\nversion 1.0.0\nimport demo:base/x")).await;
    }
    let mut tasks = Vec::new();
    for round in 0..24 {
        let registry = world.registry.clone();
        tasks.push(tokio::spawn(async move {
            let user = id(&format!("demo:u{}", round % 8));
            registry.activate(&[Target::from(&user)]).await;
            let _may_be_gone = registry.call(&user, Default::default()).await;
            registry.deactivate(&[user], false).await;
            if round % 5 == 0 {
                registry.deactivate(&[id("demo:base")], true).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for n in 0..8 {
        let user = world.registry.get(&id(&format!("demo:u{n}"))).await.unwrap();
        if user.entry.status == domain::Status::Active {
            assert_eq!(world.status("demo:base").await, domain::Status::Active);
        }
    }
    assert!(world.registry.errors(None, 10).await.unwrap().is_empty(), "nothing failed on its own");
}
