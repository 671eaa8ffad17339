use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use domain::event::{Actor, Event};
use domain::ports::{StateStore, StateView};
use storage::MemoryStore;

use crate::fixtures::{Ticks, commit, id, lines, open, registered, setting, wait};

fn register_if_free(winner: u32, won: Arc<Mutex<Vec<u32>>>) -> domain::ports::Decision {
    Box::new(move |view: &dyn StateView| match view.entry(&id("one")).unwrap() {
        Some(_) => vec![],
        None => {
            won.lock().unwrap().push(winner);
            vec![registered("one", winner, &[])]
        }
    })
}

fn race(state: &dyn StateStore) {
    for round in 0..5u64 {
        let won = Arc::new(Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for number in 1..=64 {
                let won = won.clone();
                scope.spawn(move || {
                    wait(state.commit(Actor::System, register_if_free(number, won))).unwrap();
                    assert!(state.entry(&id("one")).unwrap().is_some(), "the answer came before the effect");
                });
            }
        });
        let winners = won.lock().unwrap().clone();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(state.entry(&id("one")).unwrap().unwrap().revision.number, winners[0]);
        assert_eq!(state.last_seq(), round * 2 + 1);
        commit(state, vec![Event::Unregistered { component: id("one") }]);
    }
}

#[test]
fn of_64_racing_decisions_exactly_one_wins() {
    race(&MemoryStore::new(Ticks::new()));
    let folder = tempfile::tempdir().unwrap();
    race(&*open(folder.path()).state);
}

#[test]
fn what_waits_together_is_synced_together_and_sees_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let first = storage.state.commit(
        Actor::System,
        Box::new(move |_| {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            vec![registered("a", 1, &[]), registered("b", 1, &["a"])]
        }),
    );
    has_begun.recv().unwrap();
    let followers: Vec<_> = (0..10)
        .map(|number| {
            let decision = move |view: &dyn StateView| {
                assert_eq!(view.dependents(&id("a")).unwrap(), [id("b")]);
                assert_eq!(view.last_seq(), 2 + number);
                vec![setting(&number.to_string())]
            };
            storage.state.commit(Actor::System, Box::new(decision))
        })
        .collect();
    assert_eq!(storage.state.entry(&id("a")).unwrap(), None, "a reader does not wait");
    go.send(()).unwrap();
    assert_eq!(wait(first).unwrap().len(), 2);
    for follower in followers {
        assert_eq!(wait(follower).unwrap().len(), 1);
    }
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 13);
    assert!(lines[1..].iter().all(|line| line["group"] == 1), "{lines:#?}");
    assert_eq!((&lines[1]["rest"], &lines[2]["rest"]), (&serde_json::json!(1), &serde_json::Value::Null));
}

#[test]
fn many_threads_commit_and_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let state = &*storage.state;
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            scope.spawn(move || {
                for number in 0..20 {
                    let name = format!("c-{thread}-{number}");
                    commit(state, vec![registered(&name, 1, &["base"])]);
                    assert!(state.entry(&id(&name)).unwrap().is_some());
                    // One state each: as many as are counted are found.
                    let found = state.dependents(&id("base")).unwrap().len();
                    assert!(found > number, "{found}");
                }
            });
        }
        scope.spawn(move || {
            while state.last_seq() < 160 {
                let keys = state.index_keys("status").unwrap();
                let found = state.find("status", "registered").unwrap().len() as u64;
                assert!(keys.iter().all(|(_, count)| *count <= found), "{keys:?} and then {found}");
                for id in state.ids(None, 1_000).unwrap() {
                    assert!(state.entry(&id).unwrap().is_some(), "{id}");
                }
            }
        });
    });
    assert_eq!(state.count("status", "registered").unwrap(), 160);
    let seqs: Vec<u64> = state.records(1, 1_000).unwrap().iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (1..=160).collect::<Vec<_>>());
}

#[test]
fn a_decision_that_panics_harms_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let answer = wait(storage.state.commit(Actor::System, Box::new(|_| panic!("a faulty decision"))));
    assert!(answer.unwrap_err().to_string().contains("a decision panicked"));
    assert_eq!(commit(&*storage.state, vec![setting("next")])[0].seq, 1);
}

#[test]
fn a_decision_that_nobody_waits_for_any_more_is_not_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let (go, wait_for_go) = std::sync::mpsc::channel::<()>();
    // Keeps the committer busy until the second one has been queued and given up.
    let first = storage.state.commit(
        Actor::System,
        Box::new(move |_| {
            let _released = wait_for_go.recv();
            vec![setting("first")]
        }),
    );
    drop(storage.state.commit(Actor::System, Box::new(|_| vec![setting("given-up")])));
    go.send(()).unwrap();
    assert_eq!(wait(first).unwrap()[0].seq, 1);
    assert_eq!(commit(&*storage.state, vec![setting("next")])[0].seq, 2);
}
